"""TensorFlow Lite's slices, whose places may be computed."""

from __future__ import annotations

from collections.abc import Sequence

from .call import Call, Operator

_FAR = 2**31 - 1


def _slice(call: Call) -> str:
    """A size of -1 is what is left. What begins where a run says has its size by being gathered."""
    if not call.is_known(2):
        return _computed(call)
    sizes = call.constant(2, "a size")
    if call.is_known(1):
        begins = call.constant(1, "a begin")
        ends = [_FAR if size < 0 else at + size for at, size in zip(begins, sizes, strict=False)]
        return call.add("Slice", call.input(), call.ints(*begins), call.ints(*ends))
    x, shape = call.input(), call.tensor(0).shape
    for axis, size in enumerate(sizes):
        begin = call.add("Slice", call.whole(1), call.ints(axis), call.ints(axis + 1))
        if size < 0:
            x = call.add("Slice", x, begin, call.ints(_FAR), call.ints(axis))
        elif axis >= len(shape) or size != shape[axis]:
            places = call.add("Add", call.numbers(size), begin)
            x = call.add("Gather", x, places, axis=axis)
    return x


def _computed(call: Call) -> str:
    """A slice whose sizes a run computes."""
    begins, sizes = call.whole(1), call.whole(2)
    ends = call.add("Add", begins, sizes)
    ends = call.add("Where", call.add("Less", sizes, call.ints(0)), call.ints(_FAR), ends)
    return call.add("Slice", call.input(), begins, ends)


def _strided_slice(call: Call) -> str:
    """Each number of the masks has a bit for each place of the lists: to begin at the first, to end
    after the last, to take all dimensions that are left, to make one, to drop one."""
    steps = call.constant(3, "a step")
    count = len(steps)
    rest, new, dropped = (call.option(field) for field in (2, 3, 4))
    if call.flag(5) or 0 in steps:
        raise call.unsupported("a slice of these steps")
    spans = _Spans(call, steps)
    kept = sum(1 for i in range(count) if not (new | rest) >> i & 1)
    axis, places, made, lost = 0, 0, list[int](), list[int]()
    for i in range(count):
        bit = 1 << i
        if rest & bit:
            axis += max(0, call.rank() - kept)
            places += max(0, call.rank() - kept)
        elif new & bit:
            made.append(places)
            places += 1
        elif dropped & bit:
            spans.one(axis, i)
            lost.append(axis)
            axis += 1
        else:
            spans.span(axis, i)
            axis, places = axis + 1, places + 1
    y = spans.taken()
    y = call.add("Squeeze", y, call.ints(*lost)) if lost else y
    return call.add("Unsqueeze", y, call.ints(*made)) if made else y


class _Spans:
    """What a slice takes of each dimension."""

    def __init__(self, call: Call, steps: Sequence[int]) -> None:
        self._call, self._steps = call, steps
        self._known = [
            call.constant(place, "a begin or end") if call.is_known(place) else None
            for place in (1, 2)
        ]
        if any(each is not None and len(each) != len(steps) for each in self._known):
            raise call.unsupported("a slice of these begins, ends and steps")
        self._listed: list[tuple[int, int, int, int]] = []
        self._computed: list[tuple[int, str, str, int]] = []
        self._picked: list[tuple[int, str]] = []

    def _at(self, which: int, i: int) -> int | str:
        """A begin or an end: a number, or the list of one that a run computes."""
        known = self._known[which]
        if known is not None:
            return known[i]
        call = self._call
        return call.add("Slice", call.whole(1 + which), call.ints(i), call.ints(i + 1))

    def one(self, axis: int, i: int) -> None:
        """One element, which a begin names."""
        at = self._at(0, i)
        if isinstance(at, str):
            self._picked.append((axis, at))
        else:
            self._listed.append((axis, at, at + 1 if at != -1 else _FAR, 1))

    def span(self, axis: int, i: int) -> None:
        """From a begin to an end, or where the masks say from the first or to the last."""
        step = self._steps[i]
        first, last = (0, _FAR) if step > 0 else (_FAR, -_FAR)
        begin = first if self._call.option(0) >> i & 1 else self._at(0, i)
        end = last if self._call.option(1) >> i & 1 else self._at(1, i)
        if isinstance(begin, int) and isinstance(end, int):
            self._listed.append((axis, begin, end, step))
            return
        one, other = (
            each if isinstance(each, str) else self._call.ints(each) for each in (begin, end)
        )
        self._computed.append((axis, one, other, step))

    def taken(self) -> str:
        """What is left of the input."""
        call = self._call
        y, ints = call.input(), call.ints
        whole = [each for each in self._listed if each[1:] != (0, _FAR, 1)]
        if whole:
            axes, starts, stops, strides = zip(*whole, strict=True)
            y = call.add("Slice", y, *(ints(*each) for each in (starts, stops, axes, strides)))
        for axis, begin, end, step in self._computed:
            y = call.add("Slice", y, begin, end, ints(axis), ints(step))
        for axis, at in self._picked:
            y = call.add("Gather", y, at, axis=axis)
        return y


OPERATORS: dict[str, Operator] = {
    "SLICE": Operator(_slice, moves=True, moved=(0,)),
    "STRIDED_SLICE": Operator(_strided_slice, moves=True, moved=(0,)),
}
