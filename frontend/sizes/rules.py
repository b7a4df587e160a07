"""Rules by which the numbers of a model follow from its sizes, told from imports at some sizes, and
whether another import follows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.ir.size import Size, Sizes
from luthier.schedules.ir.size import value as value_of
from luthier.schedules.ir.symbol import Symbol

from ..onnx.notes import FEW, NodeNote, PartNotes
from .bits import begins, is_one_number, same
from .comparisons import COMPARISONS, otherwise, undecided
from .computed import may_be_computed, runs
from .fit import Points, UndecidedError
from .grids import grid

Array = NDArray[Any]
Notes: TypeAlias = Sequence[PartNotes]
_Number: TypeAlias = int | Size | None  # None where no rule is known
_Key: TypeAlias = tuple[str, str, int]


class Broken(NamedTuple):
    """What does not follow the rules first, for people; and all numbers that a run could compute
    instead, by name, with the most that they were anywhere."""

    reason: str
    numbers: Mapping[str, int] = MappingProxyType({})


class _Place(NamedTuple):
    part: PartNotes
    node: NodeNote

    def known(self, name: str) -> Array | None:
        """The array of something that the node reads or gives."""
        return self.part.arrays.get(name)


_Placed: TypeAlias = Mapping[_Key, _Place]


class _Rule(NamedTuple):
    """Of a node: where it is in the imports that tell it, and what the shapes of its results are,
    by their numbers."""

    places: Sequence[_Place]
    shapes: Mapping[int, Sequence[_Number]]

    @property
    def model(self) -> _Place:
        """Where it is in that of the largest sizes."""
        return self.places[-1]

    def operands(self, index: int) -> list[Array | None]:
        """What one is in each import."""
        return [place.known(place.node.inputs[index]) for place in self.places]

    def results(self, index: int) -> list[Array | None]:
        """The same of a result."""
        return [place.known(place.node.outputs[index]) for place in self.places]


class Rules:
    """Of the nodes that become kernels where sizes are those of the ``points``.

    ``notes`` are those of the imports there, of the largest last. Parts none of whose results is
    among the ``named`` values of the model are right for any size.
    """

    def __init__(self, points: Points, notes: Sequence[Notes], named: Collection[str]) -> None:
        self._points, self._named = points, named
        self._imports = [_placed(each) for each in notes]
        self._met: dict[tuple[int, ...], _Number] = {}
        self._rules: dict[_Key, _Rule | None] = {}
        for _ in range(2):  # what sums are of is known at the second time
            self._met.clear()
            for key, place in self._imports[-1].items():
                left = place.part.left
                if not left.isdisjoint(place.node.outputs) and not left.isdisjoint(named):
                    self._rules[key] = self._rule(key)
        self._made = {
            (id(place.part), name): key
            for key, place in self._imports[-1].items()
            for name in place.node.outputs
        }

    def _rule(self, key: _Key) -> _Rule | None:
        places = [each[key] for each in self._imports if key in each]
        if len(places) < len(self._imports):
            return None
        part, node = places[-1]
        shapes = {
            i: self._dims([p.part.shapes.get(p.node.outputs[i]) for p in places])
            for i, name in enumerate(node.outputs)
            if name in part.left and name in part.shapes
        }
        return _Rule(places, shapes)

    def _dims(self, shapes: Sequence[tuple[int, ...] | None]) -> Sequence[_Number]:
        known = [shape for shape in shapes if shape is not None]
        if len(known) < len(shapes) or len(set(map(len, known))) > 1:
            return (None,)
        return tuple(self._fit(numbers) for numbers in zip(*known, strict=True))

    def _fit(self, numbers: Sequence[int]) -> _Number:
        key = tuple(map(int, numbers))
        if key not in self._met:
            try:
                self._met[key] = self._points.fit(key)
            except UndecidedError:
                self._met[key] = None
        return self._met[key]

    def broken(
        self, sizes: Sizes, notes: Notes, *, whole: bool = True, skipped: Collection[str] = ()
    ) -> Broken | None:
        """What does not follow the rules in the import at these sizes, which may have ended before
        the ``whole`` was met; values that are ``skipped`` it has no need to compute."""
        placed, reasons = _placed(notes), list[str]()
        numbers: dict[str, int] = {}
        for key, rule in self._rules.items():
            place = placed.get(key)
            if place is None:
                if whole and key[0] not in skipped:
                    reasons.append(f"'{key[0]}' is not computed")
                continue
            if rule is None:
                reasons.append(f"'{key[0]}': no rule tells it")
                continue
            wrong = self._other_number(rule, place, sizes)
            if wrong is not None:
                reasons.append(f"'{key[0]}': '{wrong}' is another number")
                numbers |= self._computed(id(rule.model.part), wrong, placed, sizes)
            elif reason := self._other_node(rule, place) or self._other_shape(rule, place, sizes):
                reasons.append(f"'{key[0]}': {reason}")
        return Broken(reasons[0], numbers) if reasons else None

    def otherwise(self, symbols: Sequence[Symbol]) -> dict[str, list[dict[str, int]]]:
        """Comparisons that come out alike in all imports, by the names of their results, and
        choices of sizes for which they would not."""
        found = {}
        for key, (part, node) in self._imports[-1].items():
            if key[1] not in COMPARISONS or node.outputs[0] not in part.arrays:
                continue
            rule = self._rule(key)
            pairs = None if rule is None or not _is_alike(rule) else self._pairs(rule)
            if rule is not None and pairs is not None:
                outcomes = part.arrays[node.outputs[0]].reshape(-1).tolist()
                others = otherwise(key[1], pairs, outcomes, symbols)
                if others:
                    found[node.outputs[0]] = others
        return found

    def undecided(self, known: Sequence[Sizes], symbols: Sequence[Symbol]) -> list[dict[str, int]]:
        """Choices of sizes for which comparisons come out as at none of the ``known`` ones."""
        keys = [key for key in self._imports[-1] if key[1] in COMPARISONS]
        pairs = ((key[1], self._pairs(rule)) for key in keys if (rule := self._rule(key)))
        return undecided([(op, some) for op, some in pairs if some], known, symbols)

    def following(self, names: Collection[str]) -> dict[str, int]:
        """Known numbers by their names, and those of the model that are computed from them, with
        the most that they were in any import."""
        found = dict.fromkeys(names, 1)
        for part, node in self._imports[-1].values():
            known = [part.arrays[o] for o in node.outputs if o in part.arrays and o in self._named]
            few = len(known) == len(node.outputs) and all(array.size <= FEW for array in known)
            if few and not found.keys().isdisjoint(node.inputs):
                most = max(int(array.max(initial=1)) for array in known)
                found |= dict.fromkeys(node.outputs, most)
        return found

    def _pairs(self, rule: _Rule) -> list[tuple[int | Size, int | Size]] | None:
        """What a comparison compares, element by element; None where those are not a few numbers
        that follow rules."""
        results, sides = rule.results(0), list[list[int | Size]]()
        shapes = {None if r is None or r.size > FEW else r.shape for r in results}
        if len(shapes) > 1 or None in shapes:
            return None
        shape = rule.model.part.arrays[rule.model.node.outputs[0]].shape
        for i in range(2):
            arrays = [a for a in rule.operands(i) if a is not None and may_be_computed(a)]
            if len(arrays) < len(results):
                return None
            spread = [np.broadcast_to(a, shape) for a in arrays if a.ndim <= len(shape)]
            numbers = [self._fit(each) for each in zip(*(a.flat for a in spread), strict=True)]
            known = [each for each in numbers if each is not None]
            if len(known) < len(numbers):
                return None
            sides.append(known)
        return list(zip(*sides, strict=True))

    def _other_node(self, rule: _Rule, place: _Place) -> str | None:
        model = rule.model
        if model.node.attrs != place.node.attrs:
            return "its attributes are others"
        if len(model.node.inputs) != len(place.node.inputs):
            return "it reads more or less"
        for name, own in zip(model.node.inputs, place.node.inputs, strict=True):
            if model.known(name) is None and name != own and place.known(own) is None:
                return f"it reads '{own}'"
        return None

    def _other_number(self, rule: _Rule, place: _Place, sizes: Sizes) -> str | None:
        """An operand, or a result that is known, which is not what the rule says."""
        model = rule.model
        for i, (name, own) in enumerate(zip(model.node.inputs, place.node.inputs, strict=False)):
            known = model.known(name) is not None
            if known and not self._follows(rule.operands(i), place.known(own), sizes):
                return name
        for i, (name, own) in enumerate(zip(model.node.outputs, place.node.outputs, strict=False)):
            known = name in model.part.left and model.known(name) is not None
            if known and not self._follows(rule.results(i), place.known(own), sizes):
                return name
        return None

    def _other_shape(self, rule: _Rule, place: _Place, sizes: Sizes) -> str | None:
        for i, dims in rule.shapes.items():
            shape = place.part.shapes.get(place.node.outputs[i])
            if shape is None or len(shape) != len(dims):
                return "it has another number of dimensions"
            if None in dims:
                return "no rule tells its shape"
            expected = [int(value_of(dim, sizes)) for dim in dims if dim is not None]
            if expected != list(shape):
                return f"its shape is {list(shape)}, where the rule says {expected}"
        return None

    def _computed(self, part: int, name: str, placed: _Placed, sizes: Sizes) -> dict[str, int]:
        """Numbers that do not follow their rules and lead to one that does not, which is one of
        them if it has few elements: none where they are not the model's own."""
        key = self._made.get((part, name))
        rule = self._rule(key) if key is not None else None
        place = placed.get(key) if key is not None else None
        if rule is None or place is None or name not in self._named:
            return {}
        index = rule.model.node.outputs.index(name)
        arrays = [*rule.results(index), place.known(place.node.outputs[index])]
        known = [array for array in arrays if array is not None]
        if len(known) < len(arrays) or known[0].dtype.kind not in "iubf":
            return {}
        numbers: dict[str, int] = {}
        if all(array.size <= FEW for array in known):  # of more what leads to them is computed
            numbers[name] = max(int(array.max(initial=0)) for array in known)
        for i, (read, own) in enumerate(
            zip(rule.model.node.inputs, place.node.inputs, strict=False)
        ):
            if rule.model.known(read) is None:
                continue
            if not self._follows(rule.operands(i), place.known(own), sizes):
                more = self._computed(part, read, placed, sizes)
                if not more:
                    return {}
                numbers |= more
        return numbers

    def _follows(self, arrays: Sequence[Array | None], other: Array | None, sizes: Sizes) -> bool:
        """Whether an array is what those of the other sizes say."""
        known = [array for array in arrays if array is not None]
        if other is None or len(known) < len(arrays):
            return False
        last = known[-1]
        if all(same(array, last) for array in known):
            return same(other, last)
        dims = self._dims([array.shape for array in known])
        if None in dims or [value_of(n, sizes) for n in dims if n is not None] != [*other.shape]:
            return False
        return self._has_elements(known, other, sizes)

    def _has_elements(self, known: Sequence[Array], other: Array, sizes: Sizes) -> bool:
        """The same of the elements of an array whose shape is right."""
        first, last = known[0], known[-1]
        if may_be_computed(last) and all(array.shape == first.shape for array in known):
            rules = [self._fit(each) for each in zip(*(a.flat for a in known), strict=True)]
            numbers = [None if rule is None else value_of(rule, sizes) for rule in rules]
            return numbers == other.reshape(-1).tolist()
        if all(begins(last, array) for array in known):
            return begins(last, other)
        if is_one_number([*known, other]):
            return True
        found = runs(known, self._fit)
        if found is None:
            return self._is_grid(known, other, sizes)
        lengths = [int(value_of(length, sizes)) for length in found.lengths]
        line = np.repeat(np.asarray(found.values, other.dtype), lengths)
        whole = line.reshape([-1 if i == found.axis else 1 for i in range(other.ndim)])
        return len(line) == other.shape[found.axis] and bool((other == whole).all())

    def _is_grid(self, known: Sequence[Array], other: Array, sizes: Sizes) -> bool:
        try:
            found = grid(known, self._points)
        except UndecidedError:
            return False
        return found is not None and same(found.at(sizes, other), other)


def _is_alike(rule: _Rule) -> bool:
    """Whether a result is known and the same in all imports."""
    last = rule.results(0)[-1]
    return last is not None and all(r is not None and same(r, last) for r in rule.results(0))


def differing_truths(ours: Notes, others: Notes, named: Collection[str]) -> set[str]:
    """Truths known in two imports, each of another outcome, that follow from no other of these."""
    found, placed = set[str](), _placed(others)
    for key, place in _placed(ours).items():
        other = placed.get(key)
        if other is None or not found.isdisjoint(place.node.inputs):
            continue
        for name, own in zip(place.node.outputs, other.node.outputs, strict=False):
            both = [each for each in (place.known(name), other.known(own)) if each is not None]
            truths = {bool(each) for each in both if each.dtype.kind == "b" and each.size == 1}
            if name in named and len(truths) > 1:
                found.add(name)
    return found


def _placed(notes: Notes) -> dict[_Key, _Place]:
    """Nodes by the name of a result, their operator, and how often there was one before."""
    return dict(_keyed(notes))


def _keyed(notes: Notes) -> Iterator[tuple[_Key, _Place]]:
    met = Counter[tuple[str, str]]()
    for part in notes:
        for node in part.nodes:
            name = next((output for output in node.outputs if output), "")
            yield (name, node.op, met[name, node.op]), _Place(part, node)
            met[name, node.op] += 1
