"""Texts of a model's own that are named by the numbers of a list."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from luthier.schedules import ModelError

from ..ml.domain import is_ml
from ..opset import is_onnx
from .speller import Site
from .values import Numbers, decoded

# Of these results are elements of the first input, and the list stays what it is.
_MOVES = frozenset(
    """
        ArrayFeatureExtractor Cast Flatten Gather Identity Reshape Slice Squeeze Transpose Unsqueeze
    """.split()
)
_CLASSIFIERS = {"LinearClassifier": "classlabels_ints", "SVMClassifier": "classlabels_ints",
                "TreeEnsembleClassifier": "classlabels_int64s"}  # fmt: skip


def spelled_by_numbers(site: Site) -> bool:
    """Whether the node was written, since numbers do for its texts."""
    node = site.node
    if is_ml(node.domain) and node.op_type in _CLASSIFIERS:
        return _classifier(site)
    if is_onnx(node.domain) and node.op_type == "Constant":
        return _constant(site)
    known = site.text(0)
    alone = site.texts == [0] and len(node.output) == 1
    if node.op_type not in _MOVES or not alone or not isinstance(known, Numbers):
        return False
    if node.op_type == "Cast":
        if site.attrs.get("to") != TensorProto.STRING:
            return False
        site.emit("Identity", [site.name(0)], node.output[0])
    else:
        site.copy(list(node.input))
    same = node.op_type in ("Cast", "Identity", "Transpose")
    site.gives(0, Numbers(known.texts, known.rank if same else _rank(site)))
    return True


def _rank(site: Site) -> int | None:
    kind = site.speller.types.get(site.node.output[0])
    known = kind is not None and kind.tensor_type.HasField("shape")
    return len(kind.tensor_type.shape.dim) if kind is not None and known else None


def _classifier(site: Site) -> bool:
    name = "classlabels_strings"
    given = site.attrs.get(name)
    if site.texts:
        return False
    if given and site.node.output:
        texts = decoded(given, site.label)
        numbers = list(range(len(texts)))
        site.copy(list(site.node.input), **{name: None, _CLASSIFIERS[site.node.op_type]: numbers})
        if site.node.output[0]:
            site.gives(0, Numbers(texts, 1))
        return True
    return False


def _constant(site: Site) -> bool:
    given = next(
        (site.attrs[n] for n in ("value_string", "value_strings") if n in site.attrs), None
    )
    tensor = site.attrs.get("value")
    if given is not None:
        listed = given if isinstance(given, list) else [given]
        shape = (len(given),) if isinstance(given, list) else ()
        tensor = helper.make_tensor(site.node.output[0], TensorProto.STRING, shape, listed)
    if not isinstance(tensor, TensorProto) or tensor.data_type != TensorProto.STRING:
        return False
    numbers, array = numbered(tensor, f"constant '{site.node.output[0]}'")
    site.speller.constant(site.node.output[0], array)
    site.gives(0, numbers)
    return True


def numbered(
    tensor: TensorProto, what: str
) -> tuple[Numbers, np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    """The list of what a tensor's elements are, and their places in it."""
    given, shape = decoded(tensor.string_data, what), tuple(tensor.dims)
    if int(np.prod(shape)) != len(given):
        raise ModelError(f"{what} has texts that do not fit its shape")
    texts = tuple(dict.fromkeys(given))
    places = {text: place for place, text in enumerate(texts)}
    numbers = np.array([places[text] for text in given], np.int64).reshape(shape)
    return Numbers(texts, len(shape)), numbers
