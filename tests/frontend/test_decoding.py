"""Images in files: how large they are a run finds, or the model declares."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
from decided_models import declared, ended, refused
from onnx import helper
from onnx_models import TARGET
from PIL import Image
from sized_models import computed, opened

from luthier.frontend import Entry, import_entry, read_model
from luthier.frontend.program.library import Library, verify_library

N = helper.make_node
SIZE = 400


def decoder(**attrs: str) -> onnx.ModelProto:
    nodes = [
        N("ImageDecoder", ["file"], ["pixels"], **attrs),
        N("Cast", ["pixels"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    return opened(nodes, {"file": ((SIZE,), "uint8")}, {"pixels": "uint8", "y": "float32"})


def file(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A file, with zeros after it, and its pixels."""
    rng = np.random.default_rng([height, width])
    image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    with io.BytesIO() as stream:
        Image.fromarray(image).save(stream, "ppm")
        data = np.frombuffer(stream.getvalue(), np.uint8)
    return np.pad(data, (0, SIZE - len(data))), image


def entry_of(proto: onnx.ModelProto, bounds: dict[str, int] | None = None) -> Entry:
    entry = import_entry(read_model(proto, bounds=bounds), TARGET)
    verify_library(Library("small", {"run": entry}))
    return entry


def test_a_run_finds_how_large_an_image_is() -> None:
    assert "--bound found_pixels_0=1024" in refused(decoder())
    bounds = {"found_pixels_0": 20, "found_pixels_1": 30}
    entry = entry_of(decoder(pixel_format="BGR"), bounds)
    (program,) = entry.variants
    assert [str(s) for s in program.symbols] == ["found_pixels_0=0..20", "found_pixels_1=0..30"]
    for height, width in ((5, 7), (20, 6), (1, 1), (3, 30)):
        data, image = file(height, width)
        outputs = computed(program, {}, {"file": data})
        np.testing.assert_array_equal(outputs["pixels"], image[..., ::-1])
        np.testing.assert_array_equal(outputs["y"], image[..., ::-1].astype(np.float32))
    numbers: list[int] = []
    computed(program, {}, {"file": np.zeros(SIZE, np.uint8)}, numbers)
    assert numbers == [0, 0]  # of what is not an image


def test_a_model_declares_how_large_it_is() -> None:
    proto = declared(decoder(pixel_format="Grayscale"), pixels=(4, 6, 1))
    entry = entry_of(proto)
    data, image = file(4, 6)
    grey = np.asarray(Image.fromarray(image).convert("L"))[..., None]
    outputs = computed(entry.variants[0], {}, {"file": data})
    np.testing.assert_array_equal(outputs["pixels"], grey)
    said = ended(entry, {"file": file(5, 6)[0]})
    assert said == "ImageDecoder 'pixels': its image has so many rows: [5], not [4]"
    webp = np.frombuffer(b"RIFF....WEBP".ljust(SIZE, b"\0"), np.uint8)
    assert "an unsupported kind (1 JPEG 2000, 2 WebP, 3 a rare one): [2], not [0]" in ended(
        entry, {"file": webp}
    )


@pytest.mark.parametrize(
    ("dtype", "form", "said"),
    [
        ("float32", "RGB", "an image in float32[400], and not in uint8[bytes], is not supported"),
        ("uint8", "CMYK", "the pixel format 'CMYK' is not supported"),
    ],
)
def test_what_is_refused(dtype: str, form: str, said: str) -> None:
    nodes = [N("ImageDecoder", ["file"], ["y"], pixel_format=form)]
    assert said in refused(opened(nodes, {"file": ((SIZE,), dtype)}, {"y": "uint8"}))
