"""Products and convolutions by AMX's instructions for whole tiles, on any processor.

Kernels are what a build has, compiled for these instructions. A processor without them stops at
each, which ``tiles.c`` then does: it decodes it, and refuses what tiles are not configured for.
"""

from __future__ import annotations

import ctypes
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caller import (
    RUNNABLE,
    TARGETS,
    Library,
    compare,
    draw,
    magnitude,
    reference,
    schedules,
)
from open_workloads import opened
from rounded_kernels import EMULATED, rounded
from test_bfloat16 import CONVOLUTIONS as ROUNDED_CONVOLUTIONS
from test_bfloat16 import PRODUCTS as ROUNDED_PRODUCTS
from test_open_kernels import B, T, verify_open
from test_whole_products import CONVOLUTIONS, PRODUCTS, ends
from whole_workloads import whole_conv, whole_matmul
from workloads import conv, matmul

from luthier.machine.peak import STEPS, tile_kernel
from luthier.schedules import Schedule, Target, TargetError, Workload, codegen
from luthier.schedules.emit import bfloat16
from luthier.schedules.emit.whole_tiles import step_groups
from luthier.schedules.target import host_features, parse
from luthier.schedules.target.permission import request
from luthier.schedules.templates.registry import default, instantiate, spaces
from luthier.schedules.toolchain import find_compiler
from luthier.schedules.tvm_late import tvm

PAD = (1, 1, 1, 1)
TILES = replace(TARGETS["x86-64-v4"], extensions=("vnni", "bf16", "amx"))
ROUNDING = replace(TILES, accuracy="bf16")
HOST = replace(TARGETS[RUNNABLE[-1]], extensions=("amx",))
"""What kernels are compiled for here: the host's vectors, and tiles."""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("tiles")
    source = Path(__file__).with_name("tiles.c")
    flags = ["-std=c11", "-O2", "-ffp-contract=off", "-fPIC", "-shared"]
    find_compiler().run([*flags, str(source), "-o", "tiles.so", "-lm"], folder)
    return ctypes.CDLL(str(folder / "tiles.so"))


@pytest.fixture
def tiles(emulator: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The instructions, the processor's own or in their place."""
    has_tiles = host_features().issuperset(TILES.features[-3:])
    if has_tiles:
        request(TILES)
    if not host_features() >= {"avx512_bf16"}:
        monkeypatch.setattr(bfloat16, "SOURCE", EMULATED)
    done = ctypes.c_int64.in_dll(emulator, "tiles_done")
    assert emulator.tiles_install() == 0
    yield
    assert emulator.tiles_remove() == 0
    assert has_tiles or done.value > 0
    assert emulator.tiles_are_released()


def compiled_for() -> Target:
    bf16 = ("bf16",) if host_features() >= {"avx512_bf16"} else ()
    return replace(HOST, extensions=(*bf16, *HOST.extensions))


def chosen(workload: Workload, target: Target, samples: int = 12) -> list[Schedule]:
    """Schedules with whole tiles."""
    some = schedules(workload, target, samples)
    found = [s for s in some if dict(s.knobs).get("weights") == "tiles"]
    assert found, workload
    return found


def verify(workload: Workload, target: Target, inputs: list[np.ndarray], of_sum: float) -> None:
    """Against exact sums of what is multiplied."""
    given = inputs
    if target.accuracy == "bf16":
        given = [rounded(a) if i in workload.nodes[0].args else a for i, a in enumerate(inputs)]
    want = reference(workload, given)
    limit = of_sum * (1 + np.abs(want) + magnitude(workload, given)) if of_sum else 0.0
    found = chosen(workload, target)
    library = Library([instantiate(workload, target, s) for s in found], compiled_for())
    for i, schedule in enumerate(found):
        compare(library.run(i, inputs, random.Random(i)), want, limit, f"{schedule}, {workload}")


def largest(workload: Workload) -> list[np.ndarray]:
    return [
        ends(t.dtype, t.shape) if t.element.is_whole else a
        for t, a in zip(workload.inputs, draw(workload), strict=True)
    ]


TYPES = [("uint8", "int8"), ("int8", "int8"), ("uint8", "uint8"), ("int8", "uint8")]
WHOLE_PRODUCTS = {
    "one number": PRODUCTS["one number"],
    "a row": whole_matmul((1, 33), (33, 67)),
    "a prime of everything": whole_matmul((13, 37), (37, 53)),
    "several tiles of rows, and some more": whole_matmul((67, 64), (64, 48)),
    "a depth of several steps": whole_matmul((35, 129), (129, 33), ("int8", "int8")),
    "a depth that fills steps": whole_matmul((33, 192), (192, 32), ("int8", "int8")),
    "a batch": whole_matmul((2, 3, 5, 9), (2, 3, 9, 18), constant=False),
    "one A for all": whole_matmul((7, 9), (3, 9, 18), constant=False),
    "bytes at run time": whole_matmul((18, 130), (130, 35), ("int8", "uint8"), constant=False),
}
WHOLE_CONVOLUTIONS = {
    "pixels": whole_conv((1, 5, 6, 37), 21, (1, 1), ("uint8", "int8")),
    "some pixels": CONVOLUTIONS["some pixels"],
    "some pixels, padded after them": CONVOLUTIONS["some pixels, padded after them"],
    "colours": CONVOLUTIONS["colours"],
    "padded with a number": whole_conv(
        (2, 7, 19, 24), 50, (3, 3), ("uint8", "int8"), pads=PAD, outside=117
    ),
    "rows in line, some more": whole_conv(
        (1, 9, 7, 32), 40, (3, 3), ("uint8", "int8"), pads=PAD, outside=3
    ),
    "pixels apart": whole_conv((1, 9, 15, 32), 48, (1, 1), ("uint8", "int8"), strides=(2, 2)),
    "apart": CONVOLUTIONS["apart, padded with a number"],
    "groups": whole_conv((1, 5, 5, 6), 9, (3, 3), ("int8", "uint8"), groups=3),
}


@pytest.mark.parametrize("name", WHOLE_PRODUCTS)
def test_products_are_exact(name: str, tiles: None) -> None:
    verify(WHOLE_PRODUCTS[name], TILES, largest(WHOLE_PRODUCTS[name]), 0.0)


@pytest.mark.parametrize("name", WHOLE_CONVOLUTIONS)
def test_convolutions_are_exact(name: str, tiles: None) -> None:
    verify(WHOLE_CONVOLUTIONS[name], TILES, largest(WHOLE_CONVOLUTIONS[name]), 0.0)


@pytest.mark.parametrize("types", TYPES)
def test_every_pair_of_types(types: tuple[str, str], tiles: None) -> None:
    product = whole_matmul((21, 73), (73, 40), types)
    verify(product, TILES, largest(product), 0.0)


@pytest.mark.parametrize("seed", range(6))
def test_random_sizes(seed: int, tiles: None) -> None:
    rng = random.Random(seed)
    m, k, n = rng.randint(1, 80), rng.randint(1, 400), rng.randint(1, 120)
    product = whole_matmul((m, k), (k, n), rng.choice(TYPES), constant=rng.random() < 0.7)
    verify(product, TILES, largest(product), 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_random_convolutions(seed: int, tiles: None) -> None:
    """Tiles go on from one row of outputs to the next where windows move by one pixel."""
    rng = random.Random(seed)
    shape = rng.randint(1, 2), rng.randint(5, 19), rng.randint(5, 19), rng.randint(1, 80)
    size, step = rng.choice((1, 3)), rng.choice((1, 1, 2))
    convolution = whole_conv(
        shape,
        rng.randint(1, 70),
        (size, size),
        rng.choice(TYPES),
        strides=(step, step),
        pads=rng.choice((PAD, (0, 0, 0, 0), (1, 2, 0, 1))),
        dilations=(rng.choice((1, 1, 2)), 1),
    )
    verify(convolution, TILES, largest(convolution), 0.0)


def test_tiles_that_somebody_else_configured(emulator: ctypes.CDLL, tiles: None) -> None:
    emulator.tiles_configure()
    product = WHOLE_PRODUCTS["several tiles of rows, and some more"]
    verify(product, TILES, largest(product), 0.0)


OPEN = {
    "rows": (lambda b, t: whole_matmul((b, t, 72), (72, 50)), (B, T)),
    "images": (lambda b: whole_conv((b, 7, 9, 24), 35, (3, 3), ("uint8", "int8"), pads=PAD), (B,)),
}


@pytest.mark.parametrize("name", OPEN)
def test_sizes_that_are_open(name: str, tiles: None) -> None:
    make, symbols = OPEN[name]
    workload = opened(make, [symbol.name for symbol in symbols])
    kernel = verify_open(workload, symbols, TILES, compiled_for=compiled_for())
    assert "tiles" in {a.kernel.schedule["weights"] for a in kernel.alternatives}


@pytest.mark.parametrize("name", [n for n in ROUNDED_PRODUCTS if n != "one row"])
def test_products_of_bfloat16(name: str, tiles: None) -> None:
    workload = ROUNDED_PRODUCTS[name]
    verify(workload, ROUNDING, draw(workload), 2e-6)


@pytest.mark.parametrize("name", ROUNDED_CONVOLUTIONS)
def test_convolutions_of_bfloat16(name: str, tiles: None) -> None:
    workload = ROUNDED_CONVOLUTIONS[name]
    verify(workload, ROUNDING, draw(workload), 2e-6)


@pytest.mark.parametrize("place", ["inf", "nan"])
def test_what_is_no_number_stays_in_its_row_and_column(place: str, tiles: None) -> None:
    product = matmul((19, 70), (70, 33))
    a, b = draw(product)[:2]
    a[7, 69] = float(place)
    b[69] = np.abs(b[69]) + 1
    verify(product, ROUNDING, [a, b], 2e-6)


@pytest.mark.parametrize("level", [level for level in RUNNABLE if level == TILES.level])
@pytest.mark.parametrize(("to", "zero"), [("uint8", 117), ("int8", -5)])
def test_results_of_eight_bits(to: str, zero: int, level: str, tiles: None) -> None:
    """With a bias that sums start from; vectors of 512 bits narrow what is stored."""
    product = whole_matmul((35, 76), (76, 117), to=to, zero=zero)
    verify(product, TILES, draw(product), 0.0)


@pytest.mark.parametrize("depth", range(1, 400, 7))
def test_steps_are_even_and_few(depth: int) -> None:
    groups = step_groups(depth, 4)
    steps = -(-depth // (4 * groups))
    assert 1 <= groups <= 16
    assert steps == -(-depth // 64)
    assert steps * groups - -(-depth // 4) < steps


def assembly(workload: Workload, target: Target) -> str:
    kernel = instantiate(workload, target, default(workload, target))
    lowered = codegen.lower({"k": kernel}, target)
    build = tvm.get_global_func("target.build.llvm")
    return str(build(lowered, codegen.llvm_target(target)).inspect_source("asm"))


LARGE = {
    "tdpbusd": (whole_matmul((128, 768), (768, 256), to="int8", zero=3), TILES),
    "tdpbssd": (whole_conv((1, 28, 32, 128), 128, (3, 3), ("int8", "int8"), pads=PAD), TILES),
    "tdpbf16ps": (matmul((128, 768), (768, 256)), ROUNDING),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_step_is_four_products_of_four_tiles(name: str) -> None:
    """And nothing but that, addresses, and what is asked for."""
    text = assembly(*LARGE[name])
    blocks = [b for b in re.split(r"^\.L\w+:.*$", text, flags=re.M) if name in b]
    full = [b for b in blocks if b.count(name) % 4 == 0]
    assert full
    for block in full:
        inner = block[: block.rindex(name)]
        assert block.count("tileloadd") == block.count(name)
        assert "tilestored" not in inner
        assert not re.search(r"[xyz]mm\d", inner[inner.index("tileloadd") :])


@pytest.mark.parametrize("name", LARGE)
def test_tiles_are_given_back_at_the_end(name: str) -> None:
    text = assembly(*LARGE[name])
    assert text.count("tilerelease") == 1
    assert name not in text[text.index("tilerelease") :].split("retq")[0]


def test_large_products_are_of_tiles_and_those_of_a_row_are_not() -> None:
    for workload, target in LARGE.values():
        assert dict(default(workload, target).knobs)["weights"] == "tiles"
    row = whole_matmul((1, 768), (768, 768))
    assert dict(default(row, TILES).knobs)["weights"] == "fours"


def test_the_peak_is_of_tiles(tiles: None) -> None:
    """Whose kernel computes what it says: steps of one tile's depth."""
    kernel = tile_kernel()
    library = Library([kernel], compiled_for())
    got = library.run(0, [np.full(kernel.workload.inputs[0].shape, 3, np.uint8)], random.Random(0))
    np.testing.assert_array_equal(got, 9 * 64 * STEPS)


def test_the_system_is_asked() -> None:
    if host_features().issuperset(TILES.features[-3:]):
        request(TILES)
    else:
        with pytest.raises(TargetError, match="does not let this process use amx_tile"):
            request(TILES)
    request(replace(TILES, extensions=("vnni",)))


def test_no_tiles_without_the_extension() -> None:
    target = replace(ROUNDING, extensions=("vnni", "bf16"))
    for workload, _ in LARGE.values():
        for space in spaces(workload, target):
            for knob in space.knobs:
                assert "tiles" not in knob.choices


def test_a_processor_by_name_may_have_them() -> None:
    """And has them alone, where pairs of bfloat16 gain nothing."""
    target = replace(parse("sapphirerapids+vnni+bf16+amx", 2), accuracy="bf16")
    workload = conv((1, 14, 14, 64), 64, (3, 3), pads=PAD)
    text = assembly(workload, target)
    assert "tdpbf16ps" in text
    assert "vdpbf16ps" not in text
