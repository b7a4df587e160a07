"""What is true of every workload: each value comes before its uses, and types are as inferred."""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from ..ir.core import IRError, require
from ..ir.workload import Op, Tensor, Workload


def verify(workload: Workload) -> None:
    """Raise IRError, which says what is wrong and where."""
    require(bool(workload.nodes), "a workload needs at least one node")
    region = workload.region
    region.verify(())
    for op in region.statements:
        verify_types(op, [workload.tensor(arg) for arg in op.reads])


def verify_types(op: Op, args: Sequence[Tensor]) -> None:
    """Raise IRError unless the operator takes such arguments and gives what its node says.

    It is known and has as many arguments as it takes, and its type is what it infers, where it
    can.
    """
    operator = ops.of(op.node)
    if not isinstance(operator, ops.Known):
        require(operator.is_fallback, "this operator is not known", op)
        return  # Relax's, whose node alone says the type
    require(operator.arity in (None, len(args)), f"it has {len(args)} arguments", op)
    if not operator.infers_type:
        return
    try:
        found = operator.infer(args, dict(op.node.attrs))
    except Exception as error:
        raise IRError(f"{op}: its arguments do not fit ({error})") from error
    out = op.node.out
    if operator.is_elementwise:  # a number may have lost its dimensions, which the result has
        more = max(0, len(out.shape) - len(found.shape))
        found = Tensor((1,) * more + found.shape, found.dtype)
    if found != out:
        raise IRError(f"{op}: it is {found}, not {out}")
