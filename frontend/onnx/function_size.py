"""What a model's functions grow to: a small file can spell a huge graph by functions that call
functions, so the result is counted before it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from onnx import defs

from luthier.schedules import ModelError

from .opset import is_onnx, opset_of
from .scopes import every_node, inner_graphs

# What the model's functions may grow to: this much, or this many times what the file holds.
MOST_NODES, MOST_BYTES, MOST_TIMES = 100_000, 256 << 20, 8
_DEEPEST = 64

Key = tuple[str, str, str]
Functions = Mapping[Key, onnx.FunctionProto]


def key(domain: str, name: str, overload: str) -> Key:
    """What a function is found by."""
    return "" if is_onnx(domain) else domain, name, overload


def callee(node: onnx.NodeProto) -> Key:
    """The function that a node calls, where there is one."""
    return key(node.domain, node.op_type, node.overload)


@dataclass(frozen=True)
class _Size:
    nodes: int
    nbytes: int
    depth: int


def check_size(nodes: Sequence[onnx.NodeProto], functions: Functions) -> None:
    """Raise ModelError where the functions grow beyond bounds, or call themselves."""
    bodies = [list(f.node) for f in functions.values()]
    written = sum(1 for body in (nodes, *bodies) for _ in every_node(body))
    nbytes = sum(n.ByteSize() for body in (nodes, *bodies) for n in body)
    sizes: dict[Key, _Size] = {}
    for each in _callees_first(functions):
        sizes[each] = _expanded(functions[each].node, sizes)
    total = _expanded(nodes, sizes)
    if total.depth > _DEEPEST:
        raise ModelError(f"the model's functions call each other more than {_DEEPEST} deep")
    if total.nodes > max(MOST_NODES, MOST_TIMES * written):
        raise ModelError(
            f"the model's functions expand to {_short(total.nodes)} nodes, and more than "
            f"{max(MOST_NODES, MOST_TIMES * written)} are refused: the file holds {written}"
        )
    if total.nbytes > max(MOST_BYTES, MOST_TIMES * nbytes):
        raise ModelError(
            f"the model's functions expand to {_short(total.nbytes)} bytes, and more than "
            f"{max(MOST_BYTES, MOST_TIMES * nbytes)} are refused: the file holds {nbytes}"
        )


def _short(number: int) -> str:
    return str(number) if number < 10**12 else f"{float(min(number, 10**300)):.0e}"


def _expanded(nodes: Iterable[onnx.NodeProto], sizes: Mapping[Key, _Size]) -> _Size:
    count = nbytes = depth = 0
    for node in nodes:
        own, called = node.ByteSize(), sizes.get(callee(node))
        # Attributes of a call may be repeated by each node inside.
        count += called.nodes if called else 1
        nbytes += called.nbytes + own * called.nodes if called else own
        depth = max(depth, called.depth if called else 0)
        for graph in inner_graphs(node):
            inside = _expanded(graph.node, sizes)
            count, nbytes = count + inside.nodes, nbytes + inside.nbytes
            depth = max(depth, inside.depth)
    return _Size(count, nbytes, depth + 1)


def _callees_first(functions: Functions) -> list[Key]:
    """The functions in an order in which each stands after those that it calls."""
    called = {
        name: iter({k: None for n in every_node(f.node) if (k := callee(n)) in functions})
        for name, f in functions.items()
    }
    done: dict[Key, None] = {}
    for first in functions:
        path = {first: None} if first not in done else {}
        while path:
            last = next(reversed(path))
            inner = next(called[last], None)
            if inner is None:
                done[last] = path.pop(last)
            elif inner in path:
                raise ModelError(f"the model's function '{inner[1]}' calls itself")
            elif inner not in done:
                path[inner] = None
    return list(done)


def check_versions(model: onnx.ModelProto, functions: Functions) -> None:
    """Raise ModelError where an operator means one thing in a function and another around it."""
    opset = opset_of(model)
    for function in functions.values():
        own = next((o.version for o in function.opset_import if is_onnx(o.domain)), opset)
        for node in every_node(function.node) if own != opset else ():
            if is_onnx(node.domain) and _since(node.op_type, own) != _since(node.op_type, opset):
                raise ModelError(
                    f"the model's function '{function.name}' uses {node.op_type} of operator set "
                    f"{own}, which differs from that of the model's operator set {opset}: "
                    "convert the model with onnx.version_converter"
                )


def _since(name: str, opset: int) -> int | None:
    try:
        return int(defs.get_schema(name, opset, "").since_version)
    except defs.SchemaError:
        return None
