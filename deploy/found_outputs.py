"""Outputs of which some sizes are found by the run that gives them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_void_p
from typing import Any

from numpy.typing import NDArray

from . import binding
from .entries import EntryNote
from .ports import is_found

Array = NDArray[Any]


class FoundOutputs:
    """The beginnings of arrays that had room for the most that could be found."""

    def __init__(self, model: binding.CModel, entry: EntryNote) -> None:
        self._ask = model.output_shape
        self._ranks = {
            i: len(port.tensor.shape)
            for i, port in enumerate(entry.outputs)
            if any(is_found(dim, entry.found) for dim in port.shape_texts)
        }

    def cut(
        self, instance: c_void_p, outputs: Sequence[Array], error: binding.CError
    ) -> list[Array]:
        """The outputs of the run before, each of its shape."""
        arrays = list(outputs)
        for i, rank in self._ranks.items():
            shape = (ctypes.c_int64 * rank)()
            nbytes = ctypes.c_size_t()
            self._ask(instance, i, shape, rank, byref(nbytes), byref(error))
            flat = arrays[i].reshape(-1)[: nbytes.value // arrays[i].itemsize]
            arrays[i] = flat.reshape(tuple(shape))
        return arrays
