"""Products and convolutions of whole numbers are exact at their edges, in every type and level."""

from __future__ import annotations

import ctypes
import itertools
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from caller import (
    RUNNABLE,
    TARGETS,
    Block,
    Library,
    compare,
    draw,
    in_turn,
    on_the_others,
    reference,
    schedules,
    verify,
)
from whole_workloads import whole_conv, whole_matmul

from luthier.schedules import codegen
from luthier.schedules.emit import dot_products
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.target import parse
from luthier.schedules.target.costs import Costs
from luthier.schedules.templates.channelwise_integer.form import IntegerChannelwise
from luthier.schedules.templates.gemm_integer.form import IntegerGemm
from luthier.schedules.templates.registry import default, instantiate, spaces
from luthier.schedules.templates.winograd_integer.transform import SIZES
from luthier.schedules.tvm_late import tirx, tvm

PAD = (1, 1, 1, 1)
PRODUCTS = {
    "one number": whole_matmul((1, 1), (1, 1)),
    "a row": whole_matmul((1, 33), (33, 67), to="int8"),
    "a prime of everything": whole_matmul((13, 37), (37, 53), to="uint8"),
    "a batch": whole_matmul((2, 3, 5, 9), (2, 3, 9, 18), constant=False),
    "one B for a batch": whole_matmul((2, 3, 4, 9), (9, 21), to="uint8"),
    "one A for all": whole_matmul((7, 9), (3, 9, 18), constant=False, to="int8"),
    "steps": whole_matmul((13, 37), (37, 117), to="uint8", zero=117),
    "signed steps": whole_matmul((9, 64), (64, 70), ("int8", "int8"), to="int8", zero=-5),
    "weights beyond L1": whole_matmul((13, 200), (200, 300), to="uint8", zero=3),
    "rows beyond L2": whole_matmul((4100, 68), (68, 17), to="uint8"),
    "steps at run time": whole_matmul(
        (2, 9, 22), (2, 22, 37), ("int8", "int8"), constant=False, to="int8", zero=0
    ),
}
CONVOLUTIONS = {
    "pixels": whole_conv((1, 5, 6, 37), 21, (1, 1), ("uint8", "int8"), to="uint8"),
    "some pixels": whole_conv((2, 7, 9, 18), 33, (1, 1), ("int8", "int8"), strides=(2, 2)),
    "some pixels, padded after them": whole_conv(
        (1, 6, 7, 18), 33, (1, 1), ("uint8", "int8"), strides=(2, 2), pads=(0, 0, 1, 2), outside=117
    ),
    "colours": whole_conv(
        (1, 12, 15, 3), 17, (7, 7), ("uint8", "int8"), strides=(2, 2), pads=(3, 3, 3, 3)
    ),
    "colours, padded with a number": whole_conv(
        (1, 9, 10, 3), 16, (3, 3), ("uint8", "int8"), strides=(2, 2), pads=PAD, outside=117
    ),
    "apart, padded with a number": whole_conv(
        (2, 6, 7, 6),
        10,
        (3, 3),
        ("int8", "int8"),
        dilations=(2, 2),
        pads=(2, 1, 3, 2),
        groups=2,
        outside=-128,
    ),
    "depthwise, padded with a number": whole_conv(
        (1, 6, 9, 35),
        35,
        (5, 5),
        ("uint8", "int8"),
        pads=(2, 2, 2, 2),
        groups=35,
        to="uint8",
        outside=255,
    ),
    "depthwise, dilated": whole_conv(
        (1, 8, 9, 16),
        16,
        (3, 4),
        ("int8", "uint8"),
        strides=(1, 3),
        dilations=(2, 3),
        pads=(2, 3, 1, 4),
        groups=16,
    ),
    "two for each channel": whole_conv((1, 5, 5, 3), 6, (3, 3), ("uint8", "int8"), groups=3),
    "odd sizes": whole_conv((2, 7, 5, 3), 19, (3, 2), to="uint8"),
    "padded": whole_conv((1, 6, 5, 4), 8, (3, 3), pads=PAD),
    "apart": whole_conv((1, 9, 8, 4), 6, (3, 3), strides=(2, 1), dilations=(1, 2), pads=PAD),
    "groups": whole_conv((1, 5, 5, 6), 9, (3, 3), groups=3, to="int8"),
    "weights beyond L2": whole_conv((1, 6, 7, 70), 80, (3, 3), ("uint8", "int8"), pads=PAD),
    "depthwise": whole_conv((2, 7, 6, 21), 21, (3, 3), pads=PAD, groups=21, to="uint8"),
    "depthwise, apart": whole_conv((1, 9, 9, 18), 18, (3, 2), strides=(2, 2), groups=18),
}
CASES = {**PRODUCTS, **CONVOLUTIONS}


@pytest.mark.parametrize(("name", "level"), in_turn(CASES))
def test_edges(name: str, level: str) -> None:
    verify(CASES[name], level, samples=1)


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 200), ("int8", -100), ("int8", 0)])
def test_steps_end_where_their_type_does(dtype: str, zero: int, level: str) -> None:
    """Of sums from one end of int32 to the other, by scales beyond all numbers and by none."""
    scales = np.array([1e-38, 1e-7, 0.5, 1, 3, 1e9, 3e38, np.inf, np.nan, -0.5, -1e9, -np.inf] * 6)
    columns = len(scales)
    product = whole_matmul((3, 4), (4, columns), to=dtype, zero=zero)
    given = [
        np.array([[255] * 4, [0] * 4, [1, 0, 0, 3]], np.uint8),
        np.resize(np.array([-128, 127, 1, 5, -3], np.int8), (4, columns)),
        np.resize(np.array([-(2**30), 0, 2**30, -1, 1], np.int32), columns),
        scales.astype(np.float32),
    ]
    verify(product, level, samples=1, inputs=given)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "level"), on_the_others(CASES))
def test_edges_on_the_other_levels(name: str, level: str) -> None:
    verify(CASES[name], level)


TYPES = ("int8", "uint8", "int16")


def ends(dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """The largest numbers that eight bits less a zero point may be."""
    info = np.iinfo(dtype)
    low, high = max(info.min, -255), min(info.max, 255)
    return np.resize(np.array([low, high, high, low, high], dtype), shape)


@pytest.mark.parametrize(("types", "level"), in_turn(itertools.product(TYPES, TYPES)))
def test_the_largest_numbers_of_every_type(types: tuple[str, str], level: str) -> None:
    product = whole_matmul((5, 301), (301, 19), types)
    verify(product, level, samples=1, inputs=[ends(types[0], (5, 301)), ends(types[1], (301, 19))])
    conv = whole_conv((1, 5, 4, 9), 7, (3, 3), types, pads=PAD)
    given = [ends(types[0], (1, 5, 4, 9)), ends(types[1], (7, 3, 3, 9))]
    verify(conv, level, samples=0, inputs=given)


@pytest.mark.parametrize("types", [("uint8", "int8"), ("int8", "int8"), ("uint8", "uint8")])
def test_tiles_of_the_largest_numbers(types: tuple[str, str]) -> None:
    """Blocks of as many channels as sums are right for, and one more: of all the largest numbers,
    and of such as transforms make the most of."""
    channels = SIZES[4].most(*(DTYPES[name] for name in types)) + 1
    conv = whole_conv((1, 6, 5, channels), 9, (3, 3), types, pads=PAD, outside=127)
    assert "winograd_integer" in {s.template for s in spaces(conv, TARGETS["x86-64-v3"])}
    rng = np.random.default_rng(0)
    ends = [[np.iinfo(t).min, np.iinfo(t).max] for t in types]
    shapes = [tensor.shape for tensor in conv.inputs]
    for pick in (
        lambda i: np.full(shapes[i], ends[i][1 - i], types[i]),
        lambda i: rng.choice(np.array(ends[i], types[i]), shapes[i]),
    ):
        verify(conv, "x86-64-v3", samples=1, inputs=[pick(0), pick(1)])


def test_packed_numbers_stay_as_narrow_as_they_are() -> None:
    for workload in (PRODUCTS["a row"], CONVOLUTIONS["padded"], CONVOLUTIONS["depthwise"]):
        target = TARGETS["x86-64-v3"]
        kernel = instantiate(workload, target, default(workload, target))
        weights = np.ones(workload.inputs[1].shape, "int8")
        assert kernel.pack(1, weights).dtype == np.int8


def test_the_longest_sums_come_near_the_limits_of_int32() -> None:
    depth = 2**31 // (255 * 128) - 1
    product = whole_matmul((2, depth), (depth, 9))
    given = [np.full((2, depth), 255, np.uint8), np.full((depth, 9), -128, np.int8)]
    given[0][1] = 254
    verify(product, "x86-64-v3", samples=1, inputs=given)


# ---- four products at once, on processors that have an instruction for it ----


def emulated(total: Any, shared: Any, group: Any, lanes: int) -> Any:
    """``vpdpbusd``, as Intel's SDM writes it."""
    unsigned = tirx.call_intrin(f"uint8x{4 * lanes}", "tirx.reinterpret", shared)
    wide = f"int32x{4 * lanes}"
    products = tirx.Cast(wide, unsigned) * tirx.Cast(wide, group)
    for step in range(4):
        places = [tirx.const(4 * lane + step, "int32") for lane in range(lanes)]
        total = total + tirx.Shuffle([products], places)
    return total


def emulated_pairs(total: Any, shared: Any, group: Any, lanes: int) -> Any:
    """``vpdpwssd``, likewise: in twice the bits, of which the sum keeps the lower half."""
    wide = f"int64x{2 * lanes}"
    products = tirx.Cast(wide, shared) * tirx.Cast(wide, group)
    total = tirx.Cast(f"int64x{lanes}", total)
    for step in range(2):
        places = [tirx.const(2 * lane + step, "int32") for lane in range(lanes)]
        total = total + tirx.Shuffle([products], places)
    return tirx.Cast(f"int32x{lanes}", total)


FOURS = {
    "a product": whole_matmul((13, 37), (37, 53), to="uint8"),
    "of signed numbers": whole_matmul((5, 64), (64, 19), ("int8", "int8")),
    "of signed numbers in rows that fill no group": whole_matmul(
        (5, 63), (63, 19), ("int8", "int8")
    ),
    "of signed numbers by many columns": whole_matmul((5, 64), (64, 150), ("int8", "int8")),
    "weights beyond L1": PRODUCTS["weights beyond L1"],
    "rows beyond L2": PRODUCTS["rows beyond L2"],
    "weights of windows beyond L1": CONVOLUTIONS["weights beyond L2"],
    "to steps": PRODUCTS["steps"],
    "to signed steps": PRODUCTS["signed steps"],
    "at run time": PRODUCTS["steps at run time"],
    "of bytes at run time": whole_matmul((3, 24), (24, 35), constant=False),
    "a convolution": whole_conv((2, 7, 5, 5), 19, (3, 2), ("uint8", "int8"), pads=PAD, outside=9),
    "one of signed numbers": whole_conv(
        (1, 6, 5, 4), 17, (3, 3), ("int8", "int8"), pads=PAD, outside=-7
    ),
    "one in groups": whole_conv((1, 5, 5, 6), 9, (3, 3), ("int8", "int8"), groups=3),
}
PAIRS = {
    "depthwise": CONVOLUTIONS["depthwise, padded with a number"],
    "depthwise, of signed numbers padded with one": whole_conv(
        (1, 6, 9, 35), 35, (3, 3), ("int8", "int8"), pads=PAD, groups=35, to="int8", outside=-128
    ),
    "depthwise, every other": whole_conv(
        (2, 9, 11, 70), 70, (7, 6), ("uint8", "int8"), strides=(2, 2), pads=(3, 3, 3, 2), groups=70
    ),
    "depthwise, wider than the image": whole_conv(
        (1, 3, 2, 5), 5, (3, 9), ("int8", "int8"), pads=(1, 5, 1, 4), groups=5, outside=7
    ),
    "depthwise, of 16 bits": CONVOLUTIONS["depthwise"],
    "depthwise, dilated": whole_conv(
        (2, 9, 11, 19), 19, (3, 5), ("int8", "int8"), strides=(2, 1), dilations=(1, 2), groups=19
    ),
    "in tiles": whole_conv((2, 7, 9, 40), 35, (3, 3), ("uint8", "int8"), pads=PAD, to="uint8"),
}


NO_ROOM = Costs(latency=4, multiply_adds=2, operations=2)  # beside multiply-adds
LITTLE_ROOM = Costs(latency=4, multiply_adds=1, operations=2)


@pytest.mark.parametrize("costs", [None, NO_ROOM], ids=["room", "no room"])
@pytest.mark.parametrize("name", {**FOURS, **PAIRS})
def test_what_an_extension_multiplies_is_as_exact(
    name: str, costs: Costs | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel as it is, but for the instruction, which this machine may not have."""
    monkeypatch.setattr(dot_products, "add_four_products", emulated)
    monkeypatch.setattr(dot_products, "add_two_products", emulated_pairs)
    workload, plain = {**FOURS, **PAIRS}[name], TARGETS["x86-64-v3"]
    target = replace(plain, extensions=("avxvnni",), measured=costs)
    space = spaces(workload, target)[0]
    choices = {knob.name: knob.choices for knob in space.knobs}
    assert choices.get("weights", ("fours",)) == ("fours",)
    assert set(choices.get("sums", ())) <= {"fours", "fused"}
    assert {"weights", "sums"} & choices.keys()
    chosen = list(schedules(workload, target, 1))
    for sums in choices.get("sums", ()):
        chosen.append(space.schedule({**space.default, "sums": sums}))
    library = Library([instantiate(workload, target, s) for s in chosen], plain)
    inputs = [
        ends(t.dtype, t.shape) if t.element.is_whole else a
        for t, a in zip(workload.inputs, draw(workload), strict=True)
    ]
    want = reference(workload, inputs)
    for i, schedule in enumerate(chosen):
        compare(library.run(i, inputs, random.Random(i)), want, 0.0, str(schedule))


@pytest.mark.parametrize(
    ("costs", "depth", "columns", "once"),
    [
        (None, 64, 150, False),
        (NO_ROOM, 64, 150, True),
        (NO_ROOM, 64, 19, False),
        (LITTLE_ROOM, 64, 19, True),
        (LITTLE_ROOM, 512, 150, False),
    ],
)
def test_signed_rows_are_lifted_once_where_that_takes_less(
    costs: Costs | None, depth: int, columns: int, once: bool
) -> None:
    target = replace(TARGETS["x86-64-v4"], extensions=("vnni",), measured=costs)
    product = whole_matmul((5, depth), (depth, columns), ("int8", "int8"))
    form = IntegerGemm.match(product, target)
    assert form is not None
    assert form.gathers("fours") is once


@pytest.mark.parametrize(("level", "extension"), [("x86-64-v4", "vnni"), ("x86-64-v3", "avxvnni")])
def test_an_extension_is_one_instruction(level: str, extension: str) -> None:
    target = replace(TARGETS[level], extensions=(extension,))
    for workload, name in (
        (FOURS["a product"], "vpdpbusd"),
        (FOURS["a convolution"], "vpdpbusd"),
        (PAIRS["depthwise"], "vpdpbusd"),
        (PAIRS["depthwise, of 16 bits"], "vpdpwssd"),
    ):
        kernel = instantiate(workload, target, default(workload, target))
        llvm = codegen.llvm_target(target)
        lowered = codegen.lower({"k": kernel}, target)
        text = tvm.get_global_func("target.build.llvm")(lowered, llvm).inspect_source("asm")
        assert name in text
        assert "vpmaddwd" not in text


@pytest.mark.parametrize("name", [*PRODUCTS, *CONVOLUTIONS])
def test_kernels_compile_for_a_processor_with_all_extensions(name):
    """LLVM may never end with instructions that alone do no harm."""
    workload = (PRODUCTS | CONVOLUTIONS)[name]
    target = parse("x86-64-v4+vnni+vbmi+bf16+amx", 2)
    kernel = instantiate(workload, target, default(workload, target))
    assert codegen.compile_object({"kernel": kernel}, target)[:4] == b"\x7fELF"


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("channels", [16, 37, 96])
def test_threads_share_rows_of_images_whose_channels_are_apart(images: int, channels: int) -> None:
    """The first half of the chunks, one thread's of two, writes the first half of the pixels."""
    shape, target = (images, 32, 9, channels), TARGETS["x86-64-v3"]
    workload = whole_conv(shape, channels, (3, 3), ("uint8", "int8"), pads=PAD, groups=channels)
    form = IntegerChannelwise.match(workload, target)
    assert form is not None
    assert target.threads == 2
    kernel = form.kernel(form.space.schedule(form.default()._replace(rows=4, vectors=1)._asdict()))
    inputs = draw(workload)
    out = np.zeros(workload.output.size, np.int32)
    blocks = [Block.of(array) for array in (inputs[0], kernel.pack(1, inputs[1]), out)]
    table = (ctypes.c_void_p * 3)(*(block.address for block in blocks))
    scratch, library = Block(kernel.scratch), Library([kernel], target)
    chunks = kernel.phases[0].chunks
    library._functions["k0_0"](table, ctypes.c_void_p(scratch.address), 0, chunks // 2)
    found = blocks[-1].elements(workload.output).reshape(-1, channels)
    half = reference(workload, inputs).reshape(-1, channels)[: len(found) // 2]
    assert half.any(axis=0).all()
    np.testing.assert_array_equal(found[: len(half)], half)
    assert not found[len(half) :].any()


@pytest.mark.parametrize(("depth", "columns", "most"), [(64, 256, 24), (16, 96, 6)])
def test_tiles_have_many_sums_where_few_vectors_are_loaded_in_a_cycle(
    depth: int, columns: int, most: int
) -> None:
    """But where all weights stay in registers, in which tiles of few sums overlap."""
    workload = whole_matmul((3136, depth), (depth, columns), to="uint8", zero=3)
    form = IntegerGemm.match(workload, parse("znver4+vnni"))
    assert form is not None
    knobs = form.default()
    assert most / 2 <= knobs.rows * knobs.vectors <= most
