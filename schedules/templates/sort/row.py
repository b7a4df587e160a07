"""One row of what is sorted."""

from __future__ import annotations

from ...emit.builder import PhaseBuilder
from ...ir.dtype import INT32
from ...tir.indices import Expr, Index, divide, modulo
from ...tir.order import key_dtype, key_of
from ...tvm_late import tirx
from .form import Sort


class Row:
    """Row ``number`` of a form's input and output, in the phase that is being written."""

    def __init__(self, builder: PhaseBuilder, form: Sort, number: Index) -> None:
        _, self.length, self._inner = form.sizes
        self.builder, self.wanted = builder, form.wanted
        self.dtype, self._largest = form.workload.inputs[0].dtype, bool(form.node.attr("largest"))
        self.target, self.lanes = form.target, form.target.lanes(INT32)
        self._out = form.workload.output.dtype
        outer, column = divide(number, self._inner), modulo(number, self._inner)
        self._source = builder.let(outer * (self.length * self._inner) + column)
        self._target = builder.let(outer * (self.wanted * self._inner) + column)

    @property
    def keys(self) -> str:
        """The type of its keys."""
        return key_dtype(self.dtype)

    @property
    def is_dense(self) -> bool:
        """Whether its elements lie one after the other."""
        return self._inner == 1

    def key(self, place: Index) -> Expr:
        """Of an element; the first in the result has the lowest."""
        x = self.builder.load(self.builder["in0"], self._source + place * self._inner)
        return key_of(x, self.dtype, self._largest)

    def give(self, rank: Index, place: Expr) -> None:
        """The element at ``place`` is the result's number ``rank``."""
        at = self._target + rank * self._inner
        self.builder.store(self.builder["out"], at, tirx.Cast(self._out, place))
