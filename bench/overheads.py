"""What the runtime does besides kernels: steps of loops, and changes of sizes, into RESULTS.md.

python -m bench.overheads               a loop of 1,000 steps; sizes of MiniLM and BERT
python -m bench.overheads --print       leave RESULTS.md as it is

A program in C runs the libraries, with one thread.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnx.parser

import luthier
from bench import results
from bench.models import cache_folder, opened
from bench.sizes import CASES
from luthier.deploy import read_manifest
from luthier.schedules.toolchain import find_compiler

SOURCE = Path(__file__).with_name("overheads.c")
STEPS = 1000
BATCHES, CHANGES, RUNS = 50, 1000, 20
_LOOP = f"""
<ir_version: 8, opset_import: ["": 18]>
loop (float[4] x) => (float[4] y) {{
  trips = Constant <value = int64 {{{STEPS}}}> ()
  going = Constant <value = bool {{1}}> ()
  y = Loop <body = step (int64 i, bool on, float[4] a) => (bool still, float[4] b) {{
    still = Identity (on)
    b = Add (a, x)
  }}> (trips, going, x)
}}
"""
_READING = """\
Medians of {batches} batches, with their quartiles; one thread. A step of the loop adds four
numbers, so its kernel is a few nanoseconds of it. Sizes change between the least and the largest:
all numbers that follow from them are computed anew. The goals: a step in less than 1 us, a change
in less than 20."""


def seconds(folder: Path, what: str, times: int) -> list[float]:
    """Of batches of one thing done so many times."""
    manifest = read_manifest(folder)
    with tempfile.TemporaryDirectory() as text:
        program = Path(text) / "overheads"
        flags = ["-std=c11", "-O2", f"-DMODEL=luthier_{manifest.name}()", f"-I{folder}"]
        library = [str(folder / manifest.library), f"-Wl,-rpath,{folder}", "-lpthread"]
        find_compiler().run([*flags, str(SOURCE), *library, "-o", str(program)], Path(text))
        command = [str(program), what, str(BATCHES), str(times)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.splitlines()]


def loop(folder: Path) -> list[float]:
    """Seconds of a step of a loop."""
    luthier.build(onnx.parser.parse_model(_LOOP), folder, log=None, threads=1)
    return [each / STEPS for each in seconds(folder, "run", RUNS)]


def changes(name: str, folder: Path) -> tuple[int, list[float]]:
    """Steps of a model with open sizes, and seconds of a change of these."""
    case = CASES[name]
    path = opened(case.model, case.dims, cache_folder())
    luthier.build(path, folder, log=None, threads=1, shapes=case.ranges)
    steps = len(read_manifest(folder).steps)
    return steps, seconds(folder, "sizes", CHANGES)


def _row(what: str, each: Sequence[float]) -> str:
    low, middle, high = (1e6 * s for s in statistics.quantiles(each, n=4, method="inclusive"))
    return f"| {what} | {middle:.3f} ({low:.3f} to {high:.3f}) |"


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description="What the runtime does besides kernels.")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    lines = ["| | microseconds |", "| --- | ---: |"]
    with tempfile.TemporaryDirectory() as text:
        lines.append(_row(f"a step of a loop of {STEPS:,}", loop(Path(text) / "loop")))
        for name in ("minilm", "bert"):
            steps, each = changes(name, Path(text) / name)
            lines.append(_row(f"a change of sizes, {name}, {steps} steps", each))
    table = "\n".join([*lines, "", _READING.format(batches=BATCHES)])
    print(table)
    if not options.print:
        results.write("overheads", results.command("bench.overheads"), table)


if __name__ == "__main__":
    main()
