"""``luthier target``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

import luthier

from . import options

if TYPE_CHECKING:
    from luthier import Machine, Measured


@click.command()
@options.target
@options.threads
@click.option("--measure", is_flag=True, help="Measure what this machine reaches as that target.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Keep what was measured in a file.json, which --target takes.",
)
@options.json_flag
@options.examples(
    "luthier target",
    "luthier target --target x86-64-v3 --json",
    "luthier target --measure -o build-box.json",
)
def target(
    target: str, threads: int | None, measure: bool, out: Path | None, as_json: bool
) -> None:
    """Show what this machine is, as the compiler sees it."""
    machine = luthier.target(target, threads, measure=measure, out=out)
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
    if machine.measured:
        rows |= _measured(machine.measured)
    return "\n".join(f"{name:10} {value}" for name, value in rows.items())


def _measured(found: Measured) -> dict[str, str]:
    busy = " (busy machine: something else ran, and this says little)" if found.busy else ""
    return {
        "reaches": f"{found.gflops:.0f} GFLOPS of float32, {found.integer_gops:.0f} GOPS of 8 bits"
        f"{busy}",
        "reads": f"L2 {found.l2_gbytes_per_s:.0f}, L3 {found.l3_gbytes_per_s:.0f}, memory "
        f"{found.memory_gbytes_per_s:.0f} GB/s",
        "a core": f"starts {found.costs.multiply_adds} multiply-adds a cycle of "
        f"{found.costs.latency} cycles each, and computes {found.costs.fetched_byte:.1f} FLOP "
        "for a byte from memory",
    }


def _size(nbytes: int) -> str:
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if nbytes >= unit:
            return f"{nbytes / unit:.4g} {name}"
    return f"{nbytes} B"
