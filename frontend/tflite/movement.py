"""TensorFlow Lite's operators that move elements, and make them of nothing."""

from __future__ import annotations

from collections.abc import Callable

from onnx import TensorProto

from .call import Call, Operator, Results
from .graph import element

_FAR = 2**31 - 1


def _reshape(call: Call) -> str:
    """The shape is an input, or else an option."""
    x, pair = call.input_or_pairs(0)
    if call.has(1) and not call.is_known(1):
        shape = call.add("Concat", call.whole(1), call.ints(*pair), axis=0)
        return call.add("Reshape", x, shape, allowzero=1)
    if call.has(1):
        sizes = call.constant(1, "a shape")
    else:
        options = call.operation.options
        sizes = [] if options is None else options.array(0, "<i4").tolist()
    return call.add("Reshape", x, call.ints(*sizes, *pair), allowzero=1)


def _squeeze(call: Call) -> str:
    options, rank = call.operation.options, call.rank()
    axes = [] if options is None else options.array(0, "<i4").tolist()
    if not axes:
        axes = [axis for axis, size in enumerate(call.tensor(0).shape) if size == 1]
    x, _ = call.input_or_pairs(0)
    return call.add("Squeeze", x, call.ints(*(call.axis(a, rank) for a in axes)))


def _expand_dims(call: Call) -> str:
    return call.add("Unsqueeze", call.input(), call.ints(*call.constant(1, "a dimension")[:1]))


def _transpose(call: Call) -> str:
    order = call.constant(1, "an order")
    if sorted(order) != list(range(call.rank())):
        raise call.unsupported(f"the order {order} of {call.rank()} dimensions")
    return call.add("Transpose", call.input(), perm=order)


def _computed_margins(call: Call) -> str:
    """Those before each dimension, then those after, as a run computes them."""
    pairs = call.add("Reshape", call.whole(1), call.ints(-1, 2))
    return call.add("Reshape", call.add("Transpose", pairs, perm=[1, 0]), call.ints(-1))


def _margins(call: Call) -> list[int]:
    """Those before each dimension, then those after."""
    given = call.constant(1, "a padding")
    if len(given) != 2 * call.rank() or min(given, default=0) < 0:
        raise call.unsupported(f"the padding {given[:16]}")
    return [*given[::2], *given[1::2]]


def _pad(call: Call) -> str:
    """With what stands for 0, or with a value."""
    if call.has(2):
        value = call.add("Reshape", call.input(2), call.ints())
    else:
        how = call.tensor(0).quantised
        value = call.one(float(how.zero[0]) if how is not None and call.as_stored else 0)
    margins = call.ints(*_margins(call)) if call.is_known(1) else _computed_margins(call)
    return call.add("Pad", call.input(), margins, value)


def _mirror_pad(call: Call) -> str:
    margins = _margins(call)
    symmetric = bool(call.option(0, "<b"))
    if symmetric and max(margins, default=0) > 1:
        return _mirrored(call, margins)
    return call.add(
        "Pad", call.input(), call.ints(*margins), mode="edge" if symmetric else "reflect"
    )  # fmt: skip


def _mirrored(call: Call, margins: list[int]) -> str:
    """With the elements next to each edge in the opposite order, the first of them twice."""
    x, rank = call.input(), call.rank()
    for axis, (before, after) in enumerate(zip(margins[:rank], margins[rank:], strict=True)):
        if not before and not after:
            continue
        (size,) = call.sizes(0, [axis])
        if max(before, after) > size:
            raise call.unsupported(f"the padding {before} and {after} of {size} elements")
        places = [*range(before - 1, -1, -1), *range(size), *range(size - 1, size - 1 - after, -1)]
        x = call.add("Gather", x, call.ints(*places), axis=axis)
    return x


def _concatenation(call: Call) -> str:
    y = call.add("Concat", *call.inputs(), axis=call.axis(call.option(0), call.rank()))
    if call.as_stored and call.tensor(0).quantised is not None:
        if call.option(1, "<b"):
            raise call.unsupported("an activation function of quantised numbers")
        return y
    return call.activated(y, 1)


def _split(call: Call) -> list[str]:
    (axis,), count = call.constant(0, "a dimension"), call.option(0)
    if not 1 <= count == len(call.operation.outputs):
        raise call.unsupported(f"{count} parts for {len(call.operation.outputs)} results")
    axis = call.axis(axis, call.rank(1))
    (size,) = call.sizes(1, [axis])
    return _parts(call, 1, [size // count] * count, axis)


def _split_v(call: Call) -> list[str]:
    """One size may be what is left."""
    sizes, (axis,) = call.constant(1, "sizes"), call.constant(2, "a dimension")
    axis = call.axis(axis, call.rank())
    if -1 in sizes:
        (whole,) = call.sizes(0, [axis])
        sizes[sizes.index(-1)] = whole - sum(sizes) - 1
    return _parts(call, 0, sizes, axis)


def _parts(call: Call, place: int, sizes: list[int], axis: int) -> list[str]:
    inputs = [call.input(place), call.ints(*sizes)]
    return call.graph.add_several("Split", inputs, len(sizes), axis=axis)


def _pack(call: Call) -> str:
    axis = call.axis(call.option(1), call.rank() + 1)
    parts = [call.add("Unsqueeze", each, call.ints(axis)) for each in call.inputs()]
    return call.add("Concat", *parts, axis=axis)


def _unpack(call: Call) -> list[str]:
    axis, count = call.axis(call.option(1), call.rank()), len(call.operation.outputs)
    parts = _parts(call, 0, [1] * count, axis)
    return [call.add("Squeeze", part, call.ints(axis)) for part in parts]


def _gather(call: Call) -> str:
    batch, axis = call.option(1), call.axis(call.option(0), call.rank())
    indices, own = call.whole(1), call.rank(1)
    batch = batch + own if batch < 0 else batch
    if not batch:
        return call.add("Gather", call.input(), indices, axis=axis)
    if not 0 < batch <= min(axis, own):
        raise call.unsupported(f"{batch} dimensions of batches and axis {axis}")
    indices = call.add("Unsqueeze", indices, call.ints(-1))
    # What comes between the batches and the axis waits after it.
    between, rest = list(range(batch, axis)), list(range(axis + 1, call.rank()))
    x = call.input()
    if between:
        x = call.add("Transpose", x, perm=[*range(batch), axis, *between, *rest])
    y = call.add("GatherND", x, indices, batch_dims=batch)
    if not between:
        return y
    count = len(between)
    places, waiting = range(batch, own), range(own, own + count)
    rank = own + count + len(rest)
    return call.add(
        "Transpose", y, perm=[*range(batch), *waiting, *places, *range(own + count, rank)]
    )  # fmt: skip


def _gather_nd(call: Call) -> str:
    return call.add("GatherND", call.input(), call.whole(1))


def _reverse(call: Call) -> str:
    axes = call.constant(1, "dimensions")
    count = len(axes)
    lists = (call.ints(*each) for each in ([-1] * count, [-_FAR] * count, axes, [-1] * count))
    return call.add("Slice", call.input(), *lists)


def _tile(call: Call) -> str:
    return call.add("Tile", call.input(), call.whole(1))


def _broadcast_to(call: Call) -> str:
    return call.add("Expand", call.input(), call.whole(1))


def _shape(call: Call) -> str:
    found = call.add("Shape", call.input())
    return (
        found if call.result().dtype == "int64" else call.add("Cast", found, to=TensorProto.INT32)
    )


def _fill(call: Call) -> str:
    return call.add("Expand", call.input(1), call.whole(0))


def _zeros_like(call: Call) -> str:
    return call.add("Expand", call.one(0), call.add("Shape", call.input()))


def _range(call: Call) -> str:
    return call.add("Range", *(call.add("Reshape", each, call.ints()) for each in call.inputs()))


def _one_hot(call: Call) -> str:
    values = [call.add("Reshape", call.input(i), call.ints(1)) for i in (3, 2)]
    depth = call.add("Reshape", call.whole(1), call.ints(1))
    both = call.add("Concat", *values, axis=0)
    return call.add("OneHot", call.whole(0), depth, both, axis=call.option(0))


def _reverse_sequence(call: Call) -> str:
    return call.add(
        "ReverseSequence", call.input(), call.whole(1), time_axis=call.option(0),
        batch_axis=call.option(1),
    )  # fmt: skip


def _rank(call: Call) -> str:
    return call.graph.constant(call.rank(), "int32")


def _broadcast_args(call: Call) -> str:
    """The shape of what two shapes become together."""
    lengths = [call.sizes(place, [0])[0] for place in (0, 1)]
    first, second = (
        call.add("Concat", call.ints(*[1] * (max(lengths) - length)), call.whole(place), axis=0)
        for place, length in enumerate(lengths)
    )
    both = call.add("Where", call.add("Equal", first, call.ints(1)), second, first)
    return call.add("Cast", both, to=element(call.result().dtype))


_FIRST: dict[str, Callable[[Call], Results]] = {
    "BROADCAST_TO": _broadcast_to,
    "EXPAND_DIMS": _expand_dims,
    "GATHER": _gather,
    "GATHER_ND": _gather_nd,
    "MIRROR_PAD": _mirror_pad,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "REVERSE_SEQUENCE": _reverse_sequence,
    "REVERSE_V2": _reverse,
    "SPLIT_V": _split_v,
    "SQUEEZE": _squeeze,
    "TILE": _tile,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
OPERATORS: dict[str, Operator] = {
    **{name: Operator(write, moves=True, moved=(0,)) for name, write in _FIRST.items()},
    "CONCATENATION": Operator(_concatenation, moves=True),
    "FILL": Operator(_fill, moves=True, moved=(1,)),
    "BROADCAST_ARGS": Operator(_broadcast_args),
    "DENSIFY": Operator(Call.input, moves=True),
    "ONE_HOT": Operator(_one_hot),
    "PACK": Operator(_pack, moves=True),
    "PADV2": Operator(_pad, moves=True, moved=(0, 2)),
    "RANGE": Operator(_range),
    "RANK": Operator(_rank),
    "SHAPE": Operator(_shape),
    "SPLIT": Operator(_split, moves=True, moved=(1,)),
    "ZEROS_LIKE": Operator(_zeros_like),
}
