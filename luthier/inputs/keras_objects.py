"""Keras's own models as ONNX models, through what their backend can export.

Keras is an optional dependency: whoever has such an object has it, and nothing here imports it
before. With PyTorch as its backend a model is captured like any module of PyTorch; with TensorFlow
it is converted to TensorFlow Lite, in memory.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from luthier.frontend import Shapes
from luthier.frontend.messages import one_line
from luthier.frontend.tflite.reader import read_tflite
from luthier.schedules.errors import ModelError, UsageError

from . import torch_objects
from .quiet import quiet

_NAMES = ("keras", "tf_keras")
_EXAMPLE = 2  # of an open size: torch takes 1 for one that is always so


def is_keras_object(value: object) -> bool:
    """Whether ``as_onnx`` takes it; without an import of Keras, which made it if so."""
    found = (sys.modules.get(name) for name in _NAMES)
    return any(isinstance(value, getattr(module, "Model", ())) for module in found)


def as_onnx(model: Any, example_inputs: Any, shapes: Shapes | None) -> onnx.ModelProto:
    """The ONNX model of a Keras model, as it predicts.

    A model that knows its inputs needs no ``example_inputs``; another takes an array, or a tuple of
    what its ``call`` takes. Inputs are called as in the model, outputs like the keys of what it
    gives, or as PyTorch's or TensorFlow's exporter calls them. Sizes that the model leaves open
    stay so. Raises UsageError, and ModelError for what the backend cannot export.
    """
    backend = _backend(model)
    if backend == "torch":
        return _by_torch(model, example_inputs, shapes or {})
    if backend == "tensorflow":
        return _by_tensorflow(model, example_inputs)
    raise ModelError(
        f"a Keras model with the backend '{backend}' is not supported: save it, and load it again "
        "where KERAS_BACKEND is torch or tensorflow"
    )


def _backend(model: Any) -> str:
    """What computes a model; of Keras 2 it is TensorFlow."""
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        return "tensorflow"
    return str(keras.backend.backend())


def _inputs(model: Any) -> Sequence[Any]:
    """What a model says that it takes; nothing where it was not built."""
    try:
        found = model.inputs
    except (AttributeError, ValueError):
        return ()
    if isinstance(found, Mapping):
        return tuple(found.values())
    return tuple(found) if isinstance(found, Sequence) else (() if found is None else (found,))


def _by_torch(model: Any, example_inputs: Any, shapes: Shapes) -> onnx.ModelProto:
    import torch  # noqa: PLC0415 - there, since it is the backend, and heavy

    known = _inputs(model)
    if example_inputs is not None or not known:
        return torch_objects.as_onnx(model, example_inputs, shapes)
    names = _identifiers([tensor.name for tensor in known])
    examples, open_shapes = [], dict[str, Any](shapes)
    for name, tensor in zip(names, known, strict=True):
        sizes = [_EXAMPLE if size is None else int(size) for size in tensor.shape]
        kind = getattr(torch, str(tensor.dtype).rpartition(".")[2])
        examples.append(torch.zeros(sizes, dtype=kind))
        open_shapes.setdefault(
            name,
            tuple(
                size if size is not None else f"{name}_{axis}" if axis else "batch"
                for axis, size in enumerate(tensor.shape)
            ),
        )
    return torch_objects.as_onnx(_wrapped(torch, model, names), tuple(examples), open_shapes)


def _identifiers(names: Sequence[str]) -> list[str]:
    """Names that arguments may have, each another."""
    found = list[str]()
    for name in names:
        plain = re.sub(r"\W", "_", name)
        plain = plain if plain.isidentifier() else f"input_{plain}"
        while plain in found:
            plain += "_"
        found.append(plain)
    return found


def _wrapped(torch: Any, model: Any, names: Sequence[str]) -> Any:
    """A module whose ``forward`` takes the model's inputs by these names."""
    structure = getattr(model, "_inputs_struct", None)

    class Wrapped(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *given: Any) -> Any:
            if isinstance(structure, Mapping):
                return self.model(dict(zip(structure, given, strict=True)), training=False)
            whole = given[0] if len(given) == 1 else list(given)
            return self.model(whole, training=False)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    listed = [inspect.Parameter(name, kind) for name in names]
    wrapped, forward = Wrapped(), Wrapped.forward

    def named(*given: Any) -> Any:
        return forward(wrapped, *given)

    named.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    wrapped.forward = named  # type: ignore[method-assign]
    return wrapped


def _by_tensorflow(model: Any, example_inputs: Any) -> onnx.ModelProto:
    tensorflow = sys.modules["tensorflow"]
    if example_inputs is not None:
        if _inputs(model):
            raise UsageError("example_inputs are for Keras models that do not know their inputs")
        _call(model, example_inputs)
    converter = tensorflow.lite.TFLiteConverter.from_keras_model(model)
    converter.experimental_enable_resource_variables = True
    try:
        with quiet():
            data = bytes(converter.convert())
    except Exception as error:
        raise ModelError(f"TensorFlow cannot convert the model: {one_line(error)}") from error
    return read_tflite(data, "the model")


def _call(model: Any, example_inputs: Any) -> None:
    """Let a model learn what it takes."""
    given = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    try:
        with quiet():
            model(*given)
    except Exception as error:
        raise UsageError(f"example_inputs do not fit the model: {one_line(error)}") from error
