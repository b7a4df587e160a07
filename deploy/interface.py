"""The files through which C and C++ programs and their build systems see an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from luthier.frontend.program import Argument

from .binding import ABI
from .entries import EntryNote, Port
from .library import POOL, RUNTIME
from .names import accessors, c_comment
from .states import StateNote

_SHOWN = 8  # labels, or keys
_VERSION = f"{ABI}.0.0"


def model_header(name: str, entries: Sequence[EntryNote]) -> str:
    """``model.h``: the API that all models share, then this model's accessors and sizes."""
    pool = (POOL / "luthier_pool.h").read_text()
    api = (RUNTIME / "luthier.h").read_text().replace('#include "luthier_pool.h"\n', pool)
    functions = accessors(name, [entry.name for entry in entries])
    text = (RUNTIME / "model.h.in").read_text()
    model = Template(text).substitute(
        name=name,
        upper=name.upper(),
        description="".join(_describe(entry, len(entries) > 1) for entry in entries),
        constants="".join(
            _constants(function.upper(), entries[e]) for function, e in functions.items()
        ),
        functions="".join(f"const luthier_model *{each}(void);\n" for each in functions),
    )
    return f"{api}\n{model}"


def _describe(entry: EntryNote, named: bool) -> str:
    lines = [f" * Entry point {entry.name}:"] if named else []
    if entry.sizes:
        lines += [" * Sizes:", *(f" *   {i}: {size}" for i, size in enumerate(entry.sizes))]
    for kind, ports, arguments in (
        ("Inputs", entry.inputs, entry.takes),
        ("Outputs", entry.outputs, entry.gives),
    ):
        lines += [f" * {kind}:", *(_port(i, port) for i, port in enumerate(ports))]
        lines += [" *   none"] * (not ports)
        lines += (_argument(each) for each in arguments if not each.is_tensor)
    if entry.states:
        lines += [" * States:", *(_state(i, state) for i, state in enumerate(entry.states))]
    return "\n".join([*lines, ""])


def _argument(argument: Argument) -> str:
    name = f" *   '{c_comment(argument.name)}' is"
    if argument.optional:
        name = f"{name} there where '{c_comment(argument.tensors[-1])}' is true, and then"
        if argument.count is None:
            return f"{name} a tensor"
    if not argument.count:
        return f"{name} {'absent' if argument.absent else 'a sequence of no tensors'}"
    return f"{name} the sequence of {argument.count}: '{c_comment(argument.tensors[0])}' and so on"


def _state(i: int, state: StateNote) -> str:
    grows = (
        "" if state.axis is None else f" at most, as long as '{state.length}' along {state.axis}"
    )
    names = f"'{c_comment(state.name)}' becomes '{c_comment(state.becomes)}'"
    return f" *   {i}: {names}, {state.tensor}{grows}, {state.tensor.nbytes} bytes"


def _port(i: int, port: Port) -> str:
    most = " at most" if port.dims else ""
    said = f" *   {i}: '{c_comment(port.name)}' {port.type}, {port.tensor.nbytes} bytes{most}"
    if port.text:
        said += f", of {port.width} for a text"
    if port.keys:
        return f"{said}, values of {_listed(port.keys)}"
    if port.processing:
        said += f" ({c_comment(port.processing)})"
    if not port.labels:
        return said
    return f"{said}, numbers of {_listed(port.labels)}"


def _listed(names: Sequence[str | int]) -> str:
    """The first of some, with their numbers; the manifest has all."""
    shown = [f"{n} '{c_comment(str(each))}'" for n, each in enumerate(names[:_SHOWN])]
    rest = len(names) - len(shown)
    return f"{', '.join(shown)}{f' and {rest} more' if rest else ''}"


def _constants(upper: str, entry: EntryNote) -> str:
    text = ""
    if entry.sizes:
        text += f"#define {upper}_SIZE_COUNT {len(entry.sizes)}\n"
    if entry.states:
        text += f"#define {upper}_STATE_COUNT {len(entry.states)}\n"
    for kind, ports in (("INPUT", entry.inputs), ("OUTPUT", entry.outputs)):
        text += f"#define {upper}_{kind}_COUNT {len(ports)}\n"
        for i, port in enumerate(ports):
            most = ", at most" if port.dims else ""
            size = f"{port.tensor.size}u /* elements{most} */"
            text += f"#define {upper}_{kind}_{i}_SIZE {size}\n"
    return text


def write_interface(folder: Path, name: str, entries: Sequence[EntryNote]) -> None:
    """Write headers, CMake's package configuration and pkg-config's file.

    The version in these two is that of the C API.
    """
    (folder / "model.h").write_text(model_header(name, entries))
    (folder / "luthier.hpp").write_bytes((RUNTIME / "luthier.hpp").read_bytes())
    for source, target in (
        ("config.cmake.in", f"cmake/{name}Config.cmake"),
        ("version.cmake.in", f"cmake/{name}ConfigVersion.cmake"),
        ("model.pc.in", f"pkgconfig/{name}.pc"),
    ):
        path = folder / target
        path.parent.mkdir(exist_ok=True)
        text = Template((RUNTIME / source).read_text())
        path.write_text(text.safe_substitute(name=name, version=_VERSION))
