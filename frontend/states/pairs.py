"""Which inputs and outputs of a model are one state: as the user says, or by the usual names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

import onnx

from luthier.schedules import ModelError

AUTO = "auto"
StateNames: TypeAlias = Mapping[str, str] | str
"""Outputs by the inputs that they become in the next run; or ``"auto"``, by the usual names."""

# What exporters call a state before and after a run.
_USUAL = (
    (re.compile(r"past_key_values\.(.+)"), r"present.\1"),
    (re.compile(r"past_key_values\.(.+)"), r"present_key_values.\1"),
    (re.compile(r"past_key_values_(.+)"), r"present_key_values_\1"),
    (re.compile(r"past_(.+)"), r"present_\1"),
    (re.compile(r"past\.(.+)"), r"present.\1"),
    (re.compile(r"(.+)_in"), r"\1_out"),
)


_DECLARED = "luthier.state."  # begins the keys of a model's metadata that tell its own states


def declare_states(model: onnx.ModelProto, pairs: Mapping[str, str]) -> None:
    """Let a model tell that it keeps these: outputs by the inputs that they become."""
    for name, becomes in pairs.items():
        model.metadata_props.add(key=f"{_DECLARED}{name}", value=becomes)


def declared_states(model: onnx.ModelProto) -> dict[str, str]:
    """What a model tells that it keeps."""
    return {
        each.key.removeprefix(_DECLARED): each.value
        for each in model.metadata_props
        if each.key.startswith(_DECLARED)
    }


def state_pairs(model: onnx.ModelProto, wanted: StateNames | None) -> dict[str, str]:
    """The outputs that inputs become in the next run, by these: as is wanted, beside what the model
    tells of itself; raises ModelError."""
    wanted = _with_own(declared_states(model), wanted)
    if not wanted:
        return {}
    inputs = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    outputs = {value.name: value.type.tensor_type.elem_type for value in model.graph.output}
    if isinstance(wanted, str):
        found = dict(_usual(inputs, outputs)) if wanted == AUTO else {}
        if not found:
            raise ModelError(
                "no input and output are a state by their names, as past_0 and present_0, or h_in "
                "and h_out, would be: name them, such as --state INPUT=OUTPUT"
            )
        return found
    for kind, name, names in (
        *(("input", each, inputs) for each in wanted),
        *(("output", each, outputs) for each in wanted.values()),
    ):
        if name not in names:
            there = ", ".join(f"'{each}'" for each in names) or "none"
            raise ModelError(f"the state's {kind} '{name}' is not there; the {kind}s are: {there}")
    if len(set(wanted.values())) < len(wanted):
        raise ModelError("an output is given for two states; each has one of its own")
    for name, becomes in wanted.items():
        if inputs[name] != outputs[becomes]:
            raise ModelError(f"the state '{name}' becomes '{becomes}', which is of another type")
    return dict(wanted)


def _with_own(own: dict[str, str], wanted: StateNames | None) -> StateNames | None:
    """What is wanted and what a model tells of itself, which is enough where names are to tell."""
    if not own or (isinstance(wanted, str) and wanted != AUTO):
        return wanted
    return own if isinstance(wanted, str) else own | dict(wanted or {})


def _usual(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    for name, kind in inputs.items():
        matches = ((match, becomes) for form, becomes in _USUAL if (match := form.fullmatch(name)))
        usual = (match.expand(becomes) for match, becomes in matches)
        there = [each for each in usual if outputs.get(each) == kind]
        if there:
            yield name, there[0]
