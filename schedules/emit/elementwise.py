"""An elementwise node's element as a TensorIR expression of its arguments' elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .. import ops
from ..errors import ScheduleError
from ..ir.workload import Node, Tensor
from ..ops.operator import Expr, Let
from ..tvm_late import tirx


def apply(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    """The value of an elementwise node for arguments ``args`` of workload types ``dtypes``."""
    if node.out.dtype == "float16" and node.op != "cast":
        return tirx.Cast("float16", _in_float32(node, args, dtypes, let))
    operator = ops.of(node)
    if not isinstance(operator, ops.Elementwise):
        raise ScheduleError(f"unknown elementwise operator '{node.op}'")
    return operator.emit(node, args, dtypes, let)


def _in_float32(node: Node, args: Sequence[Expr], dtypes: Sequence[str], let: Let) -> Expr:
    """A float16 node as processors compute it, which have few instructions for float16."""
    wide = replace(node, out=Tensor(node.out.shape, "float32"))
    halves = [dtype == "float16" for dtype in dtypes]
    args = [tirx.Cast("float32", a) if h else a for a, h in zip(args, halves, strict=True)]
    dtypes = ["float32" if h else d for d, h in zip(dtypes, halves, strict=True)]
    return apply(wide, args, dtypes, let)
