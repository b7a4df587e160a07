"""What is done to an output after a model's last layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from luthier.schedules import UsageError
from luthier.schedules.arguments import flag, integer, number, shown, text

from .preprocess import LAYOUTS, MODEL_COLOURS, one_of
from .words import Kind, Kinds, channels, parsed, written

ACTIVATIONS = ("softmax", "sigmoid")
_MOST_TOP = 1 << 20
_MOST_LABELS = 1 << 20

_KINDS: Kinds = MappingProxyType(
    {
        "activation": Kind("choice", ACTIVATIONS, bare=True),
        "argmax": Kind("flag"),
        "top": Kind("whole"),
        "axis": Kind("integer"),
        "labels": Kind("file"),
        "image": Kind("flag"),
        "layout": Kind("choice", LAYOUTS, bare=True),
        "colours": Kind("choice", MODEL_COLOURS, bare=True),
        "scale": Kind("number"),
        "mean": Kind("numbers"),
        "std": Kind("numbers"),
        "model_layout": Kind("choice", LAYOUTS),
        "model_colours": Kind("choice", MODEL_COLOURS),
    }
)


@dataclass(frozen=True)
class Postprocess:
    """What becomes of an output, in this order.

    1. ``activation``: "softmax" along ``axis``, or "sigmoid".
    2. ``argmax``: the place (int64) of the largest along ``axis``, the first of equals, which that
       dimension goes for. Or ``top``: the so many largest along ``axis``, in order, and a second
       output, whose name ends with ``_indices``, of their places (int64); of equals the first.
       ``labels`` are the texts for which the places stand.
    3. ``image``: a uint8 image of what a ``Preprocess`` with these ``scale``, ``mean`` and ``std``
       makes of one: ``(value * std + mean) / scale``, rounded, halves up, and clamped to 0 to 255,
       from the model's ``model_layout`` and ``model_colours`` to ``layout`` and ``colours``.
    """

    activation: str | None = None
    argmax: bool = False
    top: int | None = None
    axis: int = -1
    labels: tuple[str, ...] = ()
    image: bool = False
    layout: str = "nhwc"
    colours: str | None = None
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
        self._set("argmax", flag("argmax", self.argmax))
        self._set("image", flag("image", self.image))
        self._set("axis", integer("axis", self.axis, -64, 63))
        if self.top is not None:
            self._set("top", integer("top", self.top, 1, _MOST_TOP))
        self._set("labels", _texts(self.labels))
        self._set("scale", number("scale", self.scale))
        self._set("mean", channels("mean", self.mean))
        self._set("std", channels("std", self.std))
        if not self.scale or not all(self.std):
            raise UsageError("scale and std must be numbers other than 0")
        self._check()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _check(self) -> None:
        """Raise UsageError for what does not go together, or does nothing."""
        chosen = self.argmax or self.top is not None
        if self.argmax and self.top is not None:
            raise UsageError("argmax and top exclude each other")
        if self.labels and not chosen:
            raise UsageError("labels are of places, which argmax and top give")
        if self.image and (chosen or self.activation == "softmax"):
            raise UsageError("an image is not made of argmax, top or softmax")
        if not (self.image or chosen or self.activation):
            raise UsageError(
                "postprocess does nothing without one of softmax, sigmoid, argmax, top or image"
            )
        if not self.image:
            fields = ("layout", "colours", "scale", "mean", "std", "model_layout", "model_colours")
            for name in fields:
                if getattr(self, name) != _DEFAULTS[name]:
                    raise UsageError(f"{name} is of an image, which is not asked for")
        if self.colours is None and self.model_colours != "rgb":
            raise UsageError("model_colours needs colours, those of the image")

    @staticmethod
    def parse(words: str) -> Postprocess:
        """Of words such as "softmax top=5"; raises UsageError."""
        return Postprocess(**parsed("postprocess", text("postprocess", words), _KINDS))

    def __str__(self) -> str:
        return written(self, _KINDS)


_DEFAULTS = {name: Postprocess.__dataclass_fields__[name].default for name in _KINDS}


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise UsageError(f"labels must be a list of texts, not {shown(value)}")
    if len(value) > _MOST_LABELS:
        raise UsageError(f"{len(value)} labels are more than the {_MOST_LABELS} that are supported")
    return tuple(text("each label", each) for each in value)
