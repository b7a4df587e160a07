"""The bytes of a model, read once: its file, and the weights that it keeps in other files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import BinaryIO

import onnx
import psutil
from google.protobuf.message import DecodeError
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from luthier.schedules import ModelError
from luthier.schedules.files import open_regular
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.redaction import shown

from ..formats import check_no_saved_model, format_of
from ..messages import one_line
from .element_types import dtype_name
from .function_size import MOST_BYTES, MOST_TIMES

_MOST_SERIALISED = 2**31  # bytes that protobuf can write


class ModelFile:
    """An open model file. ``digest`` is the SHA-256 of all that was read so far, in hex."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Use ``reading``."""
        self._path, self._file = path, file
        self._sha256 = hashlib.sha256()
        self._seen = {path: _state(os.fstat(file.fileno()))}

    @property
    def digest(self) -> str:
        """Of the file, and of the weights in other files."""
        return self._sha256.hexdigest()

    def parsed(self, entry: str = "") -> onnx.ModelProto:
        """What is in the file, in another format than ONNX too; raises ModelError.

        A file of several models is that of the name ``entry``, if it has one.
        """
        size = os.fstat(self._file.fileno()).st_size
        _check_memory(self._path, size)
        data = self._file.read()
        self._sha256.update(data)
        other = format_of(data, shown(self._path))
        if other is not None:
            _check_memory(self._path, size, other.memory)
            return other.read(data, shown(self._path), entry)
        model = onnx.ModelProto()
        try:
            model.ParseFromString(data)
        except DecodeError as error:
            raise ModelError(
                f"{shown(self._path)}: this is not an ONNX file, or it is cut short"
            ) from error
        return model

    def load_external(self, model: onnx.ModelProto) -> None:
        """Put the weights that are in other files into the model; raises ModelError."""
        outside = [t for t in tensors(model) if uses_external_data(t)]
        places = [_place(t, self._path) for t in outside]
        wanted = sum(length for _, _, length in places)
        there = sum(path.stat().st_size for path in {path for path, _, _ in places})
        if wanted > max(MOST_BYTES, MOST_TIMES * there):
            raise ModelError(
                f"{shown(self._path)}: its tensors take {wanted} bytes from other files that hold "
                f"{there}: they lie in the same places more than {MOST_TIMES} times"
            )
        _check_memory(self._path, os.fstat(self._file.fileno()).st_size + wanted)
        for tensor, (file, offset, length) in zip(outside, places, strict=True):
            data = self._part(file, offset, length)
            self._sha256.update(data)
            tensor.raw_data = data
            tensor.data_location = TensorProto.DEFAULT
            del tensor.external_data[:]

    def _part(self, path: Path, offset: int, length: int) -> bytes:
        with open_regular(path) as file:
            state = _state(os.fstat(file.fileno()))
            file.seek(offset)
            data = file.read(length)
        if len(data) != length or self._seen.setdefault(path, state) != state:
            raise ModelError(_changed(path))
        return data

    def check_unchanged(self) -> None:
        """Raises ModelError where a file is not what it was when it was opened."""
        for path, state in self._seen.items():
            if _state(path.stat()) != state:
                raise ModelError(_changed(path))


@contextmanager
def reading(path: Path) -> Iterator[ModelFile]:
    """The model file at ``path``, which may not change while the block reads it.

    Raises ModelError for what cannot be read.
    """
    try:
        check_no_saved_model(path, shown(path))
        with open_regular(path) as opened:
            file = ModelFile(path, opened)
            yield file
            file.check_unchanged()
    except (OSError, ValueError) as error:
        raise ModelError(f"{shown(path)}: cannot be read ({one_line(error)})") from error


def tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """All tensors of a model, those of its functions and of graphs inside nodes too."""
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _tensors(function)


def _tensors(body: onnx.GraphProto | onnx.FunctionProto) -> Iterator[TensorProto]:
    if isinstance(body, onnx.GraphProto):
        yield from body.initializer
        yield from (t for s in body.sparse_initializer for t in (s.values, s.indices))
    for node in body.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor"):
                yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def proto_digest(model: onnx.ModelProto) -> str:
    """SHA-256 of the deterministic serialisation; above what protobuf can write, of a file that
    keeps its raw data outside, and of that data.
    """
    if model.ByteSize() < _MOST_SERIALISED:
        return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()
    light = deepcopy(model)
    for tensor in tensors(light):
        tensor.ClearField("raw_data")
    digest = hashlib.sha256(light.SerializeToString(deterministic=True))
    for tensor in tensors(model):
        digest.update(tensor.raw_data)
    return digest.hexdigest()


def _state(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _changed(path: Path) -> str:
    return f"{shown(path)}: it changed while it was read; run again once it is written"


def _check_memory(path: Path, size: int, times: int = 2) -> None:
    # Once as read and once as arrays.
    available = psutil.virtual_memory().available
    if times * size > available:
        raise ModelError(
            f"{shown(path)}: {size / 1e9:.1f} GB of model needs about {times * size / 1e9:.1f} GB "
            f"of memory, but {available / 1e9:.1f} GB are free"
        )


def _place(tensor: TensorProto, path: Path) -> tuple[Path, int, int]:
    """File, offset and length in bytes of a tensor's data, all checked."""
    what = f"{shown(path)}: tensor '{tensor.name}'"
    try:
        info = ExternalDataInfo(tensor)
        location, offset = Path(info.location), int(info.offset or 0)
        length = int(info.length) if info.length else None
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{what} has a malformed place of its data ({one_line(error)})") from error
    folder, said = path.parent.resolve(), f"{location!s:.200}"
    try:
        file = (folder / location).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{what} has its data in no valid place ({one_line(error)})") from error
    if location.is_absolute() or not file.is_relative_to(folder):
        raise ModelError(f"{what} has its data outside the model's folder, in '{said}'")
    if not os.path.lexists(file):
        raise ModelError(f"{what} has its data in '{said}', which is missing")
    try:
        with open_regular(file) as opened:
            have = os.fstat(opened.fileno()).st_size
    except OSError as error:
        reason = f"which cannot be read ({one_line(error)})"
        raise ModelError(f"{what} has its data in '{said}', {reason}") from error
    needed = _nbytes(tensor, what)
    if offset < 0 or (length is not None and length != needed) or offset + needed > have:
        raise ModelError(
            f"{what} needs {needed} bytes at {offset} of '{said}', which has {have} bytes"
        )
    return file, offset, needed


def _nbytes(tensor: TensorProto, what: str) -> int:
    """In a file elements of fewer than 8 bits share bytes."""
    size = DTYPES[dtype_name(tensor.data_type, what)].bits
    for dim in tensor.dims:
        if dim < 0:
            raise ModelError(f"{what} has a negative dimension")
        size *= dim
    return -(-size // 8)
