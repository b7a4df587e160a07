"""Inputs and outputs of an instance whose sizes are open."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_void_p
from typing import Any

from numpy.typing import NDArray

from luthier.schedules import InputError

from . import binding
from .arrays import OpenInputs, OpenOutputs
from .entries import EntryNote

Array = NDArray[Any]


class OpenShapes:
    """Inputs and outputs of an instance whose sizes are open, and the shapes of the moment."""

    def __init__(self, model: binding.CModel, entry: EntryNote) -> None:
        self.takes, self.gives = OpenInputs(entry.inputs), OpenOutputs(entry.outputs)
        self._set, self._ask = model.set_shapes, model.output_shape
        self._grows = bool(entry.lengths)  # so that shapes may change from run to run
        self._now: list[tuple[int, ...]] | None = None

    def differ(self, inputs: list[Array]) -> bool:
        """Whether the instance may have other sizes than these."""
        return self._grows or [array.shape for array in inputs] != self._now

    def fit(self, instance: c_void_p, inputs: list[Array], error: binding.CError) -> None:
        """Give the instance the sizes of the inputs; raises InputError where there are none."""
        shapes = [array.shape for array in inputs]
        self._now = None  # whatever happens: the sizes of the arrays are those of these shapes
        status = self._set(instance, self.takes.shapes_in_c(inputs), len(inputs), byref(error))
        if status != binding.OK:
            raise InputError(binding.text(error))
        self._now = shapes
        found = []
        for i, port in enumerate(self.gives.ports):
            rank = len(port.tensor.shape)
            shape = (ctypes.c_int64 * rank)()
            nbytes = ctypes.c_size_t()
            self._ask(instance, i, shape, rank, byref(nbytes), byref(error))
            known = tuple(shape)
            # A run finds the others; until then there is room for the most.
            most = (nbytes.value // port.tensor.element.bytes,)
            found.append(known if min(known, default=0) >= 0 else most)
        self.gives.resize(found)
