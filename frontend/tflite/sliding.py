"""TensorFlow Lite's reductions of windows, and what puts elements apart."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.schedules import ModelError

from .call import Call, Operator
from .graph import element

_FAR = 2**31 - 1
# By the numbers of the schema: what ONNX calls it, of numbers.
_FUNCTIONS = {1: "Add", 2: "Mul", 3: "Min", 4: "Max", 5: "And", 6: "Or"}
BODIES = {
    "STABLEHLO_ADD": "Add", "STABLEHLO_MULTIPLY": "Mul", "STABLEHLO_MINIMUM": "Min",
    "STABLEHLO_MAXIMUM": "Max", "STABLEHLO_AND": "And",
}  # fmt: skip


def body(call: Call, field: int) -> str:
    """What ONNX calls the one operator of the graph that an option names; "" where it has none."""
    later = call.operation.later
    number = -1 if later is None else later.number(field)
    kinds = [each.kind for each in call.graph.writing.model.graph(number).operations]
    if not kinds:
        return ""
    if len(kinds) > 1 or kinds[0] not in BODIES:
        raise call.unsupported(f"a graph of {', '.join(kinds[:8])}")
    return BODIES[kinds[0]]


def longs(call: Call, field: int, count: int, default: int | None = None) -> list[int]:
    """So many numbers of the options; the default where none are given."""
    later = call.operation.later
    given = [] if later is None else later.array(field, "<i8").tolist()
    if not given and default is not None:
        return [default] * count
    if len(given) != count:
        raise ModelError(f"{call.where}: {len(given)} numbers in place of {count}")
    return [int(each) for each in given]


def spread(call: Call, x: str, steps: Sequence[int], value: str) -> str:
    """The elements of each dimension so many apart, with a value between them."""
    for axis, step in enumerate(steps):
        if step < 1:
            raise call.unsupported(f"elements that are {step} apart")
        if step == 1:
            continue
        rank, shape = len(steps), call.add("Shape", x)
        parts = [call.ints(-1)]
        if axis:
            parts.insert(0, call.add("Slice", shape, call.ints(0), call.ints(axis)))
        if axis + 1 < rank:
            parts.append(call.add("Slice", shape, call.ints(axis + 1), call.ints(rank)))
        widths = [0] * (2 * rank + 2)
        widths[rank + 1 + axis + 1] = step - 1
        x = call.add("Unsqueeze", x, call.ints(axis + 1))
        x = call.add("Pad", x, call.ints(*widths), value)
        x = call.add("Reshape", x, call.add("Concat", *parts, axis=0))
        x = _cut(call, x, axis, 0, step - 1)
    return x


def edged(call: Call, x: str, low: Sequence[int], high: Sequence[int], value: str) -> str:
    """With a value before and after each dimension; of less than none elements are left out."""
    if not any((*low, *high)):
        return x
    return call.add("Pad", x, call.ints(*low, *high), value)


def _cut(call: Call, x: str, axis: int, first: int, after: int, step: int = 1) -> str:
    """Without the first elements along an axis, and without so many at its end."""
    if not first and not after and step == 1:
        return x
    ends = (first, -after if after else _FAR, axis, step)
    return call.add("Slice", x, *(call.ints(each) for each in ends))


def _along(call: Call, operator: str, x: str, axis: int, size: int, apart: int) -> str:
    """Each element with those that follow it, ``size`` in all: what two, four and so on give
    together, as many as the size has bits."""
    length, offset, taken = 1, 0, ""
    while True:
        if size & length:
            left = size - offset - length
            part = _cut(call, x, axis, offset * apart, left * apart)
            taken = call.add(operator, taken, part) if taken else part
            offset += length
        if 2 * length > size:
            return taken
        pair = _cut(call, x, axis, 0, length * apart), _cut(call, x, axis, length * apart, 0)
        x, length = call.add(operator, *pair), 2 * length


def _reduced(
    call: Call,
    operator: str,
    x: str,
    first: str,
    windows: Sequence[tuple[int, int, int]],
) -> str:
    """Of each dimension the size of a window, the step between windows, and how far apart the
    elements of one are; ``first`` is what each begins with."""
    for axis, (size, step, apart) in enumerate(windows):
        if min(size, step, apart) < 1:
            raise call.unsupported(f"a window of {size} by steps of {step} and {apart}")
        x = _along(call, operator, x, axis, size, apart)
        x = _cut(call, x, axis, 0, 0, step)
    return call.add(operator, x, first)


def _operator(call: Call, name: str) -> str:
    """Of what is not a truth, bit by bit."""
    is_truth = call.tensor(0).dtype == "bool"
    if name in ("And", "Or") and not is_truth:
        return f"Bitwise{name}"
    if is_truth and name not in ("And", "Or"):
        raise call.unsupported(f"the {name} of truths")
    return name


def _fits(call: Call, sizes: Sequence[int | None], windows: Sequence[tuple[int, int, int]]) -> None:
    for size, (window, _, apart) in zip(sizes, windows, strict=True):
        if size is not None and (window - 1) * apart >= size:
            raise call.unsupported(f"a window of {window} elements, {apart} apart, in {size}")


def _reduce_window(call: Call) -> str:
    later, rank = call.operation.later, call.rank()
    function = 0 if later is None else later.number(0)
    if function not in _FUNCTIONS:
        raise call.unsupported(f"the function of number {function}")
    lists = [call.constant(place, "a window") for place in (2, 3, 4)]
    if any(len(each) != rank for each in lists):
        raise ModelError(f"{call.where}: its window is not of {rank} dimensions")
    windows = list(zip(*lists, strict=True))
    _fits(call, call.tensor(0).shape, windows)
    first = call.add("Reshape", call.input(1), call.ints())
    name = _FUNCTIONS[function]
    if call.tensor(0).dtype != "bool" and name in ("And", "Or"):
        return _truths(call, name, first, windows)
    return _reduced(call, _operator(call, name), call.input(), first, windows)


def _truths(call: Call, name: str, first: str, windows: Sequence[tuple[int, int, int]]) -> str:
    """Of numbers, of which all but 0 are true."""
    to = element(call.tensor(0).dtype)
    x, begin = (
        call.add("Not", call.add("Equal", each, call.one(0))) for each in (call.input(), first)
    )
    return call.add("Cast", _reduced(call, name, x, begin, windows), to=to)


def _stablehlo_reduce_window(call: Call) -> str:
    """The operand lies between edges, its elements apart, of what each window begins with."""
    rank = call.rank()
    sizes = longs(call, 0, rank)
    steps, base, apart = (longs(call, field, rank, 1) for field in (1, 2, 3))
    edges = longs(call, 4, 2 * rank, 0)
    low, high = edges[::2], edges[1::2]
    name = body(call, 5)
    if not name:
        raise call.unsupported("a graph without operators")
    first = call.add("Reshape", call.input(1), call.ints())
    x = edged(call, spread(call, call.input(), base, first), low, high, first)
    windows = list(zip(sizes, steps, apart, strict=True))
    whole = [
        None if size is None else max(size - 1, -1) * wide + 1 + before + after
        for size, wide, before, after in zip(call.tensor(0).shape, base, low, high, strict=True)
    ]
    _fits(call, whole, windows)
    return _reduced(call, _operator(call, name), x, first, windows)


def _dilate(call: Call) -> str:
    steps = call.constant(1, "a distance")
    if len(steps) != call.rank():
        raise ModelError(f"{call.where}: {len(steps)} distances of {call.rank()} dimensions")
    return spread(call, call.input(), steps, call.add("Reshape", call.input(2), call.ints()))


def _stablehlo_pad(call: Call) -> str:
    rank = call.rank()
    low, high, between = (longs(call, field, rank, 0) for field in range(3))
    value = call.add("Reshape", call.input(1), call.ints())
    x = spread(call, call.input(), [1 + each for each in between], value)
    return edged(call, x, low, high, value)


OPERATORS: dict[str, Operator] = {
    "DILATE": Operator(_dilate, moves=True, moved=(0, 2)),
    "REDUCE_WINDOW": Operator(_reduce_window),
    "STABLEHLO_PAD": Operator(_stablehlo_pad, moves=True, moved=(0, 1)),
    "STABLEHLO_REDUCE_WINDOW": Operator(_stablehlo_reduce_window),
}
