"""Calls kernels as the contract in ``ir/kernel.py`` allows, at its nastiest, and compares.

Buffers end before a page that traps, memory nobody promised to clear holds NaN, chunks come in
random order and pieces, scratch is overwritten between calls.
"""

from __future__ import annotations

import ctypes
import mmap
import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from luthier.schedules import ALIGNMENT, Kernel, Schedule, Target, Tensor, Workload, ops
from luthier.schedules.codegen import compile_object
from luthier.schedules.execute import link
from luthier.schedules.ir.placement import DENSE, Placement, span
from luthier.schedules.ops import evaluate
from luthier.schedules.target import host_level
from luthier.schedules.templates.registry import instantiate, spaces

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
TARGETS = {level: Target(level, level, 2, 32 << 10, 512 << 10, 16 << 20) for level in LEVELS}
EXTENDED = {
    level: replace(TARGETS[level], extensions=(name,))
    for level, name in (("x86-64-v3", "avxvnni"), ("x86-64-v4", "vnni"))
}  # that multiply four numbers of 8 bits at once
RUNNABLE = LEVELS[: LEVELS.index(host_level()) + 1]
Array = np.ndarray
T = TypeVar("T")
_POISON = 0xFF  # NaN in every float type
_PAGE = mmap.PAGESIZE
_MOST_CALLS = 24
_TOGETHER = 4  # kernels that LLVM is given at once, as in a build: it takes long to start
_NO_ACCESS, _READ_ONLY = 0, 1
_protect = ctypes.CDLL(None).mprotect
_protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class Block:
    """``size`` poisoned bytes, aligned as kernels may expect and no better, between two traps."""

    def __init__(self, size: int, alignment: int = ALIGNMENT) -> None:
        inner = -(-(size + ALIGNMENT) // _PAGE) * _PAGE
        whole = np.frombuffer(mmap.mmap(-1, inner + 2 * _PAGE), np.uint8)
        self._inner = whole[_PAGE:-_PAGE]
        self._inner[:] = _POISON
        start = (inner - size) // alignment * alignment
        self.address = self._inner.ctypes.data + start
        self.bytes = self._inner[start : start + size]
        self._around = (self._inner[:start], self._inner[start + size :])
        for trap in (whole.ctypes.data, whole.ctypes.data + _PAGE + inner):
            assert _protect(trap, _PAGE, _NO_ACCESS) == 0

    @classmethod
    def of(cls, array: Array) -> Block:
        """A block that holds the array's elements."""
        block = cls(array.nbytes)
        block.bytes[:] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        return block

    @classmethod
    def like(cls, tensor: Tensor, pitch: int | None = None) -> Block:
        """A block that may be part of a larger one, for the elements of ``tensor``."""
        width = tensor.element.bytes
        return cls(span(tensor.shape, pitch) * width, width)

    def elements(self, tensor: Tensor, pitch: int | None = None) -> Array:
        """The elements of ``tensor``, in place and without what lies between its rows."""
        flat = self.bytes.view(tensor.element.storage)
        if pitch is None:
            return flat.reshape(tensor.shape)
        rows, width = tensor.size // tensor.shape[-1], tensor.shape[-1]
        step = flat.itemsize
        steps = (pitch * step, step)
        return np.lib.stride_tricks.as_strided(flat, (rows, width), steps)

    def poison(self) -> None:
        self.bytes[:] = _POISON

    @property
    def intact(self) -> bool:
        """Whether nobody wrote outside."""
        return all((part == _POISON).all() for part in self._around)


class Library:
    """Several kernels as machine code in this process."""

    def __init__(self, kernels: Sequence[Kernel], target: Target) -> None:
        self.kernels = kernels
        names = [f"k{i}" for i in range(len(kernels))]
        parts = [
            dict(zip(names[i : i + _TOGETHER], kernels[i : i + _TOGETHER], strict=True))
            for i in range(0, len(kernels), _TOGETHER)
        ]
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as pool:
            files = [Path(folder, f"{i}.o") for i in range(len(parts))]
            codes = pool.map(lambda part: compile_object(part, target), parts)
            for file, code in zip(files, codes, strict=True):
                file.write_bytes(code)
            library = Path(folder, "kernels.so")
            link(files, library, [kernel.workload for kernel in kernels])
            self._functions = ctypes.CDLL(str(library))

    def run(
        self,
        index: int,
        inputs: Sequence[Array],
        rng: random.Random,
        sizes: Array | None = None,
    ) -> Array:
        """What kernel ``index`` makes of ``inputs``, once it kept to the contract; of an open
        workload with these sizes."""
        kernel = self.kernels[index]
        workload = kernel.workload
        packed = [
            kernel.pack(i, array) if constant else array
            for i, (array, constant) in enumerate(zip(inputs, workload.constants, strict=True))
        ]
        sources = []
        placement = kernel.placement
        for i, ((tensor, constant), array) in enumerate(
            zip(workload.signature, packed, strict=True)
        ):
            pitch = placement.pitch(i)
            sources.append(Block.of(array) if constant else Block.like(tensor, pitch))
            if not constant:
                elements = sources[-1].elements(tensor, pitch)
                elements[...] = array.reshape(elements.shape)
        before = [block.bytes.copy() for block in sources]
        out = Block.like(workload.output, placement.output)
        scratch = Block(kernel.scratch)
        blocks = [*sources, *(Block(size) for size in kernel.temps), out]
        given = blocks if sizes is None else [*blocks, Block.of(sizes)]
        table = (ctypes.c_void_p * len(given))(*(block.address for block in given))
        for number, phase in enumerate(kernel.phases):
            function = self._functions[f"k{index}_{number}"]
            for begin, end in _pieces(phase.chunks, rng):
                scratch.poison()
                function(table, ctypes.c_void_p(scratch.address), begin, end)
        assert all(block.intact for block in (*blocks, scratch)), "it wrote outside its buffers"
        for block, old in zip(sources, before, strict=True):
            assert np.array_equal(block.bytes, old), "it wrote to an input"
        elements = out.elements(workload.output, placement.output)
        result = elements.reshape(workload.output.shape).copy()
        elements.view(f"u{elements.itemsize}")[...] = np.iinfo(f"u{elements.itemsize}").max
        assert (out.bytes == _POISON).all(), "it wrote between its rows"
        if workload.output.dtype == "bool":
            assert set(np.unique(result)) <= {0, 1}, "a bool is neither 0 nor 1"
            return result.astype(np.bool_)
        return result


def _pieces(chunks: int, rng: random.Random) -> list[tuple[int, int]]:
    """``range(chunks)`` in pieces, as many as one where there are few, in random order."""
    inner = range(1, chunks)
    cuts = sorted(inner if chunks <= _MOST_CALLS else rng.sample(inner, _MOST_CALLS - 1))
    pieces = list(zip([0, *cuts], [*cuts, chunks], strict=True))
    rng.shuffle(pieces)
    return pieces


def in_turn(cases: Iterable[T]) -> list[tuple[T, str]]:
    """Each case with one level: where the width of vectors makes no difference."""
    return [(case, RUNNABLE[i % len(RUNNABLE)]) for i, case in enumerate(cases)]


def on_the_others(cases: Iterable[T]) -> list[tuple[T, str]]:
    """Each case with the levels that it is not in turn for."""
    return [(case, level) for case, own in in_turn(cases) for level in RUNNABLE if level != own]


def schedules(workload: Workload, target: Target, samples: int) -> Iterator[Schedule]:
    """Of every template that fits: the default and some others."""
    rng = random.Random(f"{workload.key} {target.level}")
    for space in spaces(workload, target):
        found = [space.default_schedule(), *(space.sample(rng) for _ in range(samples))]
        yield from dict.fromkeys(found)


def draw(workload: Workload, seed: int = 0) -> list[Array]:
    """Random inputs: floats in (-1, 1), small integers of both signs where there are two."""
    rng = np.random.default_rng(seed)
    arrays = []
    for tensor in workload.inputs:
        if tensor.dtype == "bool":
            arrays.append(rng.integers(0, 2, tensor.shape).astype(np.bool_))
        elif tensor.dtype.startswith("float"):
            arrays.append(rng.uniform(-1, 1, tensor.shape).astype(tensor.dtype))
        else:
            low = 0 if tensor.dtype.startswith("uint") else -9
            arrays.append(rng.integers(low, 10, tensor.shape).astype(tensor.dtype))
    return arrays


def _wide(arrays: Sequence[Array]) -> list[Array]:
    return [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]


def reference(workload: Workload, inputs: Sequence[Array]) -> Array:
    """The output, computed in float64 where the workload has float32."""
    with np.errstate(all="ignore"):
        return evaluate.run(workload, _wide(inputs))


def magnitude(workload: Workload, inputs: Sequence[Array]) -> Array | float:
    """What the last anchor adds up, by absolute value: rounding errors are a small part of that."""
    adding = (
        "conv2d",
        "conv2d_planes",
        "conv2d_transpose",
        "matmul",
        "matmul_few_bits",
        "sum",
        "mean",
    )
    adding += ("avg_pool2d", "matmul_few_bits_integer")
    for i, node in reversed(list(enumerate(workload.nodes))):
        if node.op in adding:
            part = Workload(workload.inputs, workload.constants, workload.nodes[: i + 1])
            return reference(part, [np.abs(a) if a.dtype.kind in "fi" else a for a in inputs])
        if ops.of(node).is_anchor:
            break
    return 0.0


def compare(got: Array, want: Array, allowed: Array | float, label: object = "") -> None:
    """Equal where not finite, and elsewhere no further apart than ``allowed``."""
    assert got.shape == want.shape, label
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want, str(label))
        return
    with np.errstate(all="ignore"):
        same = (got == want.astype(got.dtype)) | (np.isnan(got) & np.isnan(want))
        off = np.abs(got - want)
        wrong = np.argwhere(~(same | (off <= allowed)))
    if len(wrong):
        at = tuple(map(int, wrong[0]))
        text = f"{label}: {len(wrong)} of {got.size} wrong; at {at}"
        raise AssertionError(f"{text} {got[at]!r} should be {want[at]!r}, off by {off[at]:.3g}")


def verify(
    workload: Workload,
    level: str,
    *,
    samples: int = 2,
    placement: Placement = DENSE,
    inputs: Sequence[Array] | None = None,
    template: str | None = None,
    relative: float = 2e-6,
    absolute: float = 1e-6,
    of_sum: float = 1e-6,
) -> None:
    """Check the default and some other schedules of every template against float64.

    An element may be off by ``relative`` of itself, plus ``of_sum`` of the sum of the absolute
    values that its anchor adds up, plus ``absolute``. ``template`` must be one that fits.
    """
    target = TARGETS[level]
    chosen = list(schedules(workload, target, samples))
    assert template is None or template in {s.template for s in chosen}
    kernels = [instantiate(workload, target, s, placement) for s in chosen]
    library = Library(kernels, target)
    inputs = draw(workload) if inputs is None else inputs
    want = reference(workload, inputs)
    with np.errstate(invalid="ignore"):
        limit = absolute + relative * np.abs(want) + of_sum * magnitude(workload, inputs)
    for i, schedule in enumerate(chosen):
        winograd = schedule.template.startswith("winograd")
        loose = 1e-4 + 1e-3 * np.abs(want) if winograd else limit
        got = library.run(i, inputs, random.Random(i))
        compare(got, want, loose, f"{schedule} on {level}, {workload}")
