"""Loops of which no iteration runs: what they give, and runs that end where one would.

ONNX Runtime looks at the shapes of a body when it runs, so that a model may have a loop that cannot
be at its sizes, and that it has no use for at these.
"""

from __future__ import annotations

import warnings
from collections import ChainMap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.schedules import ModelError, ModelWarning, Tensor

from ..onnx.element_types import dtype_name
from ..program import Step
from .assembly import Assembly
from .beginning import Beginning
from .impossible import is_impossible
from .loop_node import LoopNode
from .parts import Parts, Scope
from .rows import Rows
from .spelled import Spelled


@dataclass(frozen=True)
class Never:
    """Each function puts results into the scope."""

    parts: Parts
    assembly: Assembly
    rows: Rows

    def give(
        self,
        loop: LoopNode,
        first: Sequence[int],
        kept: Sequence[int],
        scope: Scope,
        pieces: Callable[[], Sequence[Tensor]],
    ) -> None:
        """What it begins with, and no rows of what it keeps, which are ``pieces`` where its body
        can be, or else what this declares, of 0 elements where that does not tell how many."""
        scope.update({o: v for o, v in zip(loop.outputs, first, strict=False) if o})
        if not kept:
            return
        known = len(self.rows.sizes.symbols)
        try:
            with self.rows.sizes.retaken(known, {}):
                types = pieces()
        except ModelError as error:
            if not is_impossible(error):
                raise
            types = [_declared(loop, i, error) for i in kept]
        for i, tensor in zip(kept, types, strict=True):
            none = np.zeros((0, *tensor.shape), tensor.element.numpy)
            scope[loop.outputs[i]] = self.assembly.constant(none)

    def asked(self, loop: LoopNode, begin: Beginning, error: ModelError) -> Sequence[Step]:
        """Let the run end where an iteration would run, which cannot be for this error."""
        says = "its body cannot be at these sizes"
        warning = f"{loop.label}: {says}, so a run ends in which it runs: {error}"
        warnings.warn(ModelWarning(warning), stacklevel=2)
        e = Spelled(loop.label)
        inner: Scope = ChainMap({}, {}, {})
        some = e.name(np.array(True))
        if begin.trips is not None:
            inner["trips"] = self.assembly.view(begin.trips, ())
            some = e("And", some, e("Greater", "trips", np.array(0)))
        if begin.condition is not None:
            inner["condition"] = self.assembly.view(begin.condition, ())
            some = e("And", some, "condition")
        steps = self.rows.computed(e, inner, some)
        value = self.parts.value(some, inner, loop.label)
        return [*steps, *self.parts.expect(value, 0, f"{says}; whether it runs:", loop.label)]


def _declared(loop: LoopNode, place: int, error: ModelError) -> Tensor:
    """A result as a body declares it; raises the error of the body where it does not."""
    info = loop.body.output[1 + place].type.tensor_type
    if not info.elem_type:
        raise error
    dims = tuple(dim.dim_value for dim in info.shape.dim)
    return Tensor(dims, dtype_name(info.elem_type, loop.label))
