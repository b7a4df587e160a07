"""Attributes of nodes as arrays; raises ModelError where one is not what it must be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from luthier.schedules import ModelError

from ...graph import Array
from ..node import OnnxNode


def ints(node: OnnxNode, name: str) -> Array:
    """A list of whole numbers, empty where it is left out."""
    return _listed(node, name, np.dtype(np.int64))


def floats(node: OnnxNode, name: str, dtype: str = "float32") -> Array:
    """A list of numbers, which may be a tensor with ``_as_tensor`` after its name."""
    tensor = node.attrs.get(f"{name}_as_tensor")
    if isinstance(tensor, TensorProto):
        return tensor_of(node, f"{name}_as_tensor").astype(dtype)
    return _listed(node, name, np.dtype(np.float32)).astype(dtype)


def texts(node: OnnxNode, name: str) -> list[str]:
    """A list of texts, empty where it is left out."""
    given = node.attrs.get(name, ())
    if not isinstance(given, tuple) or not all(isinstance(each, bytes) for each in given):
        raise ModelError(f"{node.label}: its attribute '{name}' is not a list of texts")
    try:
        return [each.decode() for each in given]
    except UnicodeDecodeError as error:
        raise ModelError(f"{node.label}: a text in its attribute '{name}' is not UTF-8") from error


def tensor_of(node: OnnxNode, name: str) -> Array:
    """A tensor's numbers, flat; empty where it is left out."""
    given: Any = node.attrs.get(name)
    if given is None:
        return np.zeros(0, np.float32)
    try:
        array = numpy_helper.to_array(given)
    except Exception as error:
        raise ModelError(
            f"{node.label}: its attribute '{name}' has data that do not fit its shape"
        ) from error
    if array.dtype.kind not in "fiu":
        raise ModelError(f"{node.label}: its attribute '{name}' does not hold numbers")
    return array.reshape(-1)


def _listed(node: OnnxNode, name: str, dtype: np.dtype[Any]) -> Array:
    given = node.attrs.get(name, ())
    if not isinstance(given, tuple):
        raise ModelError(f"{node.label}: its attribute '{name}' is not a list of numbers")
    try:
        return np.asarray(given, dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(
            f"{node.label}: its attribute '{name}' is not a list of numbers"
        ) from error


def chosen(node: OnnxNode, name: str, default: str, known: Sequence[str]) -> str:
    """A text among those that are known."""
    given = node.attr(name, default)
    if given not in known:
        raise node.unsupported(f"'{name}' {str(given)[:40]!r}")
    return str(given)


def labels(node: OnnxNode) -> Array:
    """The classes' labels, whole numbers; raises UnsupportedOperator for texts."""
    if node.attrs.get("classlabels_strings"):
        raise node.unsupported("labels that are texts, here,")
    name = "classlabels_int64s" if "classlabels_int64s" in node.attrs else "classlabels_ints"
    return ints(node, name)
