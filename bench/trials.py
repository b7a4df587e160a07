"""Candidates a second, beside TVM's own tuner on the same kernels, into bench/RESULTS.md.

python -m bench.trials                  256 trials a kernel, and 32 of MetaSchedule
python -m bench.trials --trials 64 --kernels convolution --print

A candidate counts when it was searched for, built, run and kept, whatever came of it. Both tuners
start afresh for each kernel: the time holds their workers' start, their search and their models.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import results
from luthier.autotune import Sources, Store, tune
from luthier.schedules import Tensor, Workload, node
from luthier.schedules.target import available_cores, host

PATIENCE = 120.0  # seconds that TVM's tuner gets for a kernel
_NOTE = f"""\
The time is from nothing: starting the workers, searching, building, running, fitting the models and
keeping the records. MetaSchedule is TVM's tuner as it comes, with its local builder and runner.
Imports are left out (MetaSchedule's parse CUDA's tensor intrinsics for a minute), and it was ended
after {PATIENCE:.0f} s. Of the candidates that it was given
then, none may have come back yet: its pace is at most the number in brackets."""


@dataclass(frozen=True)
class Pace:
    """How many candidates were tried in how many seconds."""

    trials: int
    seconds: float

    @property
    def rate(self) -> float:
        """Candidates a second."""
        return self.trials / self.seconds


def convolution(size: int, channels: int, outputs: int, kernel: int) -> Workload:
    """Same-size convolution without bias."""
    out = Tensor((1, size, size, outputs))
    pad = kernel // 2
    return Workload(
        (Tensor((1, size, size, channels)), Tensor((outputs, kernel, kernel, channels))),
        (False, True),
        (node("conv2d", (0, 1), out, strides=(1, 1), pads=(pad,) * 4, dilations=(1, 1), groups=1),),
    )


def product(rows: int, depth: int, columns: int) -> Workload:
    """A matrix by a constant matrix."""
    inputs = Tensor((rows, depth)), Tensor((depth, columns))
    return Workload(inputs, (False, True), (node("matmul", (0, 1), Tensor((rows, columns))),))


def softmax(rows: int, columns: int) -> Workload:
    """Of rows."""
    data = Tensor((rows, columns))
    return Workload((data,), (False,), (node("softmax", (0,), data, axis=1),))


# By name: the workload, and the same in TVM's tensor expressions.
KERNELS: dict[str, tuple[Workload, Callable[[Any, Any], list[Any]]]] = {
    "convolution 1x1, 13x13x256 to 48": (
        convolution(13, 256, 48, 1),
        lambda te, topi: _convolution(te, topi, 13, 256, 48, 1),
    ),
    "convolution 3x3, 27x27x32 to 32": (
        convolution(27, 32, 32, 3),
        lambda te, topi: _convolution(te, topi, 27, 32, 32, 3),
    ),
    "product 128x256x256": (
        product(128, 256, 256),
        lambda te, topi: _product(te, topi, 128, 256, 256),
    ),
    "softmax 128x128": (
        softmax(128, 128),
        lambda te, topi: [x := te.placeholder((128, 128), name="x"), topi.nn.softmax(x, axis=1)],
    ),
}


def _convolution(
    te: Any, topi: Any, size: int, channels: int, outputs: int, kernel: int
) -> list[Any]:
    data = te.placeholder((1, size, size, channels), name="data")
    weight = te.placeholder((kernel, kernel, channels, outputs), name="weight")
    return [data, weight, topi.nn.conv2d_nhwc(data, weight, 1, kernel // 2, 1)]


def _product(te: Any, topi: Any, rows: int, depth: int, columns: int) -> list[Any]:
    a = te.placeholder((rows, depth), name="a")
    b = te.placeholder((depth, columns), name="b")
    return [a, b, topi.matmul(a, b)]


def own_pace(workload: Workload, trials: int) -> Pace:
    """Luthier's tuner."""
    with tempfile.TemporaryDirectory() as folder:
        store, target = Store.open(Path(folder) / "log.db", create=True), host()
        begin = time.monotonic()
        with Sources(store, (), target) as sources:
            done = tune({workload: 1}, trials, sources)
        return Pace(done.trials, time.monotonic() - begin)


def stock_pace(name: str, trials: int, patience: float = PATIENCE) -> Pace:
    """MetaSchedule's, in a process of its own; what it had tried when its patience ended."""
    command = [sys.executable, "-m", "bench.trials", "--stock", name, "--stock-trials", str(trials)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while not os.fstat(said.fileno()).st_size and process.poll() is None:
            time.sleep(0.1)  # until it has imported TVM and says so
        begin = time.monotonic()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            _end(process)
        seconds = time.monotonic() - begin
        said.seek(0)
        lines = [line.split() for line in said if line.startswith("tried ")]
    if not lines:
        return Pace(0, seconds)  # not even its first batch was done
    return Pace(int(lines[-1][1]), float(lines[-1][2]) if process.returncode == 0 else seconds)


def _end(process: subprocess.Popen[bytes]) -> None:
    import psutil

    for child in psutil.Process(process.pid).children(recursive=True):
        child.kill()
    process.kill()
    process.wait()


def run_stock(name: str, trials: int) -> None:
    """Tune with MetaSchedule; print ``ready``, then ``tried N SECONDS`` after each batch."""
    from tvm import te, topi
    from tvm.ir.utils import derived_object
    from tvm.s_tir import meta_schedule as ms
    from tvm.s_tir import tensor_intrin  # noqa: F401 - it would be imported later
    from tvm.target import Target

    print("ready", flush=True)
    begin = time.monotonic()

    @derived_object  # type: ignore[untyped-decorator, unused-ignore]
    class Count(ms.measure_callback.PyMeasureCallback):  # type: ignore[misc, unused-ignore]
        tried = 0

        def apply(self, scheduler: Any, task: int, tried: Any, builds: Any, runs: Any) -> None:
            Count.tried += len(tried)
            print(f"tried {Count.tried} {time.monotonic() - begin:.3f}", flush=True)

    cores = available_cores()
    target = Target({"kind": "llvm", "mcpu": host().level, "num-cores": cores})
    with tempfile.TemporaryDirectory() as folder:
        ms.tune_tir(
            te.create_prim_func(KERNELS[name][1](te, topi)),
            target,
            folder,
            trials,
            num_trials_per_iter=min(64, trials),
            num_tuning_cores=cores,
            measure_callbacks=[
                ms.measure_callback.AddToDatabase(),
                ms.measure_callback.UpdateCostModel(),
                ms.measure_callback.RemoveBuildArtifact(),
                Count(),
            ],
        )


def table(paces: Mapping[str, tuple[Pace, Pace]], trials: int) -> str:
    """A Markdown table: candidates a second of both, and the ratio.

    ``trials`` are those that MetaSchedule was asked for.
    """
    lines = [
        "| kernel | Luthier, a second | MetaSchedule, a second | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, (own, stock) in paces.items():
        least = f"{own.rate * stock.seconds / trials:.0f}"  # all that it was given, at most
        ratio = f"{own.rate / stock.rate:.0f}" if stock.trials else f"over {least}"
        ceiling = f"0 (under {trials / stock.seconds:.2g})"
        theirs = _shown(stock) if stock.trials else ceiling
        lines.append(f"| {name} | {_shown(own)} | {theirs} | {ratio} |")
    return "\n".join([*lines, "", _NOTE])


def _shown(pace: Pace) -> str:
    return f"{pace.rate:.3g} ({pace.trials} in {pace.seconds:.0f} s)"


def main() -> None:
    """Measure both and write the table."""
    parser = argparse.ArgumentParser(description="Candidates a second, beside MetaSchedule's.")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--stock-trials", type=int, default=32)
    parser.add_argument("--kernels", nargs="*", default=[""], help="how their names begin")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    parser.add_argument("--stock", choices=KERNELS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stock:
        return run_stock(options.stock, options.stock_trials)
    paces = {}
    for name, (workload, _) in KERNELS.items():
        if name.startswith(tuple(options.kernels)):
            paces[name] = own_pace(workload, options.trials), stock_pace(name, options.stock_trials)
            print(name, paces[name], flush=True)
    text = table(paces, options.stock_trials)
    print(text)
    if not options.print:
        results.write("trials", results.command("bench.trials"), text)


if __name__ == "__main__":
    main()
