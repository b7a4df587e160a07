"""Labels that are texts: in a program they are numbers, each of a place in a list of texts.

This is done to a model when it is read, so that nothing that comes after knows of texts, and the
lists of its outputs are kept beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError, UnsupportedOperator

from ..opset import is_onnx, node_label
from .domain import DOMAIN, is_ml

Texts = tuple[str, ...]
# Of these results are elements of the first input, which is the only one that may be texts.
_MOVES = frozenset(
    """
        ArrayFeatureExtractor Flatten Gather Identity Reshape Slice Squeeze Transpose Unsqueeze
    """.split()
)
_CLASSIFIERS = {"LinearClassifier": "classlabels_ints", "SVMClassifier": "classlabels_ints",
                "TreeEnsembleClassifier": "classlabels_int64s"}  # fmt: skip
_MAKES_TEXTS = frozenset(["classlabels_strings", "values_strings"])
_UNKNOWN = "_Unused"  # the standard's default for a text


def number_texts(model: onnx.ModelProto) -> Mapping[str, Texts]:
    """Put numbers in place of texts, and give the texts of each output that is one.

    Raises ModelError, and UnsupportedOperator for a node that does anything else with texts.
    """
    _without_mappers(model)
    found: dict[str, Texts] = {}
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.STRING:
            found[tensor.name] = _number_tensor(tensor)
    for node in model.graph.node:
        _number(node, found)
    labels = {}
    for output in model.graph.output:
        if output.name in found:
            output.type.tensor_type.elem_type = TensorProto.INT64
            labels[output.name] = found[output.name]
    return labels


def _without_mappers(model: onnx.ModelProto) -> None:
    """A ``CategoryMapper`` is a ``LabelEncoder`` that goes the way of its input's type."""
    texts = {t.name for t in model.graph.initializer if t.data_type == TensorProto.STRING}
    for node in model.graph.node:
        if node.op_type != "CategoryMapper" or not is_ml(node.domain):
            made = {*node.input} & texts or {a.name for a in node.attribute} & _MAKES_TEXTS
            texts.update(node.output if made else ())
            continue
        attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        names, numbers = attrs.get("cats_strings", []), attrs.get("cats_int64s", [])
        given: dict[str, Any] = {"keys_int64s": numbers, "values_strings": names}
        if {*node.input} & texts:
            given = {"keys_strings": names, "values_int64s": numbers}
        else:
            texts.update(node.output)
        defaults = {n: attrs[n] for n in ("default_int64", "default_string") if n in attrs}
        made_node = helper.make_node("LabelEncoder", node.input, node.output, node.name,
                                     domain=DOMAIN, **given, **defaults)  # fmt: skip
        node.CopyFrom(made_node)
        for opset in model.opset_import:
            if is_ml(opset.domain):
                opset.version = max(opset.version, 2)


def _number(node: onnx.NodeProto, found: dict[str, Texts]) -> None:
    attrs = {a.name: a for a in node.attribute}
    ours = is_onnx(node.domain)
    if is_ml(node.domain) and node.op_type == "LabelEncoder":
        _number_encoder(node, attrs, found)
        return
    reads = [name for name in node.input if name in found]
    if is_ml(node.domain) and node.op_type in _CLASSIFIERS:
        given = attrs.get("classlabels_strings")
        if given is not None and given.strings and node.output:
            found[node.output[0]] = _decoded(node, given.strings)
            _replace(node, "classlabels_strings", _CLASSIFIERS[node.op_type],
                     range(len(given.strings)))  # fmt: skip
    elif ours and node.op_type == "Constant" and "value" in attrs:
        if attrs["value"].t.data_type == TensorProto.STRING:
            found[node.output[0]] = _number_tensor(attrs["value"].t)
    elif reads:
        is_move = node.op_type in _MOVES or (
            node.op_type == "Cast" and attrs["to"].i == TensorProto.STRING
        )
        if not is_move or reads != list(node.input[:1]) or len(node.output) != 1:
            raise UnsupportedOperator(f"{node_label(node)}: texts are not supported here")
        if node.op_type == "Cast":
            node.CopyFrom(helper.make_node("Identity", node.input, node.output, node.name))
        found[node.output[0]] = found[reads[0]]


def _number_encoder(
    node: onnx.NodeProto, attrs: Mapping[str, onnx.AttributeProto], found: dict[str, Texts]
) -> None:
    """Keys are numbers in the input's list; values are a list of their own, the default in it."""
    keys, values = attrs.get("keys_strings"), attrs.get("values_strings")
    known = found.get(node.input[0]) if node.input else None
    if keys is not None and known is not None:
        # What is in no list stands for itself, behind all that are.
        places = {text: place for place, text in enumerate(known)}
        given = _decoded(node, keys.strings)
        _replace(node, "keys_strings", "keys_int64s",
                 [places.get(text, len(known) + i) for i, text in enumerate(given)])  # fmt: skip
    elif known is not None:
        raise UnsupportedOperator(f"{node_label(node)}: texts are not supported here")
    if values is not None and node.output:
        given = _decoded(node, values.strings)
        default = attrs.get("default_string")
        other = _UNKNOWN if default is None else _decoded(node, [default.s])[0]
        texts = tuple(dict.fromkeys((*given, other)))
        _replace(node, "values_strings", "values_int64s", map(texts.index, given))
        node.attribute.append(helper.make_attribute("default_int64", texts.index(other)))
        found[node.output[0]] = texts


def _replace(node: onnx.NodeProto, old: str, new: str, numbers: Iterable[int]) -> None:
    kept = [a for a in node.attribute if a.name not in (old, "default_int64", "default_string")]
    kept += [a for a in node.attribute if a.name == "default_int64" and old != "values_strings"]
    kept += [a for a in node.attribute if a.name == "default_string" and old == "keys_strings"]
    made = helper.make_attribute(new, [int(n) for n in numbers], attr_type=onnx.AttributeProto.INTS)
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in (*kept, made)]
    del node.attribute[:]
    node.attribute.extend(copies)


def _decoded(node: onnx.NodeProto, given: Sequence[bytes]) -> Texts:
    try:
        texts = tuple(each.decode() for each in given)
    except UnicodeDecodeError as error:
        raise ModelError(f"{node_label(node)}: a text is not UTF-8") from error
    if any("\0" in text for text in texts):
        raise ModelError(f"{node_label(node)}: a text has a zero byte")
    return texts


def _number_tensor(tensor: TensorProto) -> Texts:
    """Its elements become places in the list of what they are."""
    try:
        given = [each.decode() for each in tensor.string_data]
    except UnicodeDecodeError as error:
        raise ModelError(f"constant '{tensor.name}': a text is not UTF-8") from error
    shape = tuple(tensor.dims)
    if int(np.prod(shape)) != len(given) or any("\0" in text for text in given):
        raise ModelError(f"constant '{tensor.name}' has texts that do not fit its shape")
    texts = tuple(dict.fromkeys(given))
    places = {text: place for place, text in enumerate(texts)}
    numbers = np.array([places[text] for text in given], np.int64).reshape(shape)
    tensor.CopyFrom(numpy_helper.from_array(numbers, tensor.name))
    return texts
