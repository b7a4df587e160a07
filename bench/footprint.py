"""Memory, time to start and size of code against ONNX Runtime, into RESULTS.md.

python -m bench.footprint                   every model, with all threads
python -m bench.footprint resnet18 --print
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from rich.console import Console

import luthier
from bench import results
from bench.models import all_models, cache_folder
from bench.standings import markdown
from bench.turns import SEED
from luthier.deploy import read_manifest
from luthier.inputs.samples import random_inputs
from luthier.schedules.target import available_cores
from luthier.schedules.toolchain import find_compiler

PROGRAM = Path(__file__).with_suffix(".c")
PEER = (sys.executable, "-m", "bench.footprint_peer")
STARTS = 5
RUNS = 5
READING = """
Sizes are MB of 10^6 bytes, times milliseconds; each number is the median of {starts} fresh
processes, after one that brings the files into the page cache. *Peak* and *held* are by how much
resident memory grew while the model was loaded and run {runs} times, at its highest and at the end
(VmHWM and VmRSS, which count pages of files too: Luthier's weights are such pages). What was there
before counts nothing: the empty program, or Python with NumPy and ONNX Runtime imported. *Ready*
is from asking for the model until it can be run, *start* until its first result: the first run is
part of it. Luthier runs in a C program that opens the library,
as it is shipped. *Planned* are the weights, the arena and the threads' scratch that Luthier's
manifest states; ONNX Runtime has no such plan. *Code* is Luthier's library without the weights,
and the library of ONNX Runtime that its Python package runs models with.
"""

console = Console(stderr=True)


@dataclass(frozen=True)
class Needs:
    """Bytes of memory at its peak and held, milliseconds until ready and started, bytes of code."""

    peak: int
    held: int
    ready: float
    start: float
    code: int


@dataclass(frozen=True)
class Footprint:
    """Of one model; ``planned`` are bytes of weights, arena and scratch. No ``peer``: it fails."""

    model: str
    planned: int
    ours: Needs
    peer: Needs | None


def main() -> None:
    """Build the models, start them, and write the section."""
    parser = argparse.ArgumentParser(description="Memory, start and size.")
    parser.add_argument("models", nargs="*", help="names of bench.models (default: all)")
    parser.add_argument("--threads", type=int, default=available_cores())
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    models = all_models(cache_folder())
    found = []
    for name in options.models or models:
        console.print(name, highlight=False)
        found.append(measured(name, models[name], options.threads))
    text = f"{table(found)}\n{READING.format(starts=STARTS, runs=RUNS)}".rstrip()
    print(text)
    if not options.print:
        command = results.command("bench.footprint")
        results.write("footprint", command, text)


def measured(model: str, path: Path, threads: int) -> Footprint:
    """Build one model and start it in both engines."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        luthier.build(path, folder / "artifact", threads=threads, log=None)
        manifest = read_manifest(folder / "artifact")
        library = folder / "artifact" / manifest.library
        arguments = ["-std=gnu11", "-O2", f"-I{library.parent}", str(PROGRAM), "-o", "program"]
        find_compiler().run([*arguments, "-ldl"], folder)
        inputs = folder / "inputs.npz"
        np.savez(inputs, **random_inputs(onnx.load(path), SEED))  # type: ignore[arg-type]
        code = library.stat().st_size - manifest.weight_bytes
        ours = _needs([folder / "program", library, threads, RUNS], code=code)
        scratch = manifest.scratch_bytes * threads
        planned = manifest.weight_bytes + manifest.arena_bytes + scratch
        try:
            peer = _needs([*PEER, path, threads, RUNS, inputs])
        except ValueError as error:
            console.print(f"{model}: onnxruntime fails: {error}", highlight=False)
            return Footprint(model, planned, ours, None)
        return Footprint(model, planned, ours, peer)


def _needs(command: Sequence[object], **known: int) -> Needs:
    """Medians over fresh processes, the first one apart; raises ValueError where one fails."""
    _, *starts = [{**_start(command), **known} for _ in range(1 + STARTS)]
    peak, held, ready, start, code = (
        statistics.median(each[field.name] for each in starts) for field in fields(Needs)
    )
    return Needs(round(peak), round(held), ready, start, round(code))


def _start(command: Sequence[object]) -> dict[str, Any]:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ValueError(lines[-1])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def table(footprints: Sequence[Footprint]) -> str:
    """A line for each model, Luthier's number before ONNX Runtime's."""
    head = ["model", "planned"]
    head += [f"{need.name}, {who}" for need in fields(Needs) for who in ("L", "ORT")]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for each in footprints:
        numbers = zip(_cells(each.ours), _cells(each.peer), strict=True)
        lines.append([each.model, _megabytes(each.planned), *(n for pair in numbers for n in pair)])
    return markdown(lines)


def _cells(needs: Needs | None) -> list[str]:
    if needs is None:
        return ["fails"] * len(fields(Needs))
    memory = [_megabytes(needs.peak), _megabytes(needs.held)]
    return [*memory, f"{needs.ready:.1f}", f"{needs.start:.1f}", _megabytes(needs.code)]


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f}"


if __name__ == "__main__":
    main()
