"""Models with texts in engines that know nothing of rows of bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray

from luthier.deploy.texts import texts_of
from luthier.frontend import ReadModel
from luthier.schedules.ops.texts import rows

Array = NDArray[Any]
Run: TypeAlias = "Callable[[Mapping[str, Array]], dict[str, Array]]"
Open: TypeAlias = "Callable[[onnx.ModelProto], Run]"


def spoken(opening: Open, read: ReadModel) -> Open:
    """Opens models with texts for runs that are given, and give, what a library has for them."""

    def opened(model: onnx.ModelProto) -> Run:
        run = opening(model)

        def given(inputs: Mapping[str, Array]) -> dict[str, Array]:
            texts = {n: texts_of(a).astype(object) for n, a in inputs.items() if n in read.widths}
            outputs = run({**inputs, **texts})
            return {name: _held(name, array, read) for name, array in outputs.items()}

        return given

    return opened


def _held(name: str, array: Array, read: ReadModel) -> Array:
    """Rows of bytes, or numbers of labels, in place of texts."""
    if name in read.labels:
        places = {text: place for place, text in enumerate(read.labels[name])}
        numbers = [places[text] for text in array.flat]
        return np.asarray(numbers, np.int64).reshape(array.shape)
    if name not in read.widths:
        return array
    width = read.widths[name]
    encoded = [str(text).encode() for text in array.flat]
    if max(map(len, encoded), default=0) > width:
        raise ValueError(f"it gives a text in '{name}' of more than {width} bytes")
    return rows(encoded, (*array.shape, width))
