"""Files of images in all formats that are read, and the pixels that they have."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
File = tuple[str, bytes, Pixels]
ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2)]


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    """Something smooth with something rough in it."""
    rng = np.random.default_rng([height, width, seed])
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b + c) for a, b, c in rng.uniform(1, 9, (3, 3))]
    rough = rng.uniform(-40, 40, (height, width, 3)) * (rng.random((height, width, 1)) < 0.3)
    return Image.fromarray(np.clip(128 + 100 * np.dstack(waves) + rough, 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    with io.BytesIO() as file:
        image.save(file, format=kind, **options)
        return file.getvalue()


def pixels(data: bytes) -> Pixels:
    """By Pillow; what is transparent is as if it were not."""
    with Image.open(io.BytesIO(data)) as image:
        clear = image.mode == "P" and "transparency" in image.info
        return np.asarray((image.convert("RGBA") if clear else image).convert("RGB"))


def files(height: int, width: int) -> Iterator[File]:
    """By name: the bytes and the pixels, red first."""
    image = picture(height, width)
    for mode in ("1", "L", "P", "RGB"):
        kinds = {"bmp": {}, "png": {}, "tiff": {}, "ppm": {}}
        for kind, options in kinds.items():
            if (mode, kind) != ("P", "ppm"):
                data = saved(image.convert(mode), kind, **options)
                yield f"{kind} {mode}", data, pixels(data)
    for mode, kind in (("RGBA", "bmp"), ("RGBA", "png"), ("LA", "png"), ("RGBA", "tiff")):
        other = image.convert(mode)
        other.putalpha(77)
        data = saved(other, kind)
        yield f"{kind} {mode}", data, np.asarray(image.convert(mode).convert("RGB"))
    for bits in (1, 2, 4):
        data = saved(image.quantize(2**bits), "png", bits=bits)
        yield f"png of {bits} bits", data, pixels(data)
    yield from _jpegs(image)
    yield from _written(height, width)


def _jpegs(image: Image.Image) -> Iterator[File]:
    grey = saved(image.convert("L"), "jpeg")
    yield "jpeg grey", grey, pixels(grey)
    for chroma in (0, 1, 2):
        for more in ({}, {"progressive": True}, {"quality": 20, "restart_marker_blocks": 2}):
            data = saved(image, "jpeg", subsampling=chroma, **more)
            yield f"jpeg {chroma} {' '.join(more)}", data, pixels(data)
    data = saved(image, "jpeg", keep_rgb=True, quality=90)
    yield "jpeg RGB", data, pixels(data)


def _written(height: int, width: int) -> Iterator[File]:
    """What Pillow does not write, or reads otherwise."""
    rng = np.random.default_rng(height * width)
    wide = rng.integers(0, 65536, (height, width, 3)).astype(np.uint16)
    high = (wide >> 8).astype(np.uint8)
    yield "png of 16 bits", png(wide.astype(">u2"), 2, 16), high
    yield "png interlaced", png(high, 2, 8, interlaced=True), high
    bits = rng.integers(0, 2, (height, width))
    text = "\n".join(" ".join(map(str, row)) for row in high.reshape(height, -1))
    yield "plain ppm", f"P3 # of text\n{width} {height} 255\n{text}".encode(), high
    dense = "".join(map(str, bits.reshape(-1)))
    white = np.repeat(((1 - bits) * 255).astype(np.uint8)[..., None], 3, 2)
    yield "plain pbm", f"P1\n{width}\n{height}\n{dense}".encode(), white
    head = f"P6 {width} {height} 65535\n".encode()
    scaled = ((wide.astype(np.int64) * 510 + 65535) // (2 * 65535)).astype(np.uint8)
    yield "ppm of 16 bits", head + wide.astype(">u2").tobytes(), scaled
    top_down = struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 32, 0, 0, 0, 0, 0, 0)
    rows = np.dstack([high[..., ::-1], high[..., :1]]).tobytes()
    yield "bmp from the top", b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + top_down + rows, high
    yield "tiff from high to low", tiff(wide), high


def png(rows: NDArray[Any], kind: int, bits: int, *, interlaced: bool = False) -> bytes:
    """Each row by another filter, but for those of interlaced ones."""
    height, width = rows.shape[:2]

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    passes = [*ADAM7, (0, 1, 1, 2)] if interlaced else [(0, 0, 1, 1)]
    parts = [rows[y::down, x::across] for x, y, across, down in passes]
    lines = (b"\0" + row.tobytes() for part in parts if part.size for row in part)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, interlaced)
    data = zlib.compress(b"".join(lines), 6)
    middle = len(data) // 2
    pieces = b"".join(chunk(b"IDAT", each) for each in (data[:middle], b"", data[middle:]))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pieces + chunk(b"IEND", b"")


def tiff(rows: NDArray[np.uint16]) -> bytes:
    """Of 16 bits, in strips of 3 rows, numbers from high to low."""
    height, width, _ = rows.shape
    data = rows.astype(">u2").tobytes()
    strips = -(-height // 3)
    offsets = [8 + 18 * width * i for i in range(strips)]
    counts = [min(18 * width, len(data) - 18 * width * i) for i in range(strips)]
    after = 8 + len(data)
    lists = struct.pack(f">{strips}I", *offsets) + struct.pack(f">{strips}I", *counts)
    fields = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 16 << 16),
        (262, 3, 1, 2 << 16),
        (273, 4, strips, after if strips > 1 else offsets[0]),
        (277, 3, 1, 3 << 16),
        (278, 3, 1, 3 << 16),
        (279, 4, strips, after + 4 * strips if strips > 1 else counts[0]),
    ]
    entries = b"".join(struct.pack(">HHII", *field) for field in fields)
    directory = struct.pack(">H", len(fields)) + entries + struct.pack(">I", 0)
    return b"MM\0*" + struct.pack(">I", after + len(lists)) + data + lists + directory
