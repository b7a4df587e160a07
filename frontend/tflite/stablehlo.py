"""TensorFlow Lite's operators of StableHLO that its interpreter computes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from luthier.schedules import ModelError

from .call import Call, Operator
from .graph import element
from .sliding import BODIES, body

_REDUCTIONS = {"": "none", "Add": "add", "Mul": "mul", "Min": "min", "Max": "max"}


def _pairwise(name: str, call: Call) -> str:
    if name in ("And", "Or") and call.tensor(0).dtype != "bool":
        name = f"Bitwise{name}"
    return call.add(name, call.input(0), call.input(1))


def _shift_left(call: Call) -> str:
    """By less than 0, or by the width and more, is 0."""
    dtype = call.tensor(0).dtype
    bits = 8 * np.dtype(dtype).itemsize
    wide, count = element(f"uint{bits}"), call.whole(1)
    kept = call.add(
        "And", call.add("GreaterOrEqual", count, call.ints(0)),
        call.add("Less", count, call.ints(bits)),
    )  # fmt: skip
    by = call.add("Cast", call.add("Where", kept, count, call.ints(0)), to=wide)
    moved = call.add("BitShift", call.add("Cast", call.input(0), to=wide), by, direction="LEFT")
    return call.add("Where", kept, call.add("Cast", moved, to=element(dtype)), call.one(0))


class _Windows:
    """Parts of an operand, ``sizes`` large, that begin where rows of numbers say.

    ``partial`` are the dimensions of which a part has not all: they come first, and a part's place
    in them is looked up. ``mapped`` are the dimensions that the numbers of a row are of.
    """

    def __init__(
        self, call: Call, sizes: Sequence[int], mapped: Sequence[int], vector: int
    ) -> None:
        rank, places = call.rank(0), call.rank(1)
        self.call, self.sizes, self.whole = call, sizes, call.sizes(0, range(rank))
        is_fit = all(0 < part <= all_ for part, all_ in zip(sizes, self.whole, strict=True))
        if not is_fit or len(set(mapped)) < len(mapped) or not set(mapped) <= set(range(rank)):
            raise call.unsupported(f"parts of {list(sizes)} in {self.whole}")
        own = [d for d in range(rank) if sizes[d] < self.whole[d]]
        self.partial = own or [0]
        self.order = [*self.partial, *(d for d in range(rank) if d not in self.partial)]
        if not 0 <= vector <= places:
            raise ModelError(f"{call.where}: its numbers are in dimension {vector} of {places}")
        axes = [axis for axis in range(places) if axis != vector]
        self.batch = [call.tensor(1).shape[axis] for axis in axes]
        if self.batch.count(None) > 1:
            raise call.unsupported("several open sizes")
        rows = call.whole(1)
        if vector < places:
            rows = call.add("Transpose", rows, perm=[*axes, vector])
        self._rows = call.add("Reshape", rows, call.ints(-1, len(mapped)))
        self._mapped = list(mapped)

    @property
    def parts(self) -> list[int]:
        """Sizes of parts, in the order in which their dimensions come."""
        return [self.sizes[d] for d in self.order]

    def places(self, *, clipped: bool) -> str:
        """Where each element of the partial dimensions lies, as rows of numbers; parts are
        ``clipped`` to the operand, or what is outside lies after the last element."""
        call, count = self.call, len(self.partial)
        outer, found = [self.sizes[d] for d in self.partial], list[str]()
        for place, d in enumerate(self.partial):
            room = call.ints(self.whole[d] - self.sizes[d])
            begin = call.ints(0)
            if d in self._mapped:
                column = call.ints(self._mapped.index(d))
                begin = call.add("Gather", self._rows, column, axis=1)
            else:
                zero = call.add("Gather", self._rows, call.ints(0), axis=1)
                begin = call.add("Mul", zero, begin)
            if clipped:
                begin = call.add("Min", call.add("Max", begin, call.ints(0)), room)
            spread = [1] * count
            spread[place] = outer[place]
            begin = call.add("Reshape", begin, call.ints(-1, *[1] * (count + 1)))
            steps = call.add("Reshape", call.numbers(outer[place]), call.ints(1, *spread, 1))
            each = call.add("Add", begin, steps)
            if not clipped:
                last = call.ints(self.whole[d])
                outside = call.add("Less", each, call.ints(0))
                each = call.add("Min", call.add("Where", outside, last, each), last)
            found.append(call.add("Expand", each, call.ints(1, *outer, 1)))
        return call.add("Concat", *found, axis=-1)

    def back(self, first: int = 0) -> list[int]:
        """The operand's order of what comes after ``first`` dimensions."""
        inverse = [self.order.index(d) for d in range(len(self.order))]
        return [*range(first), *(first + d for d in inverse)]


def _lists(call: Call, *fields: int) -> list[list[int]]:
    later = call.operation.later
    if later is None:
        raise ModelError(f"{call.where}: it has no options")
    return [[int(n) for n in later.array(field, "<i8").tolist()] for field in fields]


def _gather(call: Call) -> str:
    offsets, collapsed, mapped, sizes = _lists(call, 0, 1, 2, 4)
    later = call.operation.later
    vector = 0 if later is None else later.number(3, "<q")
    if len(sizes) != call.rank(0) or any(d >= len(sizes) or sizes[d] != 1 for d in collapsed):
        raise ModelError(f"{call.where}: parts of {sizes[:16]} in {call.rank(0)} dimensions")
    windows = _Windows(call, sizes, mapped, vector)
    x = call.add("Transpose", call.input(0), perm=windows.order)
    y = call.add("GatherND", x, windows.places(clipped=True))
    y = call.add("Transpose", y, perm=windows.back(1))
    left = [size for d, size in enumerate(sizes) if d not in collapsed]
    batch = [-1 if size is None else size for size in windows.batch]
    rank = len(batch) + len(left)
    if len(offsets) != len(left) or not set(offsets) <= set(range(rank)):
        raise ModelError(f"{call.where}: {len(offsets)} dimensions of {len(left)}")
    y = call.add("Reshape", y, call.ints(*batch, *left))
    # Dimensions of the result that are none of a part are those of the rows, in order.
    own = iter(range(len(batch)))
    order = [len(batch) + offsets.index(d) if d in offsets else next(own) for d in range(rank)]
    return call.add("Transpose", y, perm=order)


def _scatter(call: Call) -> str:
    """What lies outside of the operand is left out."""
    inside, inserted, mapped = _lists(call, 1, 2, 3)
    later = call.operation.later
    vector = 0 if later is None else later.number(4, "<q")
    name, rank, updates = body(call, 6), call.rank(0), call.rank(2)
    if name not in _REDUCTIONS:
        raise call.unsupported(f"the {name} of truths")
    if len(inside) + len(inserted) != rank or not set(inside) <= set(range(updates)):
        raise ModelError(f"{call.where}: parts of {len(inside)} dimensions in {rank}")
    given = iter(call.sizes(2, inside))
    sizes = [1 if d in inserted else next(given) for d in range(rank)]
    windows = _Windows(call, sizes, mapped, vector)
    outer = [d for d in range(updates) if d not in inside]
    parts = call.add("Transpose", call.input(2), perm=[*outer, *inside])
    parts = call.add("Reshape", parts, call.ints(-1, *sizes))
    parts = call.add("Transpose", parts, perm=[0, *(1 + d for d in windows.order)])
    more = [int(d in windows.partial) for d in windows.order]
    zero = call.one(0)
    x = call.add("Transpose", call.input(0), perm=windows.order)
    x = call.add("Pad", x, call.ints(*[0] * rank, *more), zero)
    places = windows.places(clipped=False)
    x = call.add("ScatterND", x, places, parts, reduction=_REDUCTIONS[name])
    count = len(windows.partial)
    ends = [windows.whole[d] for d in windows.partial]
    x = call.add("Slice", x, call.ints(*[0] * count), call.ints(*ends))
    return call.add("Transpose", x, perm=windows.back())


OPERATORS: dict[str, Operator] = {
    **{name: Operator(partial(_pairwise, onnx)) for name, onnx in BODIES.items()},
    "STABLEHLO_GATHER": Operator(_gather, moves=True, moved=(0,)),
    "STABLEHLO_SCATTER": Operator(_scatter),
    "STABLEHLO_SHIFT_LEFT": Operator(_shift_left),
}
