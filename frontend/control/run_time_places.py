"""Places in sequences, and lengths of pieces, that values decide at run time."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from luthier.schedules import ModelError, Tensor, UnsupportedOperator

from ..onnx.given import leading_to
from ..onnx.opset import node_label
from ..program import Expect, Step
from .assembly import Assembly
from .deciding import Deciding
from .found_sizes import FoundSizes
from .parts import Listed, Parts, Scope, Stacked, is_outermost
from .spelled import OPSET, Spelled


@dataclass(frozen=True)
class RunTimePlaces:
    """Each function gives steps, and what comes of a node; raises ModelError and its kinds."""

    parts: Parts
    assembly: Assembly
    sizes: FoundSizes
    deciding: Deciding

    def at(
        self, node: onnx.NodeProto, scope: Scope, held: Listed | Stacked
    ) -> tuple[Sequence[Step], int]:
        """The tensor at a place."""
        if isinstance(held, Stacked):
            count = self.assembly.type(held.value).shape[0]
            place = _Place(self, node, node.input[1], scope, count, count)
            return place.steps, place.picked(held.value, place.number)
        place = _Place(self, node, node.input[1], scope, len(held.values), len(held.values))
        choice = _Choice(place, held.values)
        return place.steps, choice.tensor(place.number, range(len(held.values)), node.output[0])

    def inserted(
        self, node: onnx.NodeProto, scope: Scope, held: Listed, value: int
    ) -> tuple[Sequence[Step], Listed]:
        """The sequence with another tensor before a place."""
        count = len(held.values)
        place = _Place(self, node, node.input[2], scope, count, count + 1)
        choice, e, found = _Choice(place, (*held.values, value)), place.spelled, list[int]()
        for i in range(count + 1):
            later = e("Where", e("Equal", place.number, _number(i)), _number(count), _number(i - 1))
            source = e("Where", e("Greater", place.number, _number(i)), _number(i), later)
            candidates = {count, *([i] if i < count else []), *([i - 1] if i else [])}
            found.append(choice.tensor(source, sorted(candidates), f"{node.output[0]}_{i}"))
        return place.steps, Listed(tuple(found))

    def erased(
        self, node: onnx.NodeProto, scope: Scope, held: Listed
    ) -> tuple[Sequence[Step], Listed]:
        """The sequence without the tensor at a place."""
        count = len(held.values)
        place = _Place(self, node, node.input[1], scope, count, count)
        choice, e, found = _Choice(place, held.values), place.spelled, list[int]()
        for i in range(count - 1):
            source = e("Where", e("Greater", place.number, _number(i)), _number(i), _number(i + 1))
            found.append(choice.tensor(source, (i, i + 1), f"{node.output[0]}_{i}"))
        return place.steps, Listed(tuple(found))

    def split(self, node: onnx.NodeProto, scope: Scope, axis: int) -> tuple[Sequence[Step], Listed]:
        """Pieces along an axis, whose lengths are computed, or one length for all but the last."""
        label, output = node_label(node), node.output[0]
        x, given = (self.parts.value(name, scope, label) for name in node.input)
        lengths, size = self.assembly.type(given), self.assembly.type(x).shape[axis]
        steps = list[Step]()
        if not size and not lengths.shape:
            return steps, Listed(())
        if not lengths.shape:
            count = self.sizes.count(output, label)
            more, given = self._equal(given, size, count, output, label)
            steps += more
        count = self.assembly.type(given).shape[0]
        if not count:
            return steps, Listed(())
        inner: Scope = ChainMap({"whole": x, "lengths": given})
        if not is_outermost(scope):
            inner = inner.new_child().new_child()
        names = [f"{output}_{i}" for i in range(count)]
        cut = helper.make_node("Split", ["whole", "lengths"], names, node.name, axis=axis)
        steps += self.deciding.steps(cut, inner, {}, {})
        return steps, Listed(tuple(self.parts.value(name, inner, label) for name in names))

    def _equal(
        self, given: int, size: int, count: int, output: str, label: str
    ) -> tuple[Sequence[Step], int]:
        """The lengths of so many pieces, all but the last of which have the one that is given."""
        if not 1 <= count <= size:
            raise ModelError(f"{label}: {size} elements make no {count} pieces")
        choices = [n for n in range(1, size + 1) if -(-size // n) == count]
        if not choices:
            raise ModelError(f"{label}: {size} elements make no {count} pieces of one length")
        e = Spelled(output)
        inner: Scope = ChainMap({}, {}, {"given": given})
        length = e("Reshape", e.cast("given", "int64"), [1])
        kept = e.clipped(length, choices[0], choices[-1])
        # Any length above that of all elements makes one piece.
        wrong = e("Sub", length, kept) if count > 1 else e("Min", e("Sub", length, kept), [0])
        last = e("Sub", [size], e("Mul", kept, [count - 1]))
        lengths = e("Concat", *[kept] * (count - 1), last, axis=0)
        if len(choices) == 1:  # which is known, so that no size has to be found
            lengths = e.name([choices[0]] * (count - 1) + [size - (count - 1) * choices[0]])
        steps = _compute(self, e, inner, (wrong, lengths))
        says = f"by how much its length is none that makes {count} pieces of {size} elements:"
        wants = self.assembly.table(f"{output}/pieces", np.zeros(1, np.int64))
        asked = Expect(self.parts.value(wrong, inner, label), wants, says, label)
        return (*steps, asked), self.parts.value(lengths, inner, label)


class _Place:
    """A place in a sequence of ``count`` tensors, before ``end``, which a run asks for.

    ``number`` is what it is called among what is ``spelled``: a number without dimensions, from 0.
    """

    def __init__(
        self,
        owner: RunTimePlaces,
        node: onnx.NodeProto,
        name: str,
        scope: Scope,
        count: int,
        end: int,
    ) -> None:
        self.owner, self.node, self.label = owner, node, node_label(node)
        self.spelled, self.steps = Spelled(node.name or node.output[0]), list[Step]()
        self.outermost = is_outermost(scope)
        if end < 1:
            raise ModelError(f"{self.label}: there is nothing in the sequence")
        value = owner.parts.value(name, scope, self.label)
        kind = owner.assembly.type(value)
        if kind.size != 1 or kind.dtype not in ("int32", "int64"):
            raise ModelError(f"{self.label}: its place is {kind}, not one whole number")
        e = self.spelled
        self.inner: Scope = ChainMap({}, {}, {"place": owner.assembly.view(value, ())})
        given = e.cast("place", "int64")
        wrapped = e("Where", e("Less", given, _number(0)), e("Add", given, _number(count)), given)
        self.number = e.clipped(wrapped, _number(0), _number(end - 1))
        outside = e("Sub", wrapped, self.number)
        self.compute(outside, self.number)
        says = f"by how much its place is outside of a sequence of {count}:"
        wants = owner.assembly.table(f"{self.label}/place", np.array(0))
        self.steps.append(Expect(self.value(outside), wants, says, self.label))

    def value(self, name: str) -> int:
        """The value of what was computed."""
        return self.owner.parts.value(name, self.inner, self.label)

    def compute(self, *names: str) -> None:
        """Let what was spelled be computed."""
        self.steps += _compute(self.owner, self.spelled, self.inner, names)

    def picked(self, stack: int, number: str) -> int:
        """What lies at a place along the first dimension of a value."""
        name = f"stack {stack}"
        self.inner[name] = stack
        found = self.spelled("Gather", name, number, axis=0)
        self.compute(found)
        return self.value(found)


class _Choice:
    """One of some tensors, by a number that a run knows.

    Where they differ in shape, it is found how large it is: each is padded to the largest.
    """

    def __init__(self, place: _Place, values: Sequence[int]) -> None:
        self._place, self._values = place, values
        self._types = [place.owner.assembly.type(value) for value in values]
        ranks = {len(each.shape) for each in self._types}
        if len({each.dtype for each in self._types}) > 1 or len(ranks) > 1:
            named = ", ".join(dict.fromkeys(map(str, self._types)))
            raise UnsupportedOperator(
                f"{place.label}: to choose at run time among {named[:200]} is not supported"
            )
        (self._rank,) = ranks
        self._most = tuple(
            max(sizes) for sizes in zip(*(t.shape for t in self._types), strict=True)
        )
        self._stack: int | None = None

    def tensor(self, number: str, candidates: Sequence[int], name: str) -> int:
        """The one of a number, which is one of the ``candidates``; ``name`` is for its sizes."""
        if len(candidates) == 1:
            return self._values[candidates[0]]
        shapes = [self._types[i].shape for i in candidates]
        axes = [axis for axis in range(self._rank) if len({shape[axis] for shape in shapes}) > 1]
        found = self._place.picked(self._stacked(), number)
        if all(shape == self._most for shape in shapes):
            return found
        return self._cut(found, number, shapes[0], axes, name)

    def _stacked(self) -> int:
        """All of them, padded, one after the other."""
        if self._stack is None:
            padded = [self._padded(v, t) for v, t in zip(self._values, self._types, strict=True)]
            more, self._stack = self._place.owner.parts.stacked(padded, 0, self._place.label)
            self._place.steps += more
        return self._stack

    def _padded(self, value: int, tensor: Tensor) -> int:
        if tensor.shape == self._most:
            return value
        place = self._place
        name = f"tensor {value}"
        place.inner[name] = value
        widths = [most - size for most, size in zip(self._most, tensor.shape, strict=True)]
        found = place.spelled("Pad", name, [0] * self._rank + widths)
        place.compute(found)
        return place.value(found)

    def _cut(
        self, value: int, number: str, shape: Sequence[int], axes: Sequence[int], name: str
    ) -> int:
        """The beginning of a padded tensor, as large as the one of this number is."""
        place, e = self._place, self._place.spelled
        same = [axis for axis in range(self._rank) if axis not in axes]
        fixed = [axis for axis in same if shape[axis] != self._most[axis]]
        source, parts = "padded", place.owner.parts
        scope: Scope = ChainMap({source: value})
        if not place.outermost:
            scope = scope.new_child().new_child()
        if fixed:
            place.inner[source] = value
            cut = e("Slice", source, [0] * len(fixed), [shape[a] for a in fixed], fixed)
            place.compute(cut)
            scope[source] = place.value(cut)
        if axes:
            table = np.array([[t.shape[axis] for axis in axes] for t in self._types], np.int64)
            sizes = e("Gather", table, number, axis=0)
            place.compute(sizes)
            constant = place.owner.assembly.constant
            scope |= {
                "ends": place.value(sizes),
                "starts": constant(np.zeros(len(axes), np.int64)),
                "axes": constant(np.array(axes, np.int64)),
            }
            node = helper.make_node(
                "Slice", [source, "starts", "ends", "axes"], [name], place.label
            )
            place.steps += place.owner.deciding.steps(node, scope, {}, {})
            return parts.value(name, scope, place.label)
        return parts.value(source, scope, place.label)


def _compute(
    owner: RunTimePlaces, spelled: Spelled, inner: Scope, names: Sequence[str]
) -> Sequence[Step]:
    """The steps of what was spelled and is not there yet."""
    for name, array in spelled.constants.items():
        if name not in inner:
            inner[name] = owner.assembly.constant(array)
    missing = [name for name in dict.fromkeys(names) if name not in inner]
    left = [node for node in spelled.nodes if node.output[0] not in inner]
    return owner.parts.steps(leading_to(left, missing), missing, inner, OPSET)


def _number(number: int) -> np.ndarray[tuple[()], np.dtype[np.int64]]:
    return np.array(number, np.int64)
