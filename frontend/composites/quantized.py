"""Numbers of few bits: made of floats, multiplied exactly, and made floats again.

Zero points are taken away before a product, in 16 bits, so that what is padded is zero. Sums of
products are int32; rescaled, they are rounded half to even and saturate.
"""

from __future__ import annotations

from ..graph import made_by
from ..graph.emitter import Emitter
from . import math, windows
from .quantization import rounded
from .window import Window


def centred(t: Emitter, x: int, zero: int | None) -> int:
    """Numbers of 8 bits less their zero point, which broadcasts; as they are where that is 0."""
    if zero is None or _is_zero(t, zero):
        return x
    return t.emit("subtract", t.cast(x, "int16"), t.cast(zero, "int16"))


def _is_zero(t: Emitter, value: int) -> bool:
    """Whether it is known, and 0 all over."""
    above = made_by(t, value, "reshape")
    known = t.known(above.args[0] if above else value)
    return known is not None and not known.any()


def matmul(t: Emitter, a: int, b: int) -> int:
    """The exact product of what ``centred`` gave, in int32."""
    return math.matmul(t, a, b, op="matmul_integer")


def conv(t: Emitter, x: int, w: int, window: Window, groups: int) -> int:
    """The same of a convolution, ``x`` [n, c, ...] and ``w`` [k, c / groups, ...]."""
    return windows.conv(t, x, w, window, groups, "conv2d_integer")


def rescaled(t: Emitter, total: int, scale: int, zero: int, dtype: str) -> int:
    """Sums in int32 by a factor that broadcasts, as numbers of 8 bits."""
    y = t.emit("multiply", t.cast(total, "float32"), scale)
    return rounded(t, y, zero, dtype)


def measured(t: Emitter, x: int) -> tuple[int, int, int]:
    """``x`` in 8 bits, scale and zero point by its smallest and largest element, 0 included."""
    axes = range(len(t.shape(x)))
    zero = t.number(0.0, "float32")
    low = t.emit("minimum", math.reduce(t, "min", x, axes, keepdims=False), zero)
    high = t.emit("maximum", math.reduce(t, "max", x, axes, keepdims=False), zero)
    span = t.emit("subtract", high, low)
    step = t.emit("divide", span, t.number(255.0, "float32"))
    scale = t.emit("where", t.emit("equal", low, high), t.number(1.0, "float32"), step)
    place = t.emit("negative", t.emit("divide", low, scale))
    point = rounded(t, place, None, "uint8")
    y = rounded(t, t.emit("divide", x, scale), point, "uint8")
    return y, scale, point
