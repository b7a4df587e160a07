"""What commands take: a model, or several by name, and what is said of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx

from luthier.frontend import Bounds, ReadModel, Shapes, StateNames, read_model
from luthier.frontend.program.library import RUN
from luthier.schedules.errors import UsageError

Model = str | os.PathLike[str] | onnx.ModelProto | ReadModel
Values = Mapping[str, Any]


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


def read_all(
    models: Models,
    shapes: Shapes | None,
    values: Values | None,
    outputs: Sequence[str] | None,
    state: StateNames | None,
    bounds: Bounds | None = None,
) -> dict[str, ReadModel]:
    """Each of the models as it was read, by the name of its entry point.

    What is said besides is of one model that is no entry point among others. Raises UsageError
    where it is said of no model in particular.
    """
    if not isinstance(models, Mapping):
        return {RUN: EntryPoint(models, shapes, values, outputs, state, bounds).read()}
    if any((shapes, values, outputs, state, bounds)):
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
