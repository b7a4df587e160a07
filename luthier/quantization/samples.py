"""The user's data as runs: one sample of each input after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from luthier.schedules.errors import InputError
from luthier.schedules.redaction import shown

Array = NDArray[Any]
Run: TypeAlias = "dict[str, Array]"
Data: TypeAlias = "Mapping[str, Any] | Iterable[Mapping[str, Any]]"


def runs_of(model: onnx.ModelProto, data: Data) -> list[Run]:
    """Arrays by input name as one run for each sample; mappings are runs as they are.

    An array [samples, *shape], ``shape`` the input's, has a sample in each row; so has [samples *
    batch, ...] where an input's first dimension is a batch: its own size, or 1 where it is open.
    Raises InputError for what the model cannot take.
    """
    inputs = _inputs(model)
    if isinstance(data, Mapping):
        return _split(inputs, {name: np.asarray(array) for name, array in data.items()})
    runs = []
    for number, each in enumerate(data):
        if not isinstance(each, Mapping):
            raise InputError(f"sample {number} must map names to arrays, not {shown(each)}")
        run = {name: np.asarray(array) for name, array in each.items()}
        _check_names(inputs, run)
        runs.append({n: _checked(n, a, inputs[n], inputs[n].shape) for n, a in run.items()})
    if not runs:
        raise InputError("the data has no sample")
    return runs


class _Input:
    """An input's type; of its sizes those that are open are None, and None of an unknown rank."""

    def __init__(self, value: onnx.ValueInfoProto) -> None:
        tensor = value.type.tensor_type
        self.dtype = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        self.shape: tuple[int | None, ...] | None = None
        if tensor.HasField("shape"):
            dims = tensor.shape.dim
            self.shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in dims)


def _inputs(model: onnx.ModelProto) -> dict[str, _Input]:
    weights = {tensor.name for tensor in model.graph.initializer}
    return {v.name: _Input(v) for v in model.graph.input if v.name not in weights}


def _check_names(inputs: Mapping[str, _Input], given: Mapping[str, Array]) -> None:
    for what, names in (
        ("the data lacks the input", inputs.keys() - given),
        ("the model has no input", given.keys() - inputs),
    ):
        if names:
            raise InputError(f"{what} {shown(min(names))}: give each of {_listed(inputs)}")


def _listed(inputs: Iterable[str]) -> str:
    return ", ".join(shown(name) for name in inputs)


def _split(inputs: Mapping[str, _Input], arrays: Mapping[str, Array]) -> list[Run]:
    """A run for each sample that all arrays have."""
    _check_names(inputs, arrays)
    samples = {name: _samples(name, arrays[name], each) for name, each in inputs.items()}
    counts = {name: len(some) for name, some in samples.items()}
    if not counts or not max(counts.values()):
        raise InputError("the data has no sample")
    if len(set(counts.values())) > 1:
        said = ", ".join(f"{shown(name)} {count}" for name, count in counts.items())
        raise InputError(f"inputs have different numbers of samples: {said}")
    return [dict(zip(samples, some, strict=True)) for some in zip(*samples.values(), strict=True)]


def _samples(name: str, array: Array, wanted: _Input) -> Sequence[Array]:
    """The rows of an array that are samples."""
    shape = wanted.shape
    if shape is None or array.ndim == len(shape) + 1:
        return [_checked(name, row, wanted, shape) for row in array] if array.ndim else []
    if array.ndim != len(shape) or not shape:
        raise InputError(_misfit(name, array, shape))
    batch = 1 if shape[0] is None else shape[0]
    if not batch or len(array) % batch:
        raise InputError(_misfit(name, array, shape))
    parts = array.reshape(len(array) // batch, batch, *array.shape[1:])
    return [_checked(name, part, wanted, shape) for part in parts]


def _checked(
    name: str, array: Array, wanted: _Input, shape: tuple[int | None, ...] | None
) -> Array:
    """A sample that the input takes; numbers of another type are cast where that is exact."""
    fits = shape is None or (
        array.ndim == len(shape)
        and all(d in (None, n) for d, n in zip(shape, array.shape, strict=True))
    )
    if not fits:
        raise InputError(_misfit(name, array, shape or ()))
    if array.dtype != wanted.dtype and not np.can_cast(array.dtype, wanted.dtype, "same_kind"):
        raise InputError(f"the input {shown(name)} is {wanted.dtype}, and the data {array.dtype}")
    return np.ascontiguousarray(array.astype(wanted.dtype, copy=False))


def _misfit(name: str, array: Array, shape: Sequence[int | None]) -> str:
    sizes = ", ".join("?" if size is None else str(size) for size in shape)
    return (
        f"the data of {shown(name)} is {list(array.shape)}, and a sample [{sizes}]: give "
        f"[samples, {sizes}]"
    )
