"""What is done to an image before a model's first layer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Any

import numpy as np

from luthier.schedules import UsageError
from luthier.schedules.arguments import flag, integer, number, shown, text

from .words import Kind, Kinds, channels, parsed, written

LAYOUTS = ("nhwc", "nchw")
DTYPES = ("uint8", "uint16", "float16", "float32")
COLOURS = ("rgb", "bgr", "rgba", "bgra", "gray")
MODEL_COLOURS = ("rgb", "bgr", "gray")
FILTERS = ("nearest", "bilinear", "bilinear-antialias", "bicubic-antialias")
MOST_PIXELS = 1 << 16  # along a side
_MOST_PARTS = 1 << 16
_LARGEST = float(np.finfo(np.float32).max)

_KINDS: Kinds = MappingProxyType(
    {
        "dtype": Kind("choice", DTYPES, always=True, bare=True),
        "layout": Kind("choice", LAYOUTS, always=True, bare=True),
        "size": Kind("pair"),
        "colours": Kind("choice", COLOURS, bare=True),
        "crop": Kind("part"),
        "resize": Kind("choice", FILTERS),
        "to": Kind("pair"),
        "shorter": Kind("whole"),
        "letterbox": Kind("flag"),
        "pad": Kind("number"),
        "scale": Kind("number"),
        "mean": Kind("numbers"),
        "std": Kind("numbers"),
        "model_layout": Kind("choice", LAYOUTS),
        "model_colours": Kind("choice", MODEL_COLOURS),
    }
)


@dataclass(frozen=True)
class Preprocess:
    """An image as a program has it, and how an input of a model is made of it, in this order.

    The image has elements of ``dtype`` in a ``layout``, "nhwc" or "nchw", with ``colours``: "rgb",
    "bgr", "rgba", "bgra" or "gray"; None where it has the model's channels as they are. ``size`` is
    its height and width in pixels, or the names of sizes that are open; None where these are the
    model's.

    1. ``crop``: the middle of the image, so many rows and columns, or such a part of both, rounded
       down.
    2. ``resize``: to the model's size, or the one that is given as ``to``, by "nearest",
       "bilinear", "bilinear-antialias" or "bicubic-antialias". With ``shorter`` the shorter side
       becomes so many pixels, the other as long as keeps the aspect, rounded down, and the middle
       is taken. With ``letterbox`` all of the image is there, as large as fits, in the middle of
       what is else ``pad``. Pixels are not rounded.
    3. Colours as the model's, ``model_colours``. Gray is 0.299 r + 0.587 g + 0.114 b.
    4. ``(pixel * scale - mean) / std``, where ``mean`` and ``std`` have one number, or one for each
       channel of the model; rounded, halves up, and clamped where its input is of whole numbers.
    5. The model's ``model_layout``, and its input's element type.
    """

    dtype: str = "uint8"
    layout: str = "nhwc"
    size: tuple[int | str, int | str] | None = None
    colours: str | None = None
    crop: tuple[int, int] | float | None = None
    resize: str | None = None
    to: tuple[int, int] | None = None
    shorter: int | None = None
    letterbox: bool = False
    pad: float = 0.0
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    model_layout: str = "nchw"
    model_colours: str = "rgb"

    def __post_init__(self) -> None:
        """Raises UsageError."""
        for name, kind in _KINDS.items():
            if kind.form == "choice" and getattr(self, name) is not None:
                one_of(name, getattr(self, name), kind.choices)
        self._set("size", None if self.size is None else _pair("size", self.size))
        self._set("to", None if self.to is None else _numbers("to", self.to))
        self._set("crop", None if self.crop is None else _crop(self.crop))
        if self.shorter is not None:
            self._set("shorter", integer("shorter", self.shorter, 1, MOST_PIXELS))
        self._set("letterbox", flag("letterbox", self.letterbox))
        self._set("pad", number("pad", self.pad, least=-_LARGEST, most=_LARGEST))
        self._set("scale", number("scale", self.scale))
        self._set("mean", channels("mean", self.mean))
        self._set("std", channels("std", self.std))
        if not self.scale or not all(self.std):
            raise UsageError("scale and std must be numbers other than 0")
        self._check()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Raise UsageError for what does not go together."""
        for name in ("to", "shorter", "letterbox"):
            if getattr(self, name) and self.resize is None:
                raise UsageError(
                    f"{name} needs resize, which says how: one of {', '.join(FILTERS)}"
                )
        if self.letterbox and self.shorter is not None:
            raise UsageError("shorter and letterbox exclude each other")
        if self.pad and not self.letterbox:
            raise UsageError(
                "pad is what is around the image with letterbox, which is not asked for"
            )
        if self.size is None and (self.resize is not None or self.crop is not None):
            raise UsageError(
                "crop and resize need the image's size, such as 480x640, or names of sizes that "
                "are open, such as size=height,width"
            )
        if self.colours is None and self.model_colours != "rgb":
            raise UsageError("model_colours needs colours, those of the image")

    @staticmethod
    def parse(words: str) -> Preprocess:
        """Of words such as "480x640 bgr resize=bilinear mean=0.5"; raises UsageError."""
        return Preprocess(**parsed("preprocess", text("preprocess", words), _KINDS))

    def __str__(self) -> str:
        return written(self, _KINDS)


def one_of(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """Raises UsageError for what is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"{name} must be one of {', '.join(choices)}, not {shown(value)}")
    return value


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    """Height and width; raises UsageError."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UsageError(f"{name} must be a height and a width, not {shown(value)}")
    sides = [
        each
        if isinstance(each, str) and each.isascii() and each.isidentifier()
        else integer(f"each side in {name}", each, 1, MOST_PIXELS)
        for each in value
    ]
    return sides[0], sides[1]


def _numbers(name: str, value: Any) -> tuple[int, int]:
    sides = _pair(name, value)
    if any(isinstance(each, str) for each in sides):
        raise UsageError(f"{name} must be numbers of pixels, not {shown(value)}")
    return sides


def _crop(value: Any) -> tuple[int, int] | float:
    if isinstance(value, tuple | list):
        return _numbers("crop", value)
    return number("crop", value, above=0, most=1)


def fraction(part: float) -> tuple[int, int]:
    """A part as a quotient of whole numbers: 0.875 is 7/8."""
    found = max(Fraction(part).limit_denominator(_MOST_PARTS), Fraction(1, _MOST_PARTS))
    return found.numerator, found.denominator
