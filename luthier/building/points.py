"""The entry points of a build: models by name, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.frontend import Bounds, ReadModel, Shapes, StateNames, read_model
from luthier.frontend.program.library import RUN
from luthier.schedules.errors import UsageError

from ..tuning.tune import Model, Values


@dataclass(frozen=True)
class EntryPoint:
    """A model that becomes an entry point of a library, with what ``build`` takes for one model."""

    model: Model
    shapes: Shapes | None = None
    values: Values | None = None
    outputs: Sequence[str] | None = None
    state: StateNames | None = None
    bounds: Bounds | None = None

    def read(self) -> ReadModel:
        """Raises what ``read_model`` does."""
        return read_model(
            self.model, self.shapes, self.values, self.outputs, self.state, self.bounds
        )


Models = Model | Mapping[str, Model | EntryPoint]
"""A model; or several, each an entry point of one library, by name."""


def read_all(models: Models, alone: EntryPoint) -> dict[str, ReadModel]:
    """Each of the models as it was read, by the name of its entry point.

    ``alone`` has what is said of one model that is no entry point among others. Raises UsageError
    where something is said of no model in particular.
    """
    if not isinstance(models, Mapping):
        return {RUN: alone.read()}
    if any((alone.shapes, alone.values, alone.outputs, alone.state, alone.bounds)):
        raise UsageError(
            "shapes, values, outputs, state and bounds are said of each entry point: "
            "EntryPoint(model, shapes=...)"
        )
    for name in models:
        if not (name.isascii() and name.isidentifier()):
            raise UsageError(
                f"{name!r} cannot be the name of an entry point: letters, digits and _ can"
            )
    if not models:
        raise UsageError("no entry points are given; a library needs one")
    points = {n: m if isinstance(m, EntryPoint) else EntryPoint(m) for n, m in models.items()}
    return {name: point.read() for name, point in points.items()}
