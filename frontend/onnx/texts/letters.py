"""Which letter stands for which in the other case, where that takes as many bytes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ...graph import Array

_PAGE, _LETTERS = 64, 1 << 16


@lru_cache(maxsize=2)
def case_tables(upper: bool) -> tuple[Array, Array]:
    """``pages`` [1024] and ``distances`` [..., 64], as ``text_map`` takes them.

    By Unicode's simple mappings of letters up to U+FFFF; those that become several letters, or one
    of another length in UTF-8, stay.
    """
    distances = np.zeros(_LETTERS, np.int32)
    for number in range(_LETTERS):
        letter = chr(number)
        other = letter.upper() if upper else letter.lower()
        if len(other) == 1 and other != letter and len(other.encode()) == len(letter.encode()):
            distances[number] = ord(other) - number
    different, pages = np.unique(distances.reshape(-1, _PAGE), axis=0, return_inverse=True)
    return pages.reshape(-1).astype(np.uint8), different
