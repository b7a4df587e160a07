"""Heights and widths: of the image, and of what a model takes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from luthier.schedules import ModelError
from luthier.schedules.ir.symbol import Symbol

from ..open_shapes import Shapes
from .preprocess import Preprocess

Side = int | str
Dimension = onnx.TensorShapeProto.Dimension


@dataclass(frozen=True)
class Sides:
    """Height and width of the ``image`` and of the ``model``'s images, numbers or names.

    ``most`` are the image's largest, and ``in_range`` says which of its sides may be any size of a
    range: those differ from run to run in one program.
    """

    image: tuple[Side, Side]
    model: tuple[Side, Side]
    most: tuple[int, int]
    in_range: tuple[bool, bool]

    @property
    def are_known(self) -> bool:
        """Whether all are numbers."""
        return all(isinstance(side, int) for side in (*self.image, *self.model))

    @property
    def to(self) -> tuple[int, int]:
        """The model's, of an image that is resampled."""
        height, width = self.model
        assert isinstance(height, int)
        assert isinstance(width, int)
        return height, width


def sides_of(what: str, given: Preprocess, dims: Sequence[Dimension], shapes: Shapes) -> Sides:
    """Of a model's input whose height and width are ``dims``; ``shapes`` are the user's.

    Raises ModelError where they do not fit.
    """
    own: list[Side] = [d.dim_value if d.dim_value > 0 else d.dim_param for d in dims]
    if given.to is not None:
        if any(isinstance(a, int) and a != b for a, b in zip(own, given.to, strict=True)):
            raise ModelError(f"{what}: the model's images are {text(own)}, not {text(given.to)}")
        own = list(given.to)
    image = (own[0], own[1]) if given.size is None else given.size
    resampled = given.resize is not None or given.crop is not None
    if not resampled:
        if any(isinstance(a, int) and a != b for a, b in zip(own, image, strict=True)):
            raise ModelError(
                f"{what}: the image is {text(image)} and the model's images are {text(own)}: say "
                "how one becomes the other, such as resize=bilinear"
            )
        own = list(image)
    elif any(isinstance(side, str) for side in own):
        raise ModelError(
            f"{what}: the model leaves its images' size open: say which it shall be, such as "
            "to=224x224 with resize=bilinear"
        )
    ranges = [_range(side, shapes) for side in image]
    for side, (least, _, _) in zip(image, ranges, strict=True):
        if resampled and least < 1:
            raise ModelError(f"{what}: an image of no pixels cannot be resized: begin {side} at 1")
    _check_crop(what, given, [least for least, _, _ in ranges], own)
    _check_shorter(what, given, own)
    (_, tallest, tall), (_, widest, wide) = ranges
    return Sides((image[0], image[1]), (own[0], own[1]), (tallest, widest), (tall, wide))


def _range(side: Side, shapes: Shapes) -> tuple[int, int, bool]:
    """The least and the most that a side may be, and whether it may be any between.

    What is wrong with what a user says of a size, and a size of which nothing is said, is told
    where shapes are read.
    """
    said = side if isinstance(side, int) else shapes.get(side, 1)
    if isinstance(said, range):
        return min(said, default=1), max(said, default=1), len(said) > 1
    if isinstance(said, str):
        symbol = Symbol.parse(f"{side}={said}")
        return symbol.least, symbol.most, not symbol.exact and symbol.least < symbol.most
    some = [said] if isinstance(said, int) else [n for n in said if isinstance(n, int)]
    return min(some, default=1), max(some, default=1), False


def _check_crop(what: str, given: Preprocess, smallest: Sequence[int], own: Sequence[Side]) -> None:
    crop = given.crop
    if isinstance(crop, tuple) and any(a > b for a, b in zip(crop, smallest, strict=True)):
        raise ModelError(
            f"{what}: a crop of {text(crop)} is larger than an image of {text(smallest)}"
        )
    if crop is not None and given.resize is None and crop != tuple(own):
        raise ModelError(
            f"{what}: the crop is not the {text(own)} that the model takes: give that, or say how "
            "one becomes the other, such as resize=bilinear"
        )


def _check_shorter(what: str, given: Preprocess, own: Sequence[Side]) -> None:
    needed = max((side for side in own if isinstance(side, int)), default=1)
    if given.shorter is not None and given.shorter < needed:
        raise ModelError(
            f"{what}: shorter={given.shorter} leaves less than the {text(own)} that the model "
            f"takes; it must be {needed} at least"
        )


def text(sides: Sequence[Side]) -> str:
    """As a user writes them."""
    return ("x" if all(isinstance(s, int) for s in sides) else ",").join(map(str, sides))
