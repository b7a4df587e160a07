"""TensorFlow Lite's operators that move blocks of an image into channels or batches, and back."""

from __future__ import annotations

from functools import partial

from .call import Call, Operator


def _blocks(operator: str, call: Call) -> str:
    size = call.option(0)
    if size < 1 or call.rank() != 4:
        raise call.unsupported(f"blocks of {size}")
    x = call.channels_first(call.input())
    return call.channels_last(call.add(operator, x, blocksize=size))


def _space_to_batch(call: Call) -> str:
    """Elements a block apart become images of their own."""
    block, margins = _block(call), call.constant(2, "a padding")
    count = len(block)
    *space, channels = call.sizes(0, range(1, count + 2))
    if len(margins) != 2 * count or min(margins) < 0:
        raise call.unsupported(f"the padding {margins[:16]}")
    pads = [0, *margins[::2], 0, 0, *margins[1::2], 0]
    how = call.tensor(0).quantised
    zero = call.one(float(how.zero[0]) if how is not None and call.as_stored else 0)
    x = call.add("Pad", call.input(), call.ints(*pads), zero)
    sides = zip(space, margins[::2], margins[1::2], block, strict=True)
    left = [(size + before + after) // step for size, before, after, step in sides]
    pairs = [n for pair in zip(left, block, strict=True) for n in pair]
    x = call.add("Reshape", x, call.ints(-1, *pairs, channels))
    inner, outer = range(2, 2 * count + 1, 2), range(1, 2 * count, 2)
    x = call.add("Transpose", x, perm=[*inner, 0, *outer, 2 * count + 1])
    return call.add("Reshape", x, call.ints(-1, *left, channels))


def _batch_to_space(call: Call) -> str:
    block, cuts = _block(call), call.constant(2, "a crop")
    count = len(block)
    *space, channels = call.sizes(0, range(1, count + 2))
    if len(cuts) != 2 * count or min(cuts) < 0:
        raise call.unsupported(f"the crop {cuts[:16]}")
    x = call.add("Reshape", call.input(), call.ints(*block, -1, *space, channels))
    pairs = [axis for i in range(count) for axis in (count + 1 + i, i)]
    x = call.add("Transpose", x, perm=[count, *pairs, 2 * count + 1])
    whole = [size * step for size, step in zip(space, block, strict=True)]
    x = call.add("Reshape", x, call.ints(-1, *whole, channels))
    ends = [size - cut for size, cut in zip(whole, cuts[1::2], strict=True)]
    axes = call.ints(*range(1, count + 1))
    return call.add("Slice", x, call.ints(*cuts[::2]), call.ints(*ends), axes)


def _block(call: Call) -> list[int]:
    """Of images, or of rows with channels."""
    block = call.constant(1, "a block")
    if len(block) != call.rank() - 2 or len(block) not in (1, 2) or min(block) < 1:
        raise call.unsupported(f"the block {block[:8]}")
    return block


OPERATORS: dict[str, Operator] = {
    "BATCH_TO_SPACE_ND": Operator(_batch_to_space, moves=True, moved=(0,)),
    "DEPTH_TO_SPACE": Operator(partial(_blocks, "DepthToSpace"), moves=True, moved=(0,)),
    "SPACE_TO_BATCH_ND": Operator(_space_to_batch, moves=True, moved=(0,)),
    "SPACE_TO_DEPTH": Operator(partial(_blocks, "SpaceToDepth"), moves=True, moved=(0,)),
}
