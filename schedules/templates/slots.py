"""Buffers of a workload's tensors, and what loads their elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..emit.builder import PhaseBuilder, Slot
from ..emit.evaluator import Source
from ..ir.kernel import Packing
from ..ir.workload import Tensor, Workload
from .form import Form


def input_slots(form: Form[Any], packings: Sequence[Packing | None]) -> list[Slot]:
    """A slot for each input, in its packed size."""
    slots = []
    for i, (tensor, packing) in enumerate(zip(form.workload.inputs, packings, strict=True)):
        held = tensor if packing is None else Tensor(packing.shape, tensor.dtype)
        slots.append(Slot(i, f"in{i}", held, pitch=form.placement.pitch(i)))
    return slots


def output_slot(form: Form[Any], temps: int = 0) -> Slot:
    """The output's slot, after the inputs and ``temps`` temporaries."""
    position = len(form.workload.inputs) + temps
    return Slot(position, "out", form.workload.output, pitch=form.placement.output)


def loads(builder: PhaseBuilder, workload: Workload, shift: int = 0) -> dict[int, Source]:
    """Sources that load the inputs from the builder's slots ``in0``, ``in1``, ...

    With ``shift=1``, argument ``i + 1`` loads slot ``in<i>``, as ``epilogue`` numbers them.
    """

    def source(name: str) -> Source:
        return lambda point: builder.invariant(
            builder.load(builder[name], point.position(builder.pitch(name)))
        )

    return {i + shift: source(f"in{i}") for i in range(len(workload.inputs) - shift)}
