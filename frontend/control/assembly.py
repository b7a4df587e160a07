"""A program under construction: straight programs, put together over values of one numbering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.schedules import ModelError, Tensor

from ..graph import Array
from ..graph.arrays import Mark, equal, mark, type_of
from ..graph.emitter import MOST_ELEMENTS
from ..program import Argument, Part, Program, Step, owner

_FEW = 16  # elements
_TOO_MUCH = "what is known of the model's parts takes too much memory"


class Assembly:
    """The values of all regions; ``room`` is how many bytes its constants may take."""

    def __init__(self, room: int) -> None:
        self._most = self._room = room
        self._values: list[Tensor] = []
        self._constants: dict[int, Array] = {}
        self._views: dict[int, int] = {}
        self._parts: dict[int, Part] = {}
        self._known: dict[Any, int] = {}
        self._alike: defaultdict[Mark, list[int]] = defaultdict(list)
        self._tables: set[int] = set()

    def type(self, value: int) -> Tensor:
        """Type of a value."""
        return self._values[value]

    def value(self, tensor: Tensor, where: str) -> int:
        """A new value, of ``where``; raises ModelError where it has too many elements."""
        shape = list(tensor.shape)
        if tensor.size > MOST_ELEMENTS:
            raise ModelError(f"{where}: the shape {shape} has more elements than can be indexed")
        return self._new(tensor)

    def view(self, value: int, shape: tuple[int, ...]) -> int:
        """The bytes of a value under another shape."""
        new = self._new(Tensor(shape, self._values[value].dtype))
        self._views[new] = value
        return new

    def constant(self, array: Array) -> int:
        """The value of an array; equal ones are one value, but for a few whole numbers, which may
        differ for other sizes of the model. Raises ModelError for too many."""
        tensor = type_of(array)
        key = ("object", id(array))
        if key in self._known:
            return self._known[key]
        is_few = array.dtype.kind in "iu" and array.size <= _FEW
        # One that was broadcast may be huge, and takes no memory.
        is_compared = not is_few and array.flags.c_contiguous
        alike = self._alike[mark(array)] if is_compared else list[int]()
        found = next((v for v in alike if equal(self._constants[v], array)), None)
        if found is not None:
            return found
        self._take(0 if 0 in array.strides else array.nbytes)
        value = self._new(tensor)
        self._constants[value] = array  # keeps the array alive, so its id stays its own
        alike.append(value)
        if not is_compared:
            self._known[key] = value
        return value

    def table(self, name: str, array: Array) -> int:
        """The value of an array, of a name, that is read when a program runs and not known before.

        What follows from it is computed, not folded, and no equal one of another name is the same:
        so programs of several sizes are alike.
        """
        if array.nbytes > self._most:  # one that was broadcast takes no memory before
            raise ModelError(_TOO_MUCH)
        key: Any = ("table", name, array.shape, array.dtype.str, array.tobytes())
        if key not in self._known:
            self._take(array.nbytes)
            self._known[key] = value = self._new(type_of(array))
            self._constants[value] = array
            self._tables.add(value)
        return self._known[key]

    def _take(self, size: int) -> None:
        self._room -= size
        if self._room < 0:
            raise ModelError(_TOO_MUCH)

    def known(self, value: int) -> Array | None:
        """The array, where a value is a constant or a view of one."""
        base = owner(value, self._views)
        array = None if base in self._tables else self._constants.get(base)
        return None if array is None else array.reshape(self._values[value].shape)

    def add(
        self, part: Program, inputs: Mapping[str, int]
    ) -> tuple[tuple[Step, ...], dict[str, int]]:
        """The steps of a program whose inputs are values, and its outputs by name."""
        number = {value: inputs[name] for name, value in part.inputs}
        number |= {value: self.constant(array) for value, array in part.constants.items()}
        for value, tensor in enumerate(part.values):
            if value not in number:
                number[value] = self._new(tensor)
        self._views |= {number[value]: number[base] for value, base in part.views.items()}
        for value, place in part.parts.items():
            self._parts[number[value]] = replace(place, whole=number[place.whole])
        steps = part.region.renumbered(number).statements
        return steps, {name: number[value] for name, value in part.outputs}

    def finish(
        self,
        name: str,
        inputs: Sequence[tuple[str, int]],
        outputs: Sequence[tuple[str, int]],
        steps: Sequence[Step],
        gives: tuple[Argument, ...] = (),
    ) -> Program:
        """The program of what was put together; see ``Program`` for what it ``gives``."""
        return Program(
            name,
            tuple(self._values),
            tuple(inputs),
            tuple(outputs),
            self._constants,
            self._views,
            tuple(steps),
            self._parts,
            gives=gives,
        ).compact()

    def _new(self, tensor: Tensor) -> int:
        self._values.append(tensor)
        return len(self._values) - 1
