"""Model files that are not ONNX, told by how they begin, as none of ONNX does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from luthier.schedules import ModelError

from .boosters.booster import Input, prediction
from .boosters.lightgbm import is_lightgbm, read_lightgbm
from .boosters.xgboost import is_xgboost, read_xgboost
from .ort.reader import is_ort, read_ort
from .tflite.model import is_tflite
from .tflite.reader import read_tflite


@dataclass(frozen=True)
class Format:
    """How such a file is told, and read: from its bytes, its name for messages, and the name of the
    entry point that it becomes, which may be one of its own.

    ``memory`` is how many times its size reading takes at most.
    """

    begins: Callable[[bytes], bool]
    read: Callable[[bytes, str, str], onnx.ModelProto]
    memory: int


def _xgboost(data: bytes, where: str, entry: str) -> onnx.ModelProto:
    return prediction(read_xgboost(data, where), Input())


def _lightgbm(data: bytes, where: str, entry: str) -> onnx.ModelProto:
    return prediction(read_lightgbm(data, where), Input())


def _ort(data: bytes, where: str, entry: str) -> onnx.ModelProto:
    return read_ort(data, where)


# The least that stands for a value in a document takes a byte or two, and a list in memory 60.
FORMATS = (
    Format(is_xgboost, _xgboost, 40),
    Format(is_lightgbm, _lightgbm, 20),
    Format(is_tflite, read_tflite, 6),
    Format(is_ort, _ort, 6),
)


_PICKLE = "a pickle, which would run what it says: load it yourself and give the object"
# What others begin with, what they are, and how they become one that is read.
_OTHERS = {
    b"PK\x03\x04": "an archive, as Keras and PyTorch save models: load it there and give the "
    "object, or convert it to TensorFlow Lite or ONNX",
    b"\x89HDF\r\n": "HDF5, as Keras saved models: convert it to TensorFlow Lite",
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), _PICKLE),
    b"binf": "XGBoost's old binary format: save it as JSON",
}


def check_no_saved_model(path: Path, where: str) -> None:
    """Raise ModelError for a folder of TensorFlow's, which says what to do with it."""
    if (path / "saved_model.pb").is_file():
        raise ModelError(
            f"{where}: this is a SavedModel: convert it to TensorFlow Lite "
            "(tf.lite.TFLiteConverter.from_saved_model) or to ONNX (python -m tf2onnx.convert "
            "--saved-model FOLDER --output model.onnx)"
        )


def format_of(data: bytes, where: str) -> Format | None:
    """The format of a file with this content; None of one that may be ONNX.

    Raises ModelError for a known format that is not read.
    """
    for begin, what in _OTHERS.items():
        if data.startswith(begin):
            raise ModelError(f"{where}: this is {what}")
    return next((each for each in FORMATS if each.begins(data)), None)
