"""The weights: every constant in the order its kernel reads it, equal ones once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from luthier.frontend.program import Branch, Expect, Find, Loop, Program
from luthier.frontend.program.steps import walk
from luthier.schedules import ALIGNMENT, Kernel, ModelError
from luthier.schedules.ir.kernel import OpenKernel

from .flow import WeightPlaces

# Code reaches weights by 32-bit offsets (the x86-64 psABI's small model).
MOST_BYTES = 2**31 - 2**26


class WeightPool:
    """Appends arrays to a file, each once, at multiples of 64 bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets: dict[bytes, int] = {}
        self.nbytes = 0

    def add(self, array: NDArray[Any]) -> int:
        """The offset of the array's bytes; raises ModelError where they are too many."""
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
        digest = hashlib.sha256(data).digest()
        if digest in self._offsets:
            return self._offsets[digest]
        padding = -self.nbytes % ALIGNMENT
        offset = self.nbytes + padding
        if offset + data.nbytes > MOST_BYTES:
            raise ModelError(
                f"the model's weights are larger than {MOST_BYTES >> 20} MiB, the most that one "
                "library can hold"
            )
        self._file.write(b"\0" * padding)
        self._file.write(data)
        self.nbytes = offset + data.nbytes
        self._offsets[digest] = offset
        return offset


def write_weights(
    program: Program, kernels: Sequence[Kernel | OpenKernel], pool: WeightPool
) -> WeightPlaces:
    """Pack all constants into ``pool``; ``kernels[c]`` computes call ``c``. Raises ModelError."""
    arguments = {}
    for c, (call, kernel) in enumerate(zip(program.calls, kernels, strict=True)):
        for i, value in enumerate(call.args):
            array = _constant(program, value)
            if array is not None:
                packed = kernel.pack(i, array) if call.workload.constants[i] else array
                arguments[c, i] = pool.add(packed)
    values = {}
    for value in _raw(program):
        array = _constant(program, value)
        if array is not None:
            values[program.base(value)] = pool.add(array)
    outputs = {}
    for k, (_, value) in enumerate(program.outputs):
        array = _constant(program, value)
        if array is not None:
            outputs[k] = pool.add(array)
    return WeightPlaces(arguments, outputs, values)


def _raw(program: Program) -> Iterator[int]:
    """What steps read that are not calls, and what states become."""
    yield from (state.after for state in program.states)
    for step in walk(program.region):
        if isinstance(step, Loop):
            yield from (*step.controls.values(), *step.carried)
        elif isinstance(step, Branch):
            yield step.condition
        elif isinstance(step, Find):
            yield step.value
        elif isinstance(step, Expect):
            yield from step.reads
        for region in step.regions:
            yield from region.results


def _constant(program: Program, value: int) -> NDArray[Any] | None:
    array = program.constants.get(program.base(value))
    return None if array is None else array.reshape(program.values[value].shape)
