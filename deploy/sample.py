"""The sample that an artifact keeps: inputs, outputs, and how close to them is close enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from .typed import mapping, number, text

Array = NDArray[Any]

_LONGEST = 300  # characters of a text for people


@dataclass(frozen=True)
class Tolerance:
    """How far elements may be from what is right: by ``atol + rtol * |right|``.

    A ``share`` of them, 0 to 1, may be farther. ``why`` says what that follows from.
    """

    rtol: float
    atol: float
    why: str
    share: float = 0.0

    @property
    def is_discrete(self) -> bool:
        """Whether it is one for numbers that are steps apart: relative errors have no meaning."""
        return self.rtol == 0

    def __str__(self) -> str:
        bounds = {"rtol": self.rtol, "atol": self.atol}
        numbers = ", ".join(f"{name} {number:.3g}" for name, number in bounds.items() if number)
        text = f"{self.why}: {numbers}" if numbers else self.why
        return text + (f", {self.share:.2g} of the elements may be farther" if self.share else "")

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        return {"rtol": self.rtol, "atol": self.atol, "share": self.share, "why": self.why}

    @staticmethod
    def from_json(data: Any) -> Tolerance:
        """Read ``to_json``'s form from untrusted data; raises ValueError, TypeError, KeyError."""
        rtol, atol, share = (number(data[key]) for key in ("rtol", "atol", "share"))
        if share > 1:
            raise ValueError("a share is not above 1")
        return Tolerance(rtol, atol, text(data["why"])[:_LONGEST], share)


@dataclass(frozen=True)
class SampleNote:
    """Who computed a sample's outputs (empty: nobody could), and their tolerances by name."""

    source: str
    tolerances: Mapping[str, Tolerance]

    def to_json(self) -> dict[str, Any]:
        """The form that manifests have."""
        return {
            "source": self.source,
            "tolerances": {name: t.to_json() for name, t in self.tolerances.items()},
        }

    @staticmethod
    def from_json(data: Any) -> SampleNote:
        """Read ``to_json``'s form from untrusted data; raises as ``Tolerance.from_json`` does."""
        tolerances = mapping(data["tolerances"]).items()
        return SampleNote(
            text(data["source"])[:_LONGEST],
            {text(name): Tolerance.from_json(t) for name, t in tolerances},
        )


@dataclass(frozen=True)
class Sample:
    """Arrays by the names of inputs and outputs; no outputs where nobody could compute them."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    note: SampleNote = field(default_factory=lambda: SampleNote("", {}))

    def arrays(self) -> dict[str, Array]:
        """What ``sample.npz`` holds."""
        named = {f"in:{name}": array for name, array in self.inputs.items()}
        return {**named, **{f"out:{name}": array for name, array in self.outputs.items()}}
