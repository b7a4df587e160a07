"""Reads a model that may be broken or hostile, and fixes its input sizes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
import psutil
from google.protobuf.message import DecodeError, Message
from onnx import TensorProto
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from luthier.schedules import ModelError
from luthier.schedules.workload import DTYPE_BYTES

from .messages import one_line
from .onnx_ops import NEWEST, OLDEST

Shapes = Mapping[str, Sequence[int]]


def read_model(
    model: str | os.PathLike[str] | onnx.ModelProto, shapes: Shapes | None = None
) -> onnx.ModelProto:
    """The model with its external data loaded and every input's shape fixed.

    ``shapes`` gives sizes (in elements) for inputs that leave some open. Initializers are no
    longer listed as inputs. Raises ModelError with one line for whatever is wrong.
    """
    if isinstance(model, onnx.ModelProto):
        own = onnx.ModelProto()
        own.CopyFrom(model)
        _check_outline(own, "the model")
        if any(uses_external_data(t) for t in _tensors(own.graph)):
            raise ModelError("the model keeps weights in other files: give its path instead")
    else:
        own = _read_file(Path(model))
    _drop_initializer_inputs(own)
    _fix_inputs(own, shapes or {})
    return own


def _read_file(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ModelError(f"{path}: this is no file")
        _check_memory(path, size)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read ({one_line(error)})") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"{path}: this is no ONNX file, or it is cut short") from error
    del data
    _check_outline(model, str(path))
    _load_external(model, path, size)
    return model


def _check_memory(path: Path, size: int) -> None:
    # Once as read and once as arrays.
    available = psutil.virtual_memory().available
    if 2 * size > available:
        raise ModelError(
            f"{path}: {size / 1e9:.1f} GB of model needs about {2 * size / 1e9:.1f} GB of memory, "
            f"but {available / 1e9:.1f} GB are free"
        )


def _check_outline(model: onnx.ModelProto, where: str) -> None:
    _check_text(model, where)
    if not model.HasField("graph") or model.ir_version < 1:
        raise ModelError(f"{where}: this is no ONNX model (it holds no graph)")
    _check_opset(model, where)
    if not model.graph.output:
        raise ModelError(f"{where}: the model's graph is empty (it has no outputs)")
    if model.graph.sparse_initializer:
        raise ModelError(f"{where}: sparse initializers are not supported")


def _check_text(message: Message, where: str) -> None:
    """Raises where a name is no text, which protobuf reads as bytes."""
    if isinstance(message, TensorProto) and isinstance(message.name, str):
        return  # its data are large
    for field, value in message.ListFields():
        if field.message_type:
            for inner in [value] if isinstance(value, Message) else value:
                _check_text(inner, where)
        elif field.type == field.TYPE_STRING:
            texts = [value] if isinstance(value, str | bytes) else value
            if not all(isinstance(text, str) for text in texts):
                raise ModelError(f"{where}: a name in the model is no UTF-8 text")


def _check_opset(model: onnx.ModelProto, where: str) -> None:
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions:
        raise ModelError(f"{where}: the model does not say which ONNX operator set it uses")
    if versions[0] < OLDEST:
        raise ModelError(
            f"{where}: the model uses ONNX operator set {versions[0]}, older than {OLDEST}: "
            "convert it with onnx.version_converter"
        )
    if versions[0] > NEWEST:
        raise ModelError(
            f"{where}: the model uses ONNX operator set {versions[0]}, and this Luthier knows "
            f"those up to {NEWEST}: upgrade Luthier, or export to an older set"
        )


def _tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    """All tensors of a graph and of the graphs inside its nodes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def _load_external(model: onnx.ModelProto, path: Path, size: int) -> None:
    tensors = [t for t in _tensors(model.graph) if uses_external_data(t)]
    sources = [_external_source(t, path) for t in tensors]
    _check_memory(path, size + sum(length for _, _, length in sources))
    for tensor, (file, offset, length) in zip(tensors, sources, strict=True):
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external_source(tensor: TensorProto, path: Path) -> tuple[Path, int, int]:
    """File, offset and length in bytes of a tensor's data, all checked."""
    what = f"{path}: tensor '{tensor.name}'"
    try:
        info = ExternalDataInfo(tensor)
        location, offset = Path(info.location), int(info.offset or 0)
        length = int(info.length) if info.length else None
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{what} has a malformed place of its data ({one_line(error)})") from error
    folder = path.parent.resolve()
    try:
        file = (folder / location).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{what} has its data in no valid place ({one_line(error)})") from error
    if location.is_absolute() or not file.is_relative_to(folder):
        raise ModelError(f"{what} has its data outside the model's folder, in '{location}'")
    if not file.is_file():
        raise ModelError(f"{what} has its data in '{location}', which is missing")
    needed = _nbytes(tensor, what)
    have = file.stat().st_size
    if offset < 0 or (length is not None and length != needed) or offset + needed > have:
        raise ModelError(
            f"{what} needs {needed} bytes at {offset} of '{location}', which has {have} bytes"
        )
    return file, offset, needed


def _nbytes(tensor: TensorProto, what: str) -> int:
    name = dtype_name(tensor.data_type, what)
    size = DTYPE_BYTES[name]
    for dim in tensor.dims:
        if dim < 0:
            raise ModelError(f"{what} has a negative dimension")
        size *= dim
    return size


def dtype_name(elem_type: int, what: str) -> str:
    """NumPy's name of an ONNX element type; raises ModelError where Luthier does not know it."""
    try:
        name = str(onnx.helper.tensor_dtype_to_np_dtype(elem_type))
        onnx_name = TensorProto.DataType.Name(elem_type)
    except (KeyError, ValueError) as error:
        raise ModelError(f"{what} has the unknown element type {elem_type}") from error
    if name not in DTYPE_BYTES:
        raise ModelError(f"{what} has the element type {onnx_name}, which is not supported")
    return name


def _drop_initializer_inputs(model: onnx.ModelProto) -> None:
    """IR versions before 4 list initializers among the inputs."""
    names = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in names]
    if len(inputs) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        model.ir_version = max(model.ir_version, 4)


def _fix_inputs(model: onnx.ModelProto, shapes: Shapes) -> None:
    inputs = {i.name: i for i in model.graph.input}
    if len(inputs) < len(model.graph.input):
        raise ModelError("two inputs of the model have the same name")
    for name in shapes:
        if name not in inputs:
            known = ", ".join(f"'{n}'" for n in inputs) or "none"
            raise ModelError(f"a shape is given for '{name}', but the model's inputs are: {known}")
    symbols: dict[str, tuple[int, str]] = {}
    for name, value in inputs.items():
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"input '{name}' is no tensor, which is not supported")
        dtype_name(value.type.tensor_type.elem_type, f"input '{name}'")
        _fix_input(name, value.type.tensor_type, shapes.get(name), symbols)
    # Sizes that were written for other inputs' shapes, or by a stranger, may be wrong.
    del model.graph.value_info[:]
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")


def _fix_input(
    name: str,
    tensor: onnx.TypeProto.Tensor,
    given: Sequence[int] | None,
    symbols: dict[str, tuple[int, str]],
) -> None:
    what = f"input '{name}'"
    if given is None:
        if not tensor.HasField("shape"):
            raise ModelError(f"{what} has no shape: {_advice(name, [1, 8])}")
        given = [_dimension(name, i, tensor.shape) for i in range(len(tensor.shape.dim))]
    sizes = [int(d) for d in given]
    if any(d < 1 for d in sizes):
        raise ModelError(f"{what} has the shape {sizes}; sizes are at least 1")
    if tensor.HasField("shape") and len(tensor.shape.dim) != len(sizes):
        rank = len(tensor.shape.dim)
        raise ModelError(f"{what} has {rank} dimensions in the model, but the shape {sizes}")
    old = list(tensor.shape.dim)
    for i, (dim, size) in enumerate(zip(old, sizes, strict=False)):
        if dim.HasField("dim_value") and dim.dim_value > 0 and dim.dim_value != size:
            raise ModelError(f"{what} has size {dim.dim_value} in dimension {i}, not {size}")
        if dim.dim_param:
            first, other = symbols.setdefault(dim.dim_param, (size, name))
            if first != size:
                raise ModelError(
                    f"{what} gives '{dim.dim_param}' the size {size}, input '{other}' gives {first}"
                )
    tensor.shape.Clear()
    for size in sizes:
        tensor.shape.dim.add().dim_value = size


def _dimension(name: str, index: int, shape: onnx.TensorShapeProto) -> int:
    dim = shape.dim[index]
    if dim.HasField("dim_value") and dim.dim_value > 0:
        return int(dim.dim_value)
    symbol = f" ('{dim.dim_param}')" if dim.dim_param else ""
    example = [d.dim_value if d.dim_value > 0 else 1 for d in shape.dim]
    raise ModelError(
        f"input '{name}' has no size in dimension {index}{symbol}: {_advice(name, example)}"
    )


def _advice(name: str, shape: Sequence[int]) -> str:
    option = ",".join(map(str, shape))
    return f"give sizes, such as --shape {name}={option} or shapes={{'{name}': {tuple(shape)}}}"
