"""TensorFlow Lite's lookups of rows by their numbers, and by keys."""

from __future__ import annotations

from luthier.schedules import ModelError

from .call import Call, Operator
from .graph import element

_MEAN, _ROOT = 1, 2  # what the sums are divided by: weights, or the root of their squares


def _rows(call: Call) -> str:
    """Of a table, by their numbers."""
    return call.add("Gather", call.input(1), call.whole(0), axis=0)


def _sparse(call: Call) -> str:
    """Rows by weights, added up where places but for their last number are the same."""
    kind, shape = call.option(0, "<b"), call.constant(2, "a shape")
    if kind not in (0, _MEAN, _ROOT) or call.rank(1) != 2 or len(shape) < 1:
        raise call.unsupported(f"the combiner {kind} of {len(shape)} dimensions")
    outer, (numbers,) = shape[:-1], call.sizes(1, [1])
    if numbers != len(shape) or min(outer, default=1) < 1:
        raise ModelError(f"{call.where}: its shape is {shape[:16]} for {numbers} numbers")
    rank = call.rank(4)
    inner = call.sizes(4, range(1, rank))
    rows, weights = call.add("Gather", call.input(4), call.whole(0), axis=0), call.input(3)
    wide = call.add("Reshape", weights, call.ints(-1, *[1] * (rank - 1)))
    last = call.ints(len(outer))
    places = call.add("Slice", call.whole(1), call.ints(0), last, call.ints(1))
    if not outer:
        y = call.add("ReduceSum", call.add("Mul", rows, wide), call.ints(0), keepdims=0)
        return y if not kind else _divided(call, y, _sums(call, weights, kind, []), 0)
    y = _added(call, [*outer, *inner], places, call.add("Mul", rows, wide))
    if not kind:
        return y
    return _divided(call, y, _sums(call, weights, kind, outer, places), rank - 1)


def _added(call: Call, shape: list[int], places: str, values: str) -> str:
    zero = call.graph.constant(0, "float32")
    empty = call.add("Expand", zero, call.ints(*shape))
    return call.add("ScatterND", empty, places, values, reduction="add")


def _sums(
    call: Call, weights: str, kind: int, outer: list[int], places: str = ""
) -> tuple[str, str]:
    """What sums are divided by, and how many rows each is of."""
    each = call.add("Mul", weights, weights) if kind == _ROOT else weights
    one = call.graph.constant(1, "float32")
    ones = call.add("Expand", one, call.add("Shape", weights))
    if places:
        by, count = (_added(call, outer, places, values) for values in (each, ones))
    else:
        by, count = (
            call.add("ReduceSum", values, call.ints(0), keepdims=0) for values in (each, ones)
        )
    return (call.add("Sqrt", by) if kind == _ROOT else by), count


def _divided(call: Call, y: str, sums: tuple[str, str], more: int) -> str:
    """What is of no row stays 0."""
    by, count = sums
    none = call.add("Equal", count, call.graph.constant(0, "float32"))
    by = call.add("Where", none, call.graph.constant(1, "float32"), by)
    axes = call.ints(*range(-more, 0))
    return call.add("Div", y, call.add("Unsqueeze", by, axes) if more else by)


def _by_keys(call: Call) -> list[str]:
    """Rows by keys, of which there is one each; zeros for those that are not there."""
    if call.rank(0) != 1 or call.rank(1) != 1 or not call.tensor(2).is_plain:
        raise call.unsupported("a lookup of this kind")
    asked = call.add("Unsqueeze", call.whole(0), call.ints(1))
    same = call.add("Cast", call.add("Equal", asked, call.whole(1)), to=element("int32"))
    place = call.add("ArgMax", same, axis=1, keepdims=0)
    hits = call.add("ReduceMax", same, call.ints(1), keepdims=0)
    wide = call.add("Reshape", hits, call.ints(-1, *[1] * (call.rank(2) - 1)))
    rows = call.add("Gather", call.input(2), place, axis=0)
    there = call.add("Cast", wide, to=element("bool"))
    return [
        call.add("Where", there, rows, call.one(0, like=2)),
        call.add("Cast", hits, to=element("uint8")),
    ]


OPERATORS: dict[str, Operator] = {
    "EMBEDDING_LOOKUP": Operator(_rows, moves=True, moved=(1,)),
    "EMBEDDING_LOOKUP_SPARSE": Operator(_sparse),
    "HASHTABLE_LOOKUP": Operator(_by_keys),
}
