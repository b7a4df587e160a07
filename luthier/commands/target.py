"""``luthier target``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import luthier

from . import options

if TYPE_CHECKING:
    from luthier import Machine


@click.command()
@options.target
@options.threads
@options.json_flag
@options.examples("luthier target", "luthier target --target x86-64-v3 --json")
def target(target: str, threads: int | None, as_json: bool) -> None:
    """Show what this machine is, as the compiler sees it."""
    machine = luthier.target(target, threads)
    options.emit(machine, as_json, lambda: _text(machine))


def _text(machine: Machine) -> str:
    rows = {
        "target": machine.target,
        "level": f"{machine.level} ({machine.vector_registers} registers of "
        f"{machine.vector_bits} bits)",
        "LLVM name": f"{machine.llvm} (this machine)",
        "cores": f"{machine.physical_cores} physical, {machine.logical_cores} logical",
        "threads": str(machine.threads),
        "caches": f"L1 {_size(machine.l1)}, L2 {_size(machine.l2)}, L3 {_size(machine.l3)}",
        "memory": _size(machine.memory),
        "features": " ".join(machine.features),
    }
    return "\n".join(f"{name:10} {value}" for name, value in rows.items())


def _size(nbytes: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.4g} {name}"
    return f"{nbytes} B"
