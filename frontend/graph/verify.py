"""What is true of every graph, between any two passes."""

from __future__ import annotations

from luthier.schedules import Tensor, ops

from .core import Graph, Op


class GraphError(Exception):
    """A pass has made something that is not a graph: Luthier's own fault."""


def verify(graph: Graph) -> None:
    """Raise GraphError, which says what is wrong and where.

    Each value is an input, a constant or one operator's result, and comes before its uses.
    Constants have the types that they say. Each operator is known and has as many arguments as it
    takes, and its type is what it infers, where it can tell.
    """
    defined = [value for _, value in graph.inputs]
    defined += graph.constants
    _check(len({name for name, _ in graph.inputs}) == len(graph.inputs), "an input's name is taken")
    for value, array in graph.constants.items():
        tensor = Tensor(tuple(array.shape), str(array.dtype))
        _check(graph.values[value] == tensor, f"the constant %{value} is {tensor}")
    known = set(defined)
    _check(len(known) == len(defined), "an input is a constant, too")
    for op in graph.ops:
        where = f"%{op.result} ({op.node.op}, {op.source or 'of nothing'})"
        _check(known.issuperset(op.node.args), f"{where}: it reads what comes later")
        _check(op.result not in known, f"{where}: its value is taken")
        _check(graph.values[op.result] == op.node.out, f"{where}: its type is another")
        _check_type(graph, op, where)
        known.add(op.result)
    _check(len(known) == len(graph.values), "a value comes from nowhere")
    _check(known.issuperset(v for _, v in graph.outputs), "an output comes from nowhere")


def _check_type(graph: Graph, op: Op, where: str) -> None:
    operator = ops.of(op.node)
    if not isinstance(operator, ops.Known):  # Relax's, of which the node tells all
        return
    args = [graph.values[arg] for arg in op.node.args]
    _check(operator.arity in (None, len(args)), f"{where}: it has {len(args)} arguments")
    if not operator.tells_type:
        return
    try:
        found = operator.infer(args, dict(op.node.attrs))
    except Exception as error:
        raise GraphError(f"{where}: its arguments do not fit ({error})") from error
    out = op.node.out
    if operator.is_elementwise:  # a number may have lost its dimensions, which the result has
        more = max(0, len(out.shape) - len(found.shape))
        found = Tensor((1,) * more + found.shape, found.dtype)
    _check(found == out, f"{where}: it is {found}, not {out}")


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise GraphError(otherwise)
