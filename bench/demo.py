"""The whole way in a few minutes: ``make demo``.

Tunes SqueezeNet, builds the library, runs it from a C++ program, and compares the default
schedules, the tuned ones and ONNX Runtime.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

import luthier
from bench.models import light_seeded
from bench.turns import Entry, Row, measure
from luthier.deploy import read_manifest
from luthier.schedules.target import available_cores

MODEL = "squeezenet"
MINUTES = 2.0
FOLDER = Path("out") / "demo"
EXAMPLE = Path(__file__).parent.parent / "examples" / "cpp"
DEFAULT, TUNED, PEER = "default schedules", "tuned schedules", "ONNX Runtime"

console = Console(stderr=True)


def main() -> None:
    """Show it all; ends with the comparison on stdout."""
    parser = argparse.ArgumentParser(description="Tune, build and run SqueezeNet.")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="tune for so long")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for what is built")
    options = parser.parse_args()
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    model = light_seeded(MODEL, out)
    log = out / "luthier.db"

    _say("Build with default schedules")
    _luthier("build", model, "-o", out / "default", "--no-log")
    _say(f"Tune for {options.minutes:g} minutes (Ctrl-C keeps what was measured)")
    _luthier("tune", model, "--minutes", options.minutes, "--log", log)
    _say("Build with the log's records, and check the accuracy")
    _luthier("build", model, "-o", out / "tuned", "--log", log)
    _luthier("check", out / "tuned")
    _say("Compile the C++ example against the library, and run it with no environment")
    _run_example(out / "tuned", out / "example")
    _say("Compare")
    entries = [
        Entry(DEFAULT, "luthier", out / "default"),
        Entry(TUNED, "luthier", out / "tuned"),
        Entry(PEER, "onnxruntime", model),
    ]
    threads = available_cores()
    _print_table(measure(MODEL, model, threads, entries))


def _say(step: str) -> None:
    console.print(f"\n[bold]{step}[/bold]")


def _luthier(command: str, *arguments: object) -> None:
    words = [command, *map(str, arguments)]
    console.print(f"$ luthier {' '.join(words)}", style="dim", markup=False, highlight=False)
    done = subprocess.run([sys.executable, "-m", "luthier", *words], check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _run_example(artifact: Path, build: Path) -> None:
    # The CMake of the virtual environment, where the system has none.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    configure = ["cmake", "-S", EXAMPLE, "-B", build, f"-DMODEL={read_manifest(artifact).name}"]
    configure += [f"-DCMAKE_PREFIX_PATH={artifact.resolve()}", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", build]):
        environment = {**os.environ, "PATH": path}
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    program = (build / "classify").resolve()
    console.print(f"$ env -i {program.name}", style="dim", markup=False, highlight=False)
    subprocess.run([program], check=True, env={})


def _print_table(row: Row) -> None:
    threads = f"{row.threads} thread{'s' * (row.threads > 1)}"
    table = Table(title=f"SqueezeNet, batch 1, {threads}; luthier {luthier.__version__}")
    table.add_column("engine")
    table.add_column("median ms", justify="right")
    table.add_column(f"{PEER}'s time over it", justify="right")
    for label in row.turns:
        low, middle, high = row.ratios(PEER, label) if PEER in row.turns else (0.0, 0.0, 0.0)
        ratio = f"{middle:.2f} ({low:.2f} to {high:.2f})" if middle else ""
        table.add_row(label, f"{row.milliseconds(label):.2f}", ratio)
    Console().print(table)
    for label, why in row.failures.items():
        console.print(f"{label} did not run: {why}")


if __name__ == "__main__":
    main()
