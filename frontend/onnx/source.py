"""A model's bytes as they come, from a file or another program: read once, and looked over."""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import Message
from onnx import TensorProto
from onnx.external_data_helper import uses_external_data

from luthier.schedules import ModelError
from luthier.schedules.redaction import shown

from .model_file import proto_digest, reading, tensors
from .opset import NEWEST, opset_of
from .sparse_tensors import without_sparse


@dataclass(frozen=True)
class Source:
    """A model as it was given, its external data loaded; nobody else has ``proto``.

    ``digest`` is of the file, followed by the data in other files, in the model's order; of a
    ModelProto its deterministic serialisation stands for the file. ``name`` is the file's, without
    its suffix, or the graph's; ``where`` is what messages call it.
    """

    proto: onnx.ModelProto
    digest: str
    name: str
    where: str

    @property
    def opset(self) -> int:
        """The operator set of ONNX's own operators."""
        return opset_of(self.proto)


def source_of(model: str | os.PathLike[str] | onnx.ModelProto, entry: str = "") -> Source:
    """Read a model, in any format that is known, and check its outline.

    Of a file of several models it is that of the name ``entry``, if there is one. Raises ModelError
    with one line for whatever is wrong, a file that changes meanwhile too.
    """
    if isinstance(model, onnx.ModelProto):
        proto = deepcopy(model)
        _check_outline(proto, "the model")
        if any(uses_external_data(t) for t in tensors(proto)):
            raise ModelError("the model keeps weights in other files: give its path instead")
        digest = proto_digest(proto)
        without_sparse(proto, "the model")
        return Source(proto, digest, proto.graph.name, "the model")
    path = Path(model)
    with reading(path) as file:
        proto = file.parsed(entry)
        _check_outline(proto, shown(path))
        file.load_external(proto)
    without_sparse(proto, shown(path))
    return Source(proto, file.digest, path.stem, shown(path))


def _check_outline(model: onnx.ModelProto, where: str) -> None:
    try:
        _check_text(model, where)
    except RecursionError as error:
        raise ModelError(f"{where}: the model's graphs are nested too deeply") from error
    if not model.HasField("graph") or model.ir_version < 1:
        raise ModelError(f"{where}: this is not an ONNX model (it holds no graph)")
    _check_opset(model, where)
    if not model.graph.output:
        raise ModelError(f"{where}: the model's graph is empty (it has no outputs)")


def _check_text(message: Message, where: str) -> None:
    """Raises where a name is not a text, which protobuf reads as bytes."""
    if isinstance(message, TensorProto) and isinstance(message.name, str):
        return  # its data are large
    for slot, value in message.ListFields():
        if slot.message_type:
            for inner in [value] if isinstance(value, Message) else value:
                _check_text(inner, where)
        elif slot.type == slot.TYPE_STRING:
            texts = [value] if isinstance(value, str | bytes) else value
            if not all(isinstance(text, str) for text in texts):
                raise ModelError(f"{where}: a name in the model is not UTF-8 text")


def _check_opset(model: onnx.ModelProto, where: str) -> None:
    version = opset_of(model)
    if not version:
        raise ModelError(f"{where}: the model does not say which ONNX operator set it uses")
    if version > NEWEST:
        raise ModelError(
            f"{where}: the model uses ONNX operator set {version}, and this Luthier knows "
            f"those up to {NEWEST}: upgrade Luthier, or export to an older set"
        )
