"""What is known of an operator, whatever computes it: one object each, asked by everything else.

Nodes of a workload name their operator; ``of`` gives the object. An operator infers the type of its
result, computes it in NumPy, counts its operations, and, where kernels compute it element by
element, writes the TensorIR expression of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..ir.workload import Node, Tensor

Array: TypeAlias = NDArray[Any]
Attrs: TypeAlias = Mapping[str, Any]
Expr: TypeAlias = Any  # a TensorIR expression
Let: TypeAlias = Callable[[Expr], Expr]
Evaluate: TypeAlias = Callable[..., Any]
"""The node and the arguments' arrays, to the result's array."""
Infer: TypeAlias = Callable[[Sequence[Tensor], Attrs], Tensor]
"""Arguments' types and attributes, to the result's type; shapes are taken to fit."""
Emit: TypeAlias = Callable[[Node, Sequence[Expr], Sequence[str], Let], Expr]
"""The node, its arguments' elements, their workload dtypes, and what names a value."""


class Elements(Protocol):
    """Gives elements of a node's arguments at points, as TensorIR expressions; see ``expr``."""

    builder: Any

    def at(self, arg: int, point: Any) -> Expr:
        """The argument's element at a point."""

    def shape(self, arg: int) -> tuple[int, ...]:
        """The argument's shape."""


def _given(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    raise AssertionError("the result's type must be given: its node alone holds it")


def like_first(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    """The first argument's type."""
    return args[0]


@dataclass(frozen=True, eq=False)
class Operator:
    """By itself one that is not known here: TVM's own, by a name that starts with ``relax.``."""

    name: str

    is_anchor: ClassVar[bool] = False
    is_elementwise: ClassVar[bool] = False
    is_movement: ClassVar[bool] = False

    @property
    def is_fusible(self) -> bool:
        """Whether kernels compute it element by element, wherever they need one."""
        return self.is_elementwise or self.is_movement

    @property
    def is_fallback(self) -> bool:
        """Whether TVM's own legalization computes it."""
        return self.name.startswith("relax.")

    def operations(self, node: Node, args: Sequence[Tensor]) -> int:
        """Arithmetic operations of a textbook evaluation, a multiply-add being two."""
        return 0


@dataclass(frozen=True, eq=False)
class Known(Operator):
    """An operator of our own: ``arity`` arguments, None for any number of them.

    ``forwards``: each element of the result is one of the first argument's, cast or bounded at
    most.
    """

    arity: int | None
    evaluate: Evaluate
    rule: Infer = _given
    forwards: bool = field(default=False, kw_only=True)

    @property
    def infers_type(self) -> bool:
        """Whether arguments and attributes determine the result's type; else the node does."""
        return self.rule is not _given

    def infer(self, args: Sequence[Tensor], attrs: Attrs) -> Tensor:
        """The result's type, where arguments and attributes determine it."""
        return self.rule(args, attrs)


@dataclass(frozen=True, eq=False)
class Elementwise(Known):
    """Each element of the result is computed from those at its place; arguments broadcast."""

    is_elementwise: ClassVar[bool] = True

    emit: Emit = field(kw_only=True)
    gives_truth: bool = False
    commutes: bool = False
    is_free: bool = False  # no arithmetic, to those who count it
    is_costly: bool = False  # computing it twice costs more than keeping it
    wants_positive: bool = False  # undefined or unbounded near zero or below

    @property
    def infers_type(self) -> bool:
        """By broadcasting, but for those that are of any type."""
        return not self.is_free or super().infers_type

    def infer(self, args: Sequence[Tensor], attrs: Attrs) -> Tensor:
        """Shapes are broadcast."""
        if self.is_free:  # of any type
            return self.rule(args, attrs)
        dtype = "bool" if self.gives_truth else args[-1].dtype
        return Tensor(np.broadcast_shapes(*(a.shape for a in args)), dtype)

    def operations(self, node: Node, args: Sequence[Tensor]) -> int:
        """One for each element."""
        return 0 if self.is_free else node.out.size


@dataclass(frozen=True, eq=False)
class Movement(Known):
    """Each element of the result is one element of an argument, or a constant.

    ``is_view``: NumPy needs no memory for it. ``by_dimension``: its attributes name dimensions, or
    have a number for each, so that they can be permuted with these.
    """

    is_movement: ClassVar[bool] = True
    is_view: bool = field(default=False, kw_only=True)
    by_dimension: bool = field(default=False, kw_only=True)

    emit: Callable[[Elements, Node, Any], Expr] = field(kw_only=True)
    chooses: bool = False  # reads no more of its first argument than it gives


@dataclass(frozen=True, eq=False)
class Anchor(Known):
    """What decides how a kernel is scheduled; one in a workload, but for 1x1 convolutions before
    depthwise ones and attention of whole numbers. ``native``: the folder of functions in C that its
    kernels call, if any."""

    is_anchor: ClassVar[bool] = True

    count: Callable[[Node, Sequence[Tensor]], int] = lambda node, args: 0
    # Of the node, an argument's number, its first argument's last extent, and what draws numbers:
    # the argument as measurements need it, or None where any numbers do.
    sample: Callable[[Node, int, int, np.random.Generator], Array | None] = (
        lambda node, index, extent, rng: None
    )
    native: str = ""

    def operations(self, node: Node, args: Sequence[Tensor]) -> int:
        """As the family counts."""
        return self.count(node, args)
