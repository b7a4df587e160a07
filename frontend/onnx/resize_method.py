"""How Resize and Upsample sample an image: what their attributes say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from luthier.schedules import Tensor

POLICIES = ("stretch", "not_larger", "not_smaller")
COORDINATES = frozenset(
    """
        half_pixel half_pixel_symmetric pytorch_half_pixel tf_half_pixel_for_nn align_corners
        asymmetric tf_crop_and_resize
    """.split()
)
CROP, OFF_BY_A_HALF = "tf_crop_and_resize", "tf_half_pixel_for_nn"
FIRST_WITH_COORDINATES = 11  # operator set
# Places this close to the middle of two elements are in the middle, as in ONNX Runtime: float32
# gives 7.4999995 where (4 + 0.5) / 0.6 is meant.
TIE = 1e-6
LONGEST = 1 << 24  # elements of a dimension; beyond this float32 does not distinguish places
_MODES = ("nearest", "linear", "cubic")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil", "simple")


@dataclass(frozen=True)
class Method:
    """The node's attributes."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool

    @classmethod
    def of(cls, attr: Callable[[str, Any], Any], opset: int) -> Method:
        """By a function that gives an attribute or else a default."""
        mode = attr("mode", "nearest")
        if opset < FIRST_WITH_COORDINATES:
            return cls(mode, "asymmetric", "simple", -0.75, False, False)
        return cls(
            mode,
            attr("coordinate_transformation_mode", "half_pixel"),
            attr("nearest_mode", "round_prefer_floor"),
            attr("cubic_coeff_a", -0.75),
            bool(attr("exclude_outside", 0)),
            bool(attr("antialias", 0)),
        )

    def refused(self, tensor: Tensor) -> str:
        """What of it is not supported for a tensor; "" where all is."""
        if self.mode not in _MODES:
            return f"the mode '{self.mode}'"
        if self.mode != "nearest" and not tensor.element.is_float:
            return f"interpolation of {tensor.dtype}"
        if self.mode == "nearest" and self.nearest not in _ROUNDINGS:
            return f"the rounding '{self.nearest}'"
        return "" if self.coordinates in COORDINATES else f"the coordinates '{self.coordinates}'"
