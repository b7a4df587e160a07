"""What the instructions of a core cost, for the analytic models behind default schedules."""

from __future__ import annotations

import math
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any

from ..errors import TargetError

_MOST = 1e6  # of any cost, far beyond all
_POSITIVE = ("latency", "multiply_adds", "operations")  # numbers that are whole, and not 0


@dataclass(frozen=True)
class Costs:
    """What the analytic models know of a core.

    ``latency`` is the cycles from a multiply-add's start to its sum, ``multiply_adds`` how many
    vectors of them start in a cycle; ``operations`` is how many of vectors start together,
    multiply-adds among them, and ``bfloat16`` how many of ``vdpbf16ps``, which does twice as much,
    start beside a multiply-add. ``moved`` are cycles to move an element by a transpose, in L2;
    ``window`` how many operations are in flight, 0 where that is not known, so that loads far ahead
    begin by themselves. ``asked`` are cycles for a line that is asked for and leaves L1 before it
    is used; 0 where that is not known. The others are in units of one floating-point operation at
    full speed; they were measured on Zen 4, in and beyond L2, ``transformed`` on Zen 5 too,
    ``loaded``, ``read_again`` and ``moved`` on Emerald Rapids, ``passed_on``, ``read_again`` and
    ``asked`` on Zen 3. On Zen 4 with AVX-512 and one thread, 16 pairs of 1x1 and depthwise
    convolutions of MobileNets are joined where ``passed_on`` is more than what they cost: all of
    them, and 0.99 to 1.26 times as fast as apart, 1.05 in the median.
    """

    latency: int
    multiply_adds: int
    operations: int = 4
    bfloat16: float = 1.0
    fetched_byte: float = 6.5  # to fetch a byte of weights from memory
    transformed: float = 24.0  # to transform an element of Winograd's inputs or products
    passed_on: float = 6.0  # to store an element between two convolutions and to load it again
    loaded: float = 1.0  # to load a vector while lines come from L2, in multiply-adds of one
    read_again: float = 0.0  # to read a byte from L2 for each part of a product's columns
    moved: float = 0.9
    window: int = 0
    asked: float = 0.0

    @property
    def sums(self) -> int:
        """Vectors of sums that keep the core busy: with fewer each waits for the one before."""
        return self.latency * self.multiply_adds

    @property
    def loads(self) -> int:
        """The widest vectors that are loaded in a cycle: as many as multiply-adds start, nearly on
        every processor."""
        return self.multiply_adds

    @property
    def has_room(self) -> bool:
        """Whether other operations on vectors start beside as many multiply-adds as can."""
        return self.operations > self.multiply_adds

    def to_json(self) -> dict[str, Any]:
        """The readable form."""
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> Costs:
        """Read ``to_json``'s form from untrusted data; raises TargetError."""
        names = [field.name for field in fields(Costs)]
        needed = {field.name for field in fields(Costs) if field.default is MISSING}
        # Files may be older than some fields.
        if not isinstance(data, dict) or not needed <= set(data) <= set(names):
            raise TargetError(f"costs are an object of {', '.join(names)}")
        for name, value in data.items():
            kinds = (int,) if name in (*_POSITIVE, "window") else (int, float)
            if type(value) not in kinds:
                raise TargetError(f"'{name}' of a target's costs is not a number")
            if not (math.isfinite(value) and (name in _POSITIVE) <= value <= _MOST):
                raise TargetError(f"'{name}' of a target's costs is out of range")
        return Costs(**data)
