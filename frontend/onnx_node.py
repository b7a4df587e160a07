"""An ONNX node as our own converters see it: Relax arguments, attributes, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import onnx

from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.tvm_late import ir, relax

from .graph import Array
from .onnx_ops import NEWEST

# Kernels index with 32 bits.
MOST_ELEMENTS = 2**31 - 1
# Of what a build computes from a few numbers.
MOST_IN_TABLE = 1 << 26


@dataclass(frozen=True)
class OnnxNode:
    """``label`` names the node for people; an input that is left out is None."""

    builder: relax.BlockBuilder
    label: str
    inputs: Sequence[Any]
    attrs: Mapping[str, Any]
    outputs: int
    opset: int

    def input(self, index: int) -> Any:
        """The Relax expression of an input; None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    @property
    def x(self) -> Any:
        """The first input."""
        return self.inputs[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The first input's shape."""
        return shape_of(self.x)

    @property
    def rank(self) -> int:
        """The first input's number of dimensions."""
        return len(self.shape)

    @property
    def dtype(self) -> str:
        """The first input's element type."""
        return dtype_of(self.x)

    def attr(self, name: str, default: Any) -> Any:
        """An attribute, text as ``str``."""
        value = self.attrs.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def axis(self, number: Any, rank: int | None = None) -> int:
        """A dimension, counted from the end below 0; raises ModelError where there is none."""
        rank = self.rank if rank is None else rank
        if not -rank <= int(number) < rank:
            raise ModelError(f"{self.label}: the axis {number} is outside of {rank} dimensions")
        return int(number) % rank

    def axes(self, numbers: Iterable[Any]) -> list[int]:
        """Dimensions; raises ModelError where one is missing or stands twice."""
        found = [self.axis(number) for number in numbers]
        if len(set(found)) < len(found):
            raise ModelError(f"{self.label}: its axes {found} hold one twice")
        return found

    def constant(self, index: int, what: str) -> Array | None:
        """An input that must be known at build time; None where it is left out."""
        expr = self.input(index)
        if expr is None:
            return None
        if isinstance(expr, ir.GenericConst):
            return np.asarray(expr.value.numpy())
        raise self.unsupported(f"{what} that is computed at run time")

    def setting(self, name: str, index: int) -> Array | None:
        """An attribute in old operator sets, input ``index`` in new ones; None where left out."""
        if name in self.attrs:
            return np.asarray(self.attrs[name])
        return self.constant(index, f"'{name}'")

    def check_table(self, count: int) -> None:
        """Raise UnsupportedOperator for a table of so many elements, made while building."""
        if count > MOST_IN_TABLE:
            raise self.unsupported(f"a table of {count} elements")

    def emit(self, expr: Any) -> Any:
        """The variable of an expression, so that its type is known."""
        return self.builder.emit(expr)

    def number(self, value: int | float) -> Any:
        """A scalar of the first input's element type."""
        return relax.const(value, self.dtype)

    def unsupported(self, what: str) -> UnsupportedOperator:
        """The error for something that this node asks for."""
        return UnsupportedOperator(f"{self.label}: {what} is not supported")


OnnxConverter: TypeAlias = Callable[[OnnxNode], Any]


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard's operators; 0 where the model imports no operators at all.

    A model that imports those of other domains alone has the version of its functions, or else the
    newest, as in ONNX Runtime.
    """
    imports = [*model.opset_import, *(o for f in model.functions for o in f.opset_import)]
    versions = [int(o.version) for o in imports if is_onnx(o.domain)]
    return versions[0] if versions else NEWEST if imports else 0


def is_onnx(domain: str) -> bool:
    """Whether an operator is of the standard's default domain."""
    return domain in ("", "ai.onnx")


def node_label(node: onnx.NodeProto) -> str:
    """What a node is called for people: its operator, and its name or else its first result's."""
    return f"{node.op_type} '{node.name or next((o for o in node.output if o), '')}'"


def shape_of(expr: Any) -> tuple[int, ...]:
    """A static shape."""
    return tuple(int(d) for d in expr.ty.shape)


def dtype_of(expr: Any) -> str:
    """An element type's name."""
    return str(expr.ty.dtype)
