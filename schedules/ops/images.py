"""Files of images as pixels."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_void_p

import numpy as np

from ..ir.workload import Node, Tensor
from ..natives import native_library
from .operator import Anchor, Array, Attrs

ORDERS = ("RGB", "BGR", "Grayscale")
"""What a pixel's bytes are."""
HEAD = 12
"""Bytes of three numbers that come first: see ``native/images/image.c``."""
_WORK, _BESIDE = 1 << 16, 32  # as ``native/images/image.h`` has them


def channels(order: str) -> int:
    """Bytes of a pixel."""
    return 1 if order == "Grayscale" else 3


def work(height: int, width: int) -> int:
    """Bytes that are needed to read an image which may be so large."""
    return _WORK + 6 * (height + _BESIDE) * (width + _BESIDE)


def _decode(node: Node, x: Array) -> Array:
    """By the functions that kernels call, too."""
    height, width, order = (node.attr(name) for name in ("height", "width", "order"))
    given, result = np.ascontiguousarray(x), np.zeros(node.out.shape, np.uint8)
    room = np.zeros(work(height, width), np.uint8)
    data, out, place = (c_void_p(array.ctypes.data) for array in (given, result, room))
    sizes = given.size, out, height, width, node.out.shape[1]
    native_library("images").luthier_decode_image(data, *sizes, ORDERS.index(order), place)
    return result


def _infer(args: Sequence[Tensor], attrs: Attrs) -> Tensor:
    if args[0].dtype != "uint8" or len(args[0].shape) != 1 or attrs["order"] not in ORDERS:
        raise ValueError(f"of {args[0]} in the order {attrs['order']}")
    pitch = max(attrs["width"] * channels(attrs["order"]), HEAD)
    return Tensor((1 + attrs["height"], pitch), "uint8")


OPERATORS = (
    # The file's bytes; at most ``height`` rows of ``width`` pixels, each in an ``order``. Gives a
    # row that begins with three whole numbers of 4 bytes, the lowest first: the image's height and
    # width, 0 where it cannot be read, and its kind if that is not supported, else 0. The rows of
    # the image follow, if it is not larger; what else there is of the result has no meaning.
    Anchor("decode_image", 1, _decode, _infer, native="images"),
)
