"""What ONNX Runtime has kernels for on processors, as the installed one says it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from onnxruntime.capi import onnxruntime_pybind11_state as runtime

LAYOUTS = "com.microsoft.nchwc"
"""What its optimiser writes for itself."""


@dataclass(frozen=True)
class Kernel:
    """Of some versions of an operator: by a constraint's name the types that it takes."""

    domain: str
    op: str
    versions: tuple[int, int]
    types: Mapping[str, tuple[str, ...]]


def kernels() -> Iterator[Kernel]:
    """All for processors, but those of layouts."""
    return (each for each in every_kernel() if each.domain != LAYOUTS)


def every_kernel() -> Iterator[Kernel]:
    """All for processors."""
    for each in runtime.get_all_opkernel_def():
        if each.provider == "CPUExecutionProvider":
            types = {name: tuple(kinds) for name, kinds in each.type_constraints.items()}
            first, last = each.version_range
            yield Kernel(each.domain, each.op_name, (first, last), types)


@dataclass(frozen=True)
class Form:
    """How many inputs an operator has, None for any number, and its attributes."""

    inputs: int | None
    attributes: frozenset[str]


def forms(domain: str) -> dict[str, Form]:
    """Of each of a domain's operators."""
    found = {}
    for each in runtime.get_all_operator_schema():
        if each.domain == domain:
            variadic = any("Variadic" in str(i.option) for i in each.inputs)
            names = frozenset(each.attributes)
            found[each.name] = Form(None if variadic else len(each.inputs), names)
    return found
