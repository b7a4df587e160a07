"""The knobs of fused attention, and which are chosen without measuring."""

from __future__ import annotations

from ...emit.tile import fits_registers
from ...ir.dtype import FLOAT32
from ...ir.space import Config, Knob, Space
from ...ir.workload import Workload
from ...ops.attention_form import Attention, attention
from ...target.target import Target
from ...tir.indices import ceildiv
from ..loops import Knobs, Loops
from ..window import balanced_width

NAME = "attention"
VERSION = 1
_KEYS = (16, 32, 64, 128, 256, 512, 1024)


def space(workload: Workload, target: Target) -> Space | None:
    """Fits an attention node alone."""
    form = attention(workload, workload.nodes[0])
    if form is None or len(workload.nodes) != 1:
        return None
    vectors = tuple(v for v in (1, 2, 3, 4, 6) if fits_registers(1, v, target))
    knobs = (
        Knob("vectors", vectors, "vectors of rows in a chunk"),
        Knob("tile", tuple(range(1, target.vector_registers - 2)), "register tile's other side"),
        Knob("keys", _KEYS, "keys in a block"),
    )

    def valid(config: Config) -> bool:
        return fits_registers(int(config["tile"]), int(config["vectors"]), target)

    return Space(NAME, VERSION, knobs, _default(form, target, vectors), valid)


def loops(workload: Workload, target: Target, knobs: Knobs) -> Loops:
    """The nest of both products of every schedule in a table; the softmax is ``other``."""
    form = attention(workload, workload.nodes[0])
    assert form is not None
    vectors, tile = knobs["vectors"], knobs["tile"]
    rows = vectors * target.lanes(FLOAT32)
    units = form.batch * form.heads * ceildiv(form.rows, rows)
    keys = ceildiv(form.keys, ceildiv(form.keys, knobs["keys"]))
    block = FLOAT32.nbytes(rows * (form.depth + keys + form.width))  # query, scores and sum
    products = form.keys * (form.depth + form.width)
    values = FLOAT32.nbytes(products)
    scores = ceildiv(form.keys, keys) * ceildiv(keys, tile) * form.depth  # steps
    return Loops(
        chunks=units,
        sums=tile * vectors,
        loads=tile + vectors,
        depth=form.depth,
        steps=units * (scores + ceildiv(form.width, tile) * form.keys),
        work=units * vectors * products,
        inner=FLOAT32.nbytes(form.depth * (tile + rows)),
        kept=block,
        streamed=units * values,
        chunk=block + values,
        other=units * rows * form.keys,
    )


def _default(form: Attention, target: Target, vectors: tuple[int, ...]) -> dict[str, int | str]:
    """Four vectors of rows where that leaves chunks for all threads; scores in a quarter of L2."""

    def chunks(count: int) -> int:
        return form.batch * form.heads * ceildiv(form.rows, count * target.lanes(FLOAT32))

    enough = [v for v in vectors if v <= 4 and chunks(v) >= 8 * target.threads]
    count = max(enough, default=1)
    widest = max(t for t in range(1, 13) if fits_registers(t, count, target))
    room = target.l2 // 4 // (count * target.vector_bytes)
    return {
        "vectors": count,
        "tile": balanced_width(form.width, widest),
        "keys": max(k for k in _KEYS if k == _KEYS[0] or k <= min(room, 256)),
    }
