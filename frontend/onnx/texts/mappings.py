"""Operators of ONNX-ML that look texts up, or name numbers by texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from luthier.schedules import ModelError

from ...graph import Array
from ..ml.domain import DOMAIN
from .speller import Site
from .values import Numbers, Rows, Texts, decoded

_UNKNOWN = "_Unused"  # the standard's default for a text
_VALUES = {"int64s": np.int64, "floats": np.float32}
_DEFAULTS: Mapping[str, tuple[str, float]] = {
    "int64": ("default_int64", -1),
    "float32": ("default_float", -0.0),
}


def _listed(site: Site, what: str) -> Texts | None:
    """Keys, values or a default that are texts; None where they are none."""
    given = site.attrs.get(f"{what}_strings")
    tensor = site.attrs.get(f"{what}_tensor")
    if not given and isinstance(tensor, TensorProto) and tensor.data_type == TensorProto.STRING:
        given = tensor.string_data
    return decoded(given, site.label) if given else None


def _encoder(site: Site) -> None:
    if "classes_strings" in site.attrs:  # of the first operator set
        classes = decoded(site.attrs["classes_strings"], site.label)
        _map_lists(site, classes, np.arange(len(classes)))
        return
    keys, values = _listed(site, "keys"), _listed(site, "values")
    if (keys is not None) != bool(site.texts):
        are = "texts" if site.texts else "no texts"
        raise ModelError(f"{site.label}: its input are {are}, its keys are not so")
    if keys is not None:
        _look_up(site, keys, values)
    elif values is not None:
        targets, other, listed = _numbers_of(site, values)
        gone = "values_strings values_tensor default_string default_tensor".split()
        made = {"values_int64s": targets.tolist(), "default_int64": int(other)}
        site.copy(list(site.node.input), **(dict.fromkeys(gone) | made))
        site.gives(0, Numbers(listed, None))
    else:
        site.copy(list(site.node.input))


def _look_up(site: Site, keys: Texts, values: Texts | None) -> None:
    if values is None:
        targets, other = _targets(site)
    else:
        targets, other, listed = _numbers_of(site, values)
        site.gives(0, Numbers(listed, site.rank(0)))
    if len(keys) != targets.size:
        raise ModelError(f"{site.label}: it has {len(keys)} keys and {targets.size} values")
    site.chosen(0, keys, targets, other, site.node.output[0])


def _numbers_of(site: Site, values: Texts) -> tuple[Array, Any, Texts]:
    """Values that are texts as numbers of a list, that of the default, and the list."""
    default = _listed(site, "default")
    given = site.attrs.get("default_string")
    if default is None and given is not None:
        default = decoded([given], site.label)
    other = default[0] if default else _UNKNOWN
    listed = tuple(dict.fromkeys((*values, other)))
    places = {text: place for place, text in enumerate(listed)}
    numbers = np.array([places[text] for text in values], np.int64)
    return numbers, np.int64(places[other]), listed


def _targets(site: Site) -> tuple[Array, Any]:
    """Values that are numbers, and their default."""
    tensor = site.attrs.get("values_tensor")
    if isinstance(tensor, TensorProto):
        found = numpy_helper.to_array(tensor).reshape(-1)
    else:
        name = next((n for n in _VALUES if f"values_{n}" in site.attrs), None)
        if name is None:
            raise ModelError(f"{site.label}: it has no values")
        found = np.asarray(site.attrs[f"values_{name}"], _VALUES[name])
    given = site.attrs.get("default_tensor")
    if isinstance(given, TensorProto):
        default = numpy_helper.to_array(given).reshape(-1)
        if default.size != 1 or default.dtype != found.dtype:
            raise ModelError(f"{site.label}: 'default_tensor' is not one of {found.dtype}")
        return found, default[0]
    named, otherwise = _DEFAULTS.get(str(found.dtype), ("", 0))
    return found, found.dtype.type(site.attrs.get(named, otherwise))


def _mapper(site: Site) -> None:
    texts = decoded(site.attrs.get("cats_strings", ()), site.label)
    _map_lists(site, texts, np.asarray(site.attrs.get("cats_int64s", ()), np.int64))


def _map_lists(site: Site, texts: Texts, numbers: Array) -> None:
    """From texts to numbers, or the other way, as the input is."""
    if len(texts) != numbers.size or not texts:
        raise ModelError(f"{site.label}: it has {len(texts)} texts and {numbers.size} numbers")
    if site.texts:
        other = np.int64(site.attrs.get("default_int64", -1))
        site.chosen(0, texts, numbers, other, site.node.output[0])
        return
    targets, other, listed = _numbers_of(site, texts)
    lists = {"keys_int64s": numbers.tolist(), "values_int64s": targets.tolist()}
    said = {**lists, "default_int64": int(other)}
    inputs, output = list(site.node.input), site.node.output[0]
    site.emit("LabelEncoder", inputs, output, domain=DOMAIN, **said)
    site.speller.import_ml(2)
    site.gives(0, Numbers(listed, None))


def _one_hot(site: Site) -> None:
    """The number of a category is looked up, and the rest is as of numbers."""
    if not site.texts:
        raise ModelError(f"{site.label}: its categories are texts, and its input are none")
    texts = decoded(site.attrs.get("cats_strings") or (), site.label)
    if not texts or len(set(texts)) < len(texts):
        raise ModelError(f"{site.label}: it has no texts for categories, or one of them twice")
    site.copy([site.place(0, texts)], cats_strings=None, cats_int64s=list(range(len(texts))))


def _extractor(site: Site) -> None:
    """Columns, of which a row has one at least."""
    rank = site.rank(0)
    indices = site.emit("Reshape", [site.name(1), site.numbers(-1)])
    given = site.rows(0)
    if rank == 1:
        sizes = site.numbers(1, -1, site.width(0))
        given = site.emit("Reshape", [given, sizes])
    site.emit("Gather", [given, indices], site.node.output[0], axis=max(rank, 2) - 1)
    site.gives(0, Rows(site.width(0), max(rank, 2)))


def _n_grams(site: Site) -> None:
    """Of the numbers of the dictionary's texts."""
    pool = decoded(site.attrs.get("pool_strings") or (), site.label)
    if not pool:
        raise ModelError(f"{site.label}: its dictionary is not of texts, and its input are texts")
    words = tuple(dict.fromkeys(pool))
    numbers = {word: number for number, word in enumerate(words)}
    pooled = [numbers[word] for word in pool]
    site.copy([site.place(0, words)], pool_strings=None, pool_int64s=pooled)


OPERATORS: Mapping[str, Callable[[Site], None]] = {
    "ArrayFeatureExtractor": _extractor,
    "CategoryMapper": _mapper,
    "LabelEncoder": _encoder,
    "OneHotEncoder": _one_hot,
}
N_GRAMS: Mapping[str, Callable[[Site], None]] = {"TfIdfVectorizer": _n_grams}
