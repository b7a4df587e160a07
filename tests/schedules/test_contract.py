"""What ``caller`` checks of every kernel, on kernels that break the contract one way each."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Block, Library, draw, schedules
from tvm import tirx
from workloads import conv, unary

from luthier.schedules import ALIGNMENT, Kernel, Schedule
from luthier.schedules.emit.builder import PhaseBuilder, Slot
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ir.workload import Tensor
from luthier.schedules.templates.registry import instantiate

CHUNKS, EACH = 8, 4
RELU = unary("relu", (CHUNKS * EACH,))
TARGET = TARGETS["x86-64-v2"]


def relu(spoil=lambda builder, chunk: None, skip: int = -1, scratch_first: bool = False) -> Kernel:
    """A kernel written by hand, and what ``spoil`` adds to each chunk."""
    slots = [Slot(i, name, Tensor((CHUNKS * EACH,))) for i, name in enumerate(("in0", "out"))]
    builder = PhaseBuilder([*slots, Slot(None, "mine", Tensor((EACH,)))])
    zero = tirx.const(0.0, "float32")
    with builder.chunk_loop() as chunk:
        with builder.when(chunk != skip), builder.loop(EACH) as i:
            x = builder.load(builder["in0"], chunk * EACH + i)
            if scratch_first:  # adds to what an earlier call left there
                x = x + builder.load(builder["mine"], i)
            builder.store(builder["out"], chunk * EACH + i, tirx.Select(x < zero, zero, x))
        spoil(builder, chunk)
    return Kernel(RELU, Schedule("hand", 1, ()), (builder.finish(CHUNKS),), (None,), (), 4 * EACH)


def run(kernel: Kernel) -> np.ndarray:
    return Library([kernel], TARGET).run(0, draw(RELU), random.Random(0))


def right() -> np.ndarray:
    return np.maximum(draw(RELU)[0], 0)


def test_a_right_kernel_passes():
    np.testing.assert_array_equal(run(relu()), right())


def test_a_kernel_that_leaves_a_chunk_undone_gives_nan():
    assert np.isnan(run(relu(skip=3))).sum() == EACH


def test_a_kernel_that_reads_scratch_before_it_wrote_there_gives_nan():
    assert np.isnan(run(relu(scratch_first=True))).any()


def test_a_kernel_that_needs_its_chunks_in_order_is_wrong():
    def copy_previous(builder, chunk):
        with builder.when(chunk > 0):
            before = builder.load(builder["out"], (chunk - 1) * EACH)
            builder.store(builder["out"], chunk * EACH, before)

    got = run(relu(copy_previous))
    assert np.isnan(got).any() or len(set(got[::EACH])) > 1


@pytest.mark.parametrize("name", ["in0", "out", "mine"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_kernel_that_writes_outside_a_buffer_is_caught(name, place):
    """Further than a page is caught by the processor."""

    def write(builder, chunk):
        size = EACH if name == "mine" else CHUNKS * EACH
        index = -1 if place == "before" else size
        if index == size and size * 4 % ALIGNMENT == 0:
            index = -2  # no byte lies between the buffer and its trap
        builder.store(builder[name], index, tirx.const(1.0, "float32"))

    with pytest.raises(AssertionError, match="outside its buffers"):
        run(relu(write))


def test_a_kernel_that_writes_to_its_input_is_caught():
    def write(builder, chunk):
        builder.store(builder["in0"], 0, tirx.const(7.0, "float32"))

    with pytest.raises(AssertionError, match="to an input"):
        run(relu(write))


def test_blocks_lie_between_traps_at_the_least_alignment():
    for size in (1, 63, 64, 100, 4096, 5000):
        block = Block(size)
        assert block.address % ALIGNMENT == 0
        assert len(block.bytes) == size
        assert block.intact
        assert (block.address + size + 4096) // 4096 - (block.address + size - 1) // 4096 <= 2
        block._inner[-1 if size % ALIGNMENT else 0] = 3
        assert not block.intact or size % ALIGNMENT == 0


def test_a_kernel_that_reads_beyond_the_traps_dies(tmp_path):
    """In processes of their own: what the tests of this room would end with."""
    script = tmp_path / "reads.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import ctypes, os\n"
        "from caller import Block\n"
        "block = Block(4096)\n"
        "for offset in (0, 4096, -4100):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        ctypes.c_int.from_address(block.address + offset).value\n"
        "        os._exit(0)\n"
        "    print(os.waitpid(child, 0)[1], flush=True)\n"
    )
    command = [sys.executable, "-W", "ignore", str(script), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert [int(status) & 127 for status in done.stdout.split()] == [0, 11, 11]


@pytest.mark.parametrize("level", RUNNABLE)
def test_the_simple_caller_agrees_with_the_nasty_one(level):
    workload = conv((1, 6, 7, 5), 9, (3, 3), pads=(1, 1, 1, 1), after="scaled")
    inputs, target = draw(workload), TARGETS[level]
    for schedule in schedules(workload, target, 0):
        kernel = instantiate(workload, target, schedule)
        simple = LoadedKernel(kernel, target).run(inputs)
        nasty = Library([kernel], target).run(0, inputs, random.Random(0))
        np.testing.assert_array_equal(simple, nasty)


def test_bools_come_back_as_bools():
    workload = unary("logical_not", (5,), "bool")
    kernel = instantiate(workload, TARGET, next(schedules(workload, TARGET, 0)))
    flags = np.array([True, False, True, True, False])
    assert LoadedKernel(kernel, TARGET).run([flags]).tolist() == [False, True, False, False, True]
