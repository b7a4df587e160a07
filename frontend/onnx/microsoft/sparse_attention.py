"""Attention of which blocks of keys each head reads (Abdin et al. 2024, Phi-3-small)."""

from __future__ import annotations

import numpy as np

from ...graph import Array
from ...graph.emitter import MOST_IN_TABLE
from .attention import LOWEST
from .grouped_attention import Sizes, attend, earlier, for_groups, parts, present, turned
from .spelling import Operators, Results, Spelled, Spelling, attributes

_BLOCKS = (16, 32, 64, 128)


def _sparse(call: Spelling) -> Results:
    """Caches keep their size; how many keys a batch has is an input."""
    q, k, v, sizes = parts(call, in_place=True)
    if not sizes.past:
        raise call.unsupported("a cache that is left out or empty")
    one = call.constant(1, "int32")
    before = earlier(call, sizes, call.emit("Sub", call.given(8), one))
    rows = call.constant(np.arange(sizes.rows).reshape(1, -1), "int64")
    places = call.emit("Add", rows, before)
    if call.attr("do_rotary", 0):
        q, k = turned(call, (q, k), places, (call.given(9), call.given(10)))
    new = [call.transpose(x, 0, 2, 1, 3) for x in (k, v)]
    k, v = present(call, sizes, [call.given(i) for i in (3, 4)], new, before)
    return attend(call, sizes, q, k, v, _masks(call, sizes, places))[0], k, v


def _masks(call: Spelling, sizes: Sizes, places: str) -> list[str]:
    """What is added to scores of rows of these places, [batch, rows]."""
    keys = call.constant(np.arange(sizes.keys).reshape(1, 1, 1, -1), "int64")
    own = call.reshape(places, sizes.batch, 1, sizes.rows, 1)
    read, block = _read(call, sizes)
    at = call.emit("Div", places, call.constant(block, "int64"))
    table = call.emit("Gather", call.constant(read, "bool"), at, axis=1)
    table = call.transpose(table, 1, 0, 2, 3)  # [batch, layouts, rows, keys]
    hidden = call.emit("Or", call.emit("Greater", keys, own), call.emit("Not", table))
    numbers = (call.constant(n, "float32") for n in (LOWEST, 0))
    mask = call.emit("Where", hidden, *numbers)
    if len(read) > 1:
        each = call.constant(np.arange(sizes.heads) % len(read), "int64")
        mask = call.emit("Gather", mask, each, axis=1)
    return [for_groups(call, sizes, mask)]


def _read(call: Spelling, sizes: Sizes) -> tuple[Array, int]:
    """[layouts, blocks of rows, keys]: which keys the rows of a block read; and a block's rows.

    Layouts are sparse matrices of blocks, in compressed rows.
    """
    block = call.attr("sparse_block_size", 0)
    if block not in _BLOCKS:
        raise call.unsupported(f"sparse_block_size={block}")
    begins, columns = call.array(call.given(5)), call.array(call.given(6))
    if begins is None or columns is None:
        raise call.unsupported("a layout of blocks that is computed at run time")
    fits = begins.ndim == columns.ndim == 2 and len(begins) == len(columns) > 0
    count = begins.shape[1] - 1 if fits else 0
    if count * block < sizes.keys or sizes.heads % len(begins):
        raise call.unsupported(f"layouts of the shape {list(begins.shape)} for {sizes.keys} keys")
    if len(begins) * count * (count + sizes.keys) > MOST_IN_TABLE:
        raise call.unsupported(f"layouts of {count} by {count} blocks")
    found = np.zeros((len(begins), count, count), bool)
    for layout, (ends, places) in enumerate(zip(begins, columns, strict=True)):
        for row in range(count):
            chosen = places[max(ends[row], 0) : max(ends[row + 1], 0)]
            found[layout, row, chosen[(chosen >= 0) & (chosen < count)]] = True
    return np.repeat(found, block, axis=2)[:, :, : sizes.keys], block


OPERATORS: Operators = {
    "SparseAttention": Spelled(
        _sparse,
        11,
        attributes("do_rotary kv_num_heads num_heads rotary_interleaved scale sparse_block_size"),
        in_steps=True,
        since=11,
    ),
}
