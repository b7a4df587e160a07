"""Where the states of a library lie, and how an artifact describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from luthier.frontend.program import Entry, Library
from luthier.schedules import ModelError, Tensor
from luthier.schedules.ir.symbol import Symbol

from .arena import round_up
from .typed import each, text, whole

MOST_BYTES = 1 << 40


@dataclass(frozen=True)
class StateNote:
    """A state of an entry point: the input ``name``, which becomes the output ``becomes``.

    One that grows holds as much along ``axis`` as the size ``length`` says; ``tensor`` is the type
    of all that there is room for.
    """

    name: str
    becomes: str
    tensor: Tensor
    axis: int | None = None
    length: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        data: dict[str, Any] = {"name": self.name, "becomes": self.becomes}
        data |= {"dtype": self.tensor.dtype, "shape": list(self.tensor.shape)}
        return data if self.axis is None else data | {"axis": self.axis, "length": self.length}

    @staticmethod
    def from_json(data: Any, lengths: Mapping[str, Symbol]) -> StateNote:
        """Read ``to_json``'s form from untrusted data; raises ValueError and LuthierError."""
        shape = ",".join(map(str, each(whole, data["shape"])))
        tensor = Tensor.parse(f"{text(data['dtype'])}[{shape}]")
        name, becomes = text(data["name"]), text(data["becomes"])
        if "axis" not in data:
            return StateNote(name, becomes, tensor)
        axis, length = whole(data["axis"]), text(data["length"])
        if axis >= len(tensor.shape) or length not in lengths:
            raise ValueError("a state grows along no axis, or by no size of its entry point")
        return StateNote(name, becomes, tensor, axis, length)


def state_notes(entry: Entry) -> tuple[StateNote, ...]:
    """The states of an entry point, in order."""
    program = entry.variants[0]
    return tuple(
        StateNote(s.name, s.becomes, program.values[s.before], s.axis, s.length)
        for s in program.states
    )


@dataclass(frozen=True)
class StatePlaces:
    """The offset of each state of a library, its index among them, and the bytes of all."""

    offsets: Mapping[str, int]
    nbytes: int

    def index(self, name: str) -> int:
        """Which of the library's it is."""
        return list(self.offsets).index(name)

    @staticmethod
    def of(library: Library) -> StatePlaces:
        """Those of one name are one; raises ModelError where they are too large."""
        tensors = {
            state.name: state.tensor
            for entry in library.entries.values()
            for state in state_notes(entry)
        }
        offsets, end = {}, 0
        for name, tensor in tensors.items():
            offsets[name] = end
            end += round_up(tensor.nbytes)
        if end > MOST_BYTES:
            raise ModelError(f"the states need {end} bytes, more than {MOST_BYTES} can be kept")
        return StatePlaces(offsets, end)
