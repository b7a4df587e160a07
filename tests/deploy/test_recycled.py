"""Memory of outputs is used again once nobody holds it, and not before."""

from __future__ import annotations

import numpy as np

from luthier.deploy.recycled import WORTH_KEEPING, Recycled


def test_what_somebody_holds_is_left_alone() -> None:
    recycled = Recycled()
    held = recycled.block(WORTH_KEEPING)
    part = np.ndarray((4, 5), np.float32, held, 64)[1:, ::2]
    address = held.ctypes.data
    del held
    others = [recycled.block(WORTH_KEEPING) for _ in range(5)]
    assert address not in {other.ctypes.data for other in others}
    assert part.base is not None


def test_what_nobody_holds_is_used_again() -> None:
    recycled = Recycled()
    addresses = set()
    block = recycled.block(WORTH_KEEPING)
    for _ in range(6):  # as in a loop whose runs take the outputs of those before
        after = recycled.block(WORTH_KEEPING)
        assert after.ctypes.data != block.ctypes.data
        addresses |= {block.ctypes.data, after.ctypes.data}
        block = after
        del after
    assert len(addresses) == 2


def test_sizes_may_grow_a_little_and_shrink_a_lot() -> None:
    recycled = Recycled()
    first = recycled.block(8 * WORTH_KEEPING).ctypes.data
    assert recycled.block(9 * WORTH_KEEPING).ctypes.data == first
    grown = recycled.block(20 * WORTH_KEEPING)
    assert grown.nbytes >= 20 * WORTH_KEEPING
    del grown
    small = recycled.block(WORTH_KEEPING)
    assert small.nbytes < 2 * WORTH_KEEPING, "a large block is not kept for small outputs"
