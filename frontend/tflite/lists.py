"""Lists of tensors, as loops of TensorFlow fill them: one element is put in the place of another.

The converter writes that as a concatenation of what is before the element, the element, and what is
after it, whose sizes a run decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from .model import LiteGraph, Operation

_UPDATE = "DYNAMIC_UPDATE_SLICE"


def with_updates(graph: LiteGraph) -> LiteGraph:
    """The graph in which such concatenations are updates in place."""
    made = {number: each for each in graph.operations for number in each.outputs if number >= 0}
    changed = {
        id(each): update
        for each in graph.operations
        if each.kind == "CONCATENATION" and (update := _update(graph, each, made)) is not None
    }
    if not changed:
        return graph
    operations = [changed.get(id(each), each) for each in graph.operations]
    uses = Counter(number for each in operations for number in each.inputs)
    uses.update(graph.outputs)
    kept = [each for each in operations if each.kind != "SLICE" or any(map(uses.get, each.outputs))]
    return replace(graph, operations=kept)


def _update(graph: LiteGraph, joined: Operation, made: Mapping[int, Operation]) -> Operation | None:
    """The update that a concatenation is, if it is one: of ``x[:i]``, an element, ``x[i + 1:]``."""
    options = joined.options
    if len(joined.inputs) != 3 or options is None or options.number(0) or options.number(1, "<b"):
        return None
    before, after = (made.get(joined.inputs[place]) for place in (0, 2))
    element = graph.tensors[joined.inputs[1]]
    if before is None or after is None or {before.kind, after.kind} != {"SLICE"}:
        return None
    x = before.inputs[0]
    whole = graph.tensors[x]
    is_row = element.shape == (1, *whole.shape[1:]) and None not in whole.shape
    if after.inputs[0] != x or not is_row or len({whole.dtype, element.dtype}) > 1:
        return None
    begin, sizes = graph.tensors[before.inputs[1]].constant, graph.tensors[after.inputs[2]].constant
    if begin is None or begin.any() or sizes is None or (sizes != -1).any():
        return None
    here, next_ = _first(before.inputs[2], made), _first(after.inputs[1], made)
    if here is None or next_ is None or not _is_next(graph, here, next_, made):
        return None
    # Where there are sizes below 0, which take all, the update begins at 0.
    inputs = (x, joined.inputs[1], before.inputs[2])
    return replace(joined, kind=_UPDATE, inputs=inputs, options=None)


def _first(number: int, made: Mapping[int, Operation]) -> int | None:
    """The number that a list begins with, as the converter puts lists together."""
    joined = made.get(number)
    if joined is not None and joined.kind in ("CONCATENATION", "PACK") and joined.inputs:
        return _plain(joined.inputs[0], made)
    return None


def _plain(number: int, made: Mapping[int, Operation]) -> int:
    """What a value was before it got another number of dimensions."""
    for _ in range(len(made)):
        operation = made.get(number)
        if operation is None or operation.kind not in ("RESHAPE", "EXPAND_DIMS", "SQUEEZE"):
            break
        number = operation.inputs[0]
    return number


def _is_next(graph: LiteGraph, here: int, next_: int, made: Mapping[int, Operation]) -> bool:
    """Whether a number is one more than another."""
    added = made.get(next_)
    if added is None or added.kind != "ADD" or len(added.inputs) != 2:
        return False
    terms = [_plain(number, made) for number in added.inputs]
    for first, second in (terms, terms[::-1]):
        one = graph.tensors[second].constant
        if first == here and one is not None and one.size == 1 and one.reshape(()) == 1:
            return True
    return False
