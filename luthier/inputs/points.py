"""What commands take: a model, or several by name, and what is said of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from luthier.frontend import (
    Bounds,
    Postprocessing,
    Preprocessing,
    ReadModel,
    Shapes,
    StateNames,
    read_model,
)
from luthier.frontend.program.library import RUN
from luthier.schedules.errors import UsageError

from .objects import as_onnx

Model: TypeAlias = Any
"""A file's path, an ``onnx.ModelProto``, a model that was read, or an object of another
library: PyTorch, scikit-learn, XGBoost, LightGBM."""
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
    example_inputs: Any = None
    preprocess: Preprocessing | None = None
    postprocess: Postprocessing | None = None

    def read(self, name: str = "") -> ReadModel:
        """Of a file with several signatures that of this name, if there is one.

        Raises what ``read_model`` and ``as_onnx`` do."""
        return read_model(
            as_onnx(self.model, self.example_inputs, self.shapes),
            self.shapes,
            self.values,
            self.outputs,
            self.state,
            self.bounds,
            self.preprocess,
            self.postprocess,
            name,
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
    example_inputs: Any = None,
    preprocess: Preprocessing | None = None,
    postprocess: Postprocessing | None = None,
) -> dict[str, ReadModel]:
    """Each of the models as it was read, by the name of its entry point.

    What is said besides is of one model that is not an entry point among others. Raises UsageError
    where it is said of no model in particular.
    """
    processing = (preprocess, postprocess)
    if not isinstance(models, Mapping):
        said = (shapes, values, outputs, state, bounds, example_inputs, *processing)
        return {RUN: EntryPoint(models, *said).read()}
    if any((shapes, values, outputs, state, bounds, *processing)) or example_inputs is not None:
        raise UsageError(
            "shapes, values, outputs, state, bounds, example_inputs, preprocess and postprocess "
            "are said of each entry point: EntryPoint(model, shapes=...)"
        )
    for name in models:
        if not (name.isascii() and name.isidentifier()):
            raise UsageError(
                f"{name!r} cannot be the name of an entry point: letters, digits and _ can"
            )
    if not models:
        raise UsageError("no entry points are given; a library needs one")
    points = {n: m if isinstance(m, EntryPoint) else EntryPoint(m) for n, m in models.items()}
    return {name: point.read(name) for name, point in points.items()}
