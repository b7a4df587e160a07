"""Files of images as pixels, against Pillow."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from image_files import File, files, picture, saved

from luthier.schedules import Target, Tensor, Workload
from luthier.schedules.execute import LoadedKernel
from luthier.schedules.ir.workload import node
from luthier.schedules.natives import NATIVE
from luthier.schedules.ops import OPERATORS
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.images import channels
from luthier.schedules.templates.registry import default, instantiate

TARGET = Target("x86-64-v2", "x86-64-v2", 1)
MOST = (48, 64)
FILES = [*files(19, 37), *files(1, 1), *files(8, 3), *files(33, 16)]


def decoding(size: int, order: str) -> Workload:
    attrs = {"height": MOST[0], "width": MOST[1], "order": order}
    given = Tensor((size,), "uint8")
    out = OPERATORS["decode_image"].infer([given], attrs)
    return Workload((given,), (False,), (node("decode_image", (0,), out, **attrs),))


def read(data: bytes, order: str = "RGB") -> tuple[int, int, int, np.ndarray]:
    """Height, width, kind, and all rows, by the functions that kernels call."""
    workload = decoding(len(data), order)
    result = evaluate(workload.nodes[0], [np.frombuffer(data, np.uint8)])
    return unpacked(result, order)


def unpacked(result: np.ndarray, order: str) -> tuple[int, int, int, np.ndarray]:
    height, width, kind = result[0, :12].copy().view("<u4").tolist()
    rows = result[1:].reshape(MOST[0], MOST[1], channels(order))
    return height, width, kind, rows[:height, :width]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file[0]} {file[2].shape}")
def test_the_pixels_of_a_file(file: File) -> None:
    _, data, wanted = file
    height, width, kind, found = read(data)
    assert (height, width, kind) == (*wanted.shape[:2], 0)
    np.testing.assert_array_equal(found, wanted)


def test_the_order_of_a_pixels_bytes() -> None:
    image = picture(9, 11)
    data = saved(image, "png")
    np.testing.assert_array_equal(read(data, "BGR")[3], np.asarray(image)[..., ::-1])
    grey = np.asarray(image.convert("L"))[..., None]
    np.testing.assert_array_equal(read(data, "Grayscale")[3], grey)


def test_a_kernel_calls_them() -> None:
    data = saved(picture(*MOST), "jpeg")
    workload = decoding(len(data), "BGR")
    kernel = instantiate(workload, TARGET, default(workload, TARGET))
    found = LoadedKernel(kernel, TARGET).run([np.frombuffer(data, np.uint8)])
    wanted = read(data, "BGR")
    assert unpacked(found, "BGR")[:3] == wanted[:3] == (*MOST, 0)
    np.testing.assert_array_equal(unpacked(found, "BGR")[3], wanted[3])


def test_what_is_no_image_or_of_a_kind_that_is_not_read() -> None:
    image = picture(20, 20)
    for name, data, _ in FILES[:40]:
        assert read(data[: len(data) * 3 // 5])[:3] == (0, 0, 0), name
    for data in (b"", b"BM", b"P6 3", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xd9", b"GIF89a" * 9):
        assert read(data + b"\0")[:3] == (0, 0, 0)
    assert read(saved(image, "jpeg2000"))[:3] == (0, 0, 1)
    assert read(saved(image, "webp"))[:3] == (0, 0, 2)
    assert read(saved(image, "tiff", compression="tiff_lzw"))[:3] == (0, 0, 3)
    assert read(saved(image.convert("CMYK"), "jpeg"))[:3] == (0, 0, 3)


def test_an_image_that_is_too_large_has_its_sizes() -> None:
    for kind in ("bmp", "png", "ppm", "tiff", "jpeg"):
        assert read(saved(picture(MOST[0] + 1, 9), kind))[:3] == (MOST[0] + 1, 9, 0), kind
        assert read(saved(picture(9, MOST[1] + 1), kind))[:3] == (9, MOST[1] + 1, 0), kind


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc's sanitizers")
def test_damaged_files_do_no_harm(tmp_path: Path) -> None:
    paths = []
    for i, (_, data, _) in enumerate(FILES[:40]):
        paths.append(tmp_path / f"{i}")
        paths[-1].write_bytes(data)
    flags = "-std=c11 -Wall -Wextra -Wpedantic -Werror -O1 -fsanitize=address,undefined".split()
    sources = [Path(__file__).with_name("c_images.c"), *sorted((NATIVE / "images").glob("*.c"))]
    program = tmp_path / "program"
    command = ["gcc", *flags, "-fno-sanitize-recover=all", *map(str, sources), "-o", str(program)]
    subprocess.run(command, check=True)
    done = subprocess.run(
        [str(program), "100", *map(str, paths)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 50
