"""Objects of other libraries that are models, told by the modules of their classes alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx

from luthier.frontend import Shapes
from luthier.schedules.errors import UsageError

from . import keras_objects, table_objects, torch_objects


@dataclass(frozen=True)
class Library:
    """Whose objects are models: ``owns`` tells them without an import, ``as_onnx`` takes an object,
    ``example_inputs`` and ``shapes``."""

    owns: Callable[[object], bool]
    as_onnx: Callable[[Any, Any, Shapes | None], onnx.ModelProto]


# A model of Keras may be a module of PyTorch, too.
_LIBRARIES = (
    Library(keras_objects.is_keras_object, keras_objects.as_onnx),
    Library(torch_objects.is_torch_object, torch_objects.as_onnx),
    Library(
        table_objects.is_table_object, lambda model, given, _: table_objects.as_onnx(model, given)
    ),
)


def is_object(value: object) -> bool:
    """Whether ``as_onnx`` takes it."""
    return any(each.owns(value) for each in _LIBRARIES)


def as_onnx(model: Any, example_inputs: Any, shapes: Shapes | None) -> Any:
    """The ONNX model of such an object; anything else is given back as it is.

    Raises UsageError where ``example_inputs`` are given of anything else, and what the libraries'
    ``as_onnx`` do.
    """
    for each in _LIBRARIES:
        if each.owns(model):
            return each.as_onnx(model, example_inputs, shapes)
    if example_inputs is not None:
        raise UsageError(
            "example_inputs are for torch modules and Keras's, scikit-learn's, XGBoost's or "
            "LightGBM's objects, of which the model is not one"
        )
    return model
