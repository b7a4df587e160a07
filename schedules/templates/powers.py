"""Powers of two, which sizes of blocks are chosen from."""

from __future__ import annotations


def powers(limit: int, count: int) -> tuple[int, ...]:
    """1, 2, 4, ... up to the first that reaches ``limit``, at most ``count`` of them."""
    return tuple(2**i for i in range(count) if 2**i < 2 * limit)


def floor_power(value: int) -> int:
    """The largest that is not above ``value``; at least 1."""
    return 1 << (max(1, value).bit_length() - 1)


def ceil_power(value: int) -> int:
    """The smallest that is not below ``value``."""
    return 1 << (max(1, value) - 1).bit_length()
