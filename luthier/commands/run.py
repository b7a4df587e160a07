"""``luthier run``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import click

import luthier

from . import options


@dataclass(frozen=True)
class RunReport:
    """What was computed: types by output name, and the milliseconds of the run."""

    outputs: dict[str, str]
    path: Path
    milliseconds: float


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--inputs", required=True, type=click.Path(path_type=Path), help=".npz, arrays by input name."
)
@click.option(
    "--outputs", required=True, type=click.Path(path_type=Path), help=".npz, by output name."
)
@options.run_threads
@options.json_flag
@options.examples("luthier run model --inputs in.npz --outputs out.npz")
def run(folder: Path, inputs: Path, outputs: Path, threads: int | None, as_json: bool) -> None:
    """Run the artifact in DIR on arrays from a file.

    That may be an artifact's sample.npz.
    """
    from luthier.inputs.arrays import (  # noqa: PLC0415 - NumPy takes its time
        inputs_of,
        load_arrays,
        save_arrays,
    )

    arrays = load_arrays(inputs)
    with luthier.load(folder, threads=threads) as artifact:
        given = inputs_of(arrays, [port.name for port in artifact.inputs])
        start = time.perf_counter()
        results = artifact.run(given, lists=False)
        milliseconds = (time.perf_counter() - start) * 1e3
    save_arrays(outputs, results)
    types = {name: f"{a.dtype}[{','.join(map(str, a.shape))}]" for name, a in results.items()}
    report = RunReport(types, outputs, milliseconds)
    options.emit(report, as_json, lambda: _text(report))


def _text(report: RunReport) -> str:
    lines = [f"{options.one_line(name)}: {kind}" for name, kind in report.outputs.items()]
    return "\n".join([*lines, f"written to {report.path} ({report.milliseconds:.2f} ms)"])
