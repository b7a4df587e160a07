"""What a hash table of TensorFlow Lite holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Entries:
    """What a table holds: two lists that are as long."""

    keys: NDArray[Any]
    values: NDArray[Any]

    def is_same(self, other: Entries) -> bool:
        """Whether another holds the same."""
        pairs = ((self.keys, other.keys), (self.values, other.values))
        return all(one.dtype == two.dtype and np.array_equal(one, two) for one, two in pairs)
