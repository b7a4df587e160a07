"""Rows rounded to 8 bits, a block at a time, as ``ops/few_bits`` defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...emit.builder import PhaseBuilder, Slot
from ...emit.tile import splat, vector_index
from ...ir.kernel import Packing, Phase
from ...ir.workload import Tensor
from ...ops.few_bits import LARGEST, LEAST
from ...ops.quantization import UNIT, UNIT_BITS
from ...tir.indices import Expr, Index
from ...tvm_late import tirx
from ..slots import phase_builder
from .form import FewBitsInteger

_LEAST_BITS = int(np.float32(LEAST).view(np.int32))
_NO_SIGN = 0x7FFFFFFF


@dataclass(frozen=True)
class Rounding:
    """What is known of each row after the first phase: its numbers, filled up to whole blocks, and
    of each block the step and the sum of the numbers."""

    form: FewBitsInteger
    packings: Mapping[int, Packing]

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers, steps, sums."""
        p = self.form.product
        count = p.m * p.blocks
        return Tensor((count * p.block,), "int8"), Tensor((count,)), Tensor((count,), "int32")

    def slots(self) -> list[Slot]:
        """Of the tensors, in both phases."""
        first = len(self.form.workload.inputs)
        names = ("numbers", "steps", "sums")
        each = enumerate(zip(names, self.tensors, strict=True))
        return [Slot(first + i, name, tensor) for i, (name, tensor) in each]

    @property
    def scratch(self) -> int:
        """Bytes for a last block that is not full."""
        p = self.form.product
        return Tensor((p.block,)).nbytes if p.k % p.block else 0

    def phase(self) -> Phase:
        """A chunk is a row."""
        p = self.form.product
        last = Slot(None, "last", Tensor((p.block,)))
        own = [*self.slots(), *([last] if self.scratch else [])]
        builder = phase_builder(self.form, self.packings, own, temps=len(self.tensors))
        full, rest = divmod(p.k, p.block)
        source = builder[f"in{p.a}"]
        with builder.chunk_loop() as row:
            first = builder.let(row * p.k)
            if full:
                with builder.loop(full, "block") as block:
                    begin = builder.let(first + block * p.block)
                    self._block(builder, (source, begin), row * p.blocks + block)
            if rest:
                self._fill(builder, first + full * p.block, rest)
                self._block(builder, (builder["last"], 0), row * p.blocks + full)
        return builder.finish(p.m)

    def _fill(self, builder: PhaseBuilder, first: Index, count: int) -> None:
        """The last elements of a row and zeros, as a block of its own."""
        p, lanes = self.form.product, self.form.lanes
        zero = splat(tirx.const(0.0, "float32"), lanes)
        with builder.loop(p.block // lanes, "part") as part:
            builder.store(builder["last"], vector_index(part * lanes, lanes), zero)
        for i in builder.strips(count, lanes):
            builder.store(builder["last"], i, builder.load(builder[f"in{p.a}"], first + i))

    def _block(self, builder: PhaseBuilder, source: tuple[Any, Index], place: Index) -> None:
        p, lanes = self.form.product, self.form.lanes
        buffer, first = source
        at = builder.let(place)
        largest = builder.let(self._largest(builder, source))
        number = tirx.const(float(LARGEST), "float32")
        builder.store(builder["steps"], at, largest / number)
        inverse, most = splat(builder.let(number / largest), lanes), splat(number, lanes)
        total = self._local(builder, 0)
        with builder.loop(p.block // lanes, "part") as part:
            loaded = builder.load(buffer, vector_index(first + part * lanes, lanes))
            # None is larger; but so the product is rounded before it is added to.
            scaled = builder.let(loaded * inverse)
            scaled = tirx.Select(scaled > most, most, scaled)
            bits = tirx.reinterpret(f"int32x{lanes}", scaled + splat(_unit(), lanes))
            whole = builder.let(tirx.Cast(f"int8x{lanes}", bits - splat(_unit_bits(), lanes)))
            index = vector_index(at * p.block + part * lanes, lanes)
            builder.store(builder["numbers"], index, whole)
            self._update(builder, total, tirx.Cast(f"int32x{lanes}", whole), "add")
        builder.store(builder["sums"], at, self._over_lanes(builder, total, "add"))

    def _largest(self, builder: PhaseBuilder, source: tuple[Any, Index]) -> Expr:
        """The largest absolute value, by bits: so it is NaN where there is one."""
        p, lanes = self.form.product, self.form.lanes
        buffer, first = source
        largest = self._local(builder, _LEAST_BITS)
        with builder.loop(p.block // lanes, "part") as part:
            loaded = builder.load(buffer, vector_index(first + part * lanes, lanes))
            bits = tirx.reinterpret(f"int32x{lanes}", loaded)
            size = tirx.bitwise_and(bits, splat(tirx.const(_NO_SIGN, "int32"), lanes))
            self._update(builder, largest, size, "max")
        return tirx.reinterpret("float32", self._over_lanes(builder, largest, "smax"))

    def _local(self, builder: PhaseBuilder, number: int) -> Any:
        lanes = self.form.lanes
        held = builder.local(lanes, "int32")
        start = splat(tirx.const(number, "int32"), lanes)
        builder.store(held, vector_index(0, lanes), start)
        return held

    def _update(self, builder: PhaseBuilder, held: Any, more: Expr, how: str) -> None:
        index = vector_index(0, self.form.lanes)
        before = builder.load(held, index)
        after = before + more if how == "add" else tirx.max(before, more)
        builder.store(held, index, after)

    def _over_lanes(self, builder: PhaseBuilder, held: Any, how: str) -> Expr:
        value = builder.load(held, vector_index(0, self.form.lanes))
        return tirx.call_llvm_pure_intrin("int32", f"llvm.vector.reduce.{how}", value)


def _unit() -> Expr:
    return tirx.const(UNIT, "float32")


def _unit_bits() -> Expr:
    return tirx.const(UNIT_BITS, "int32")
