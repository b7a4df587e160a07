"""Buffers of a workload's tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..emit.builder import PhaseBuilder, Slot
from ..ir.kernel import Packing
from ..ir.workload import Tensor
from .form import Form


def input_slots(form: Form[Any], packings: Mapping[int, Packing]) -> list[Slot]:
    """A slot for each input, in its packed size."""
    slots = []
    for i, tensor in enumerate(form.workload.inputs):
        held = tensor
        if i in packings:
            held = Tensor(packings[i].shape, packings[i].dtype or tensor.dtype)
        slots.append(Slot(i, f"in{i}", held, pitch=form.placement.pitch(i)))
    return slots


def output_slot(form: Form[Any], temps: int = 0) -> Slot:
    """The output's slot, after the inputs and ``temps`` temporaries."""
    position = len(form.workload.inputs) + temps
    return Slot(position, "out", form.workload.output, pitch=form.placement.output)


def phase_builder(
    form: Form[Any], packings: Mapping[int, Packing], own: Sequence[Slot] = (), temps: int = 0
) -> PhaseBuilder:
    """Of a phase over the inputs, the template's ``own`` slots and the output, in this order."""
    return PhaseBuilder([*input_slots(form, packings), *own, output_slot(form, temps)])
