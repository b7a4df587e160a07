"""The files through which C and C++ programs and their build systems see an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template

from .binding import ABI
from .library import POOL, RUNTIME
from .manifest import Port
from .names import c_comment

_VERSION = f"{ABI}.0.0"


def model_header(name: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """``model.h``: the API that all models share, then this model's accessor and sizes."""
    pool = (POOL / "luthier_pool.h").read_text()
    api = (RUNTIME / "luthier.h").read_text().replace('#include "luthier_pool.h"\n', pool)
    model = Template((RUNTIME / "model.h.in").read_text()).substitute(
        name=name,
        upper=name.upper(),
        inputs=_describe(inputs),
        outputs=_describe(outputs),
        constants=_constants(name.upper(), "INPUT", inputs)
        + _constants(name.upper(), "OUTPUT", outputs),
    )
    return f"{api}\n{model}"


def _describe(ports: Sequence[Port]) -> str:
    lines = [
        f" *   {i}: '{c_comment(p.name)}' {p.tensor}, {p.tensor.nbytes} bytes"
        for i, p in enumerate(ports)
    ]
    return "\n".join(lines or [" *   none"])


def _constants(upper: str, kind: str, ports: Sequence[Port]) -> str:
    text = f"#define LUTHIER_{upper}_{kind}_COUNT {len(ports)}\n"
    for i, port in enumerate(ports):
        text += f"#define LUTHIER_{upper}_{kind}_{i}_SIZE {port.tensor.size}u /* elements */\n"
    return text


def write_interface(
    folder: Path, name: str, inputs: Sequence[Port], outputs: Sequence[Port]
) -> None:
    """Write headers, CMake's package configuration and pkg-config's file.

    The version in these two is that of the C API.
    """
    (folder / "model.h").write_text(model_header(name, inputs, outputs))
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
