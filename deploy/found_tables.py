"""The library's tables of sizes that runs find, in C; ``runtime/program.h`` says what they mean."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.frontend.program import Find, Program
from luthier.frontend.program.steps import walk
from luthier.schedules.ir.symbol import Symbol

from .c_array import c_array
from .layout import Entry, Tables
from .names import c_string
from .ports import is_found


def found_arrays(tables: Tables, prefix: str, entry: Entry) -> str:
    """The sizes that runs find, and which bytes and shapes of outputs they are in."""
    sizes = (
        f"{{{c_string(s.name)}, {tables.names.index(s.name)}u, {s.most}}}" for s in entry.found
    )
    text = c_array("luthier_found", f"{prefix}_found", sizes)
    shapes = [[is_found(dim, entry.found) for dim in port.shape_texts] for port in entry.outputs]
    numbers = [any(shape) for shape in shapes] + [each for shape in shapes for each in shape]
    flags = (str(int(each)) for each in numbers if entry.found)
    return text + c_array("unsigned char", f"{prefix}_found_numbers", flags)


def refusal_arrays(name: str, program: Program, found: Sequence[Symbol]) -> str:
    """The choices of sizes that a variant has no program for, each in the order in which its steps
    find them."""
    text, rows, names = "", [], [symbol.name for symbol in found]
    order = [step.size for step in walk(program.region) if isinstance(step, Find)]
    for i, choice in enumerate(program.refuses):
        refusal = sorted(choice, key=lambda each: order.index(each[0]))
        text += c_array("size_t", f"{name}_refused_{i}", (f"{names.index(n)}u" for n, _ in refusal))
        text += c_array("int64_t", f"{name}_refused_sizes_{i}", (str(k) for _, k in refusal))
        rows.append(f"{{all_{name}_refused_{i}, all_{name}_refused_sizes_{i}, {len(refusal)}}}")
    return text + c_array("luthier_refusal", f"{name}_refusals", rows)
