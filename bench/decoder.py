"""A decoder with a cache: GPT-2's prompt and its tokens, against other engines, into RESULTS.md.

python -m bench.decoder                      1 and 2 threads, caches of 100 and 1,000 tokens
python -m bench.decoder --threads 1 --weights "4 bits" --print
python -m bench.decoder --rows rows.jsonl    what stands there already is not measured again

All run the same file, whose cache is inputs and outputs. Luthier's library has it as state; the
others read and write buffers that are bound once, the new cache beside the old. Each engine is a
process of its own, and they take turns. Weights of few bits are what ``luthier quantize`` writes
(``MatMulNBits`` in blocks of 32); where rows may be rounded to 8 bits, its nodes have the
``accuracy_level`` 4.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import luthier
from bench import results
from bench.decoder_weights import WEIGHTS, quantised
from bench.engines import ROUNDED, openvino_properties
from bench.standings import markdown
from bench.turns import close, close_when_rounded
from luthier.deploy import Manifest, read_manifest
from luthier.machine.bandwidth import peak_bandwidth
from luthier.schedules.target import host

PROMPT, MOST = 128, 1023
FILLS = (100, 1000)
STEPS = 8  # of one turn
ENGINES = ("luthier", "onnxruntime", "openvino")
Turn = Callable[[], list[float]]
_READING = """\
Milliseconds for a token after so many others, or for a prompt of {prompt} tokens: medians of
{rounds} turns of {steps} tokens; and how many times as fast Luthier was in a turn as the faster of
the others. *Bandwidth*: what is read for a token, matrices with their scales and the cache, over
its time, of what as many threads were measured to read. The library has both entry points."""


def library(model: Path, out: Path, threads: int) -> None:
    """Both entry points over one copy of weights and cache."""
    points = {
        "prefill": luthier.EntryPoint(
            model, shapes={"tokens": range(1, PROMPT + 1), "past": 0}, state="auto"
        ),
        "decode": luthier.EntryPoint(
            model, shapes={"tokens": 1, "past": range(MOST + 1)}, state="auto"
        ),
    }
    luthier.build(points, out, log=None, threads=threads)


def _cache(model: Path, fill: int) -> dict[str, Any]:
    rng = np.random.default_rng(fill)
    graph = onnx.load(model, load_external_data=False).graph
    names = [i.name for i in graph.input if i.name.startswith("past")]
    shape = (1, 12, fill, 64)
    return {name: rng.standard_normal(shape).astype(np.float32) for name in names}


def _inputs(tokens: int, fill: int) -> dict[str, Any]:
    ids = np.random.default_rng(fill).integers(0, 50257, (1, tokens))
    return {"input_ids": ids, "position_ids": fill + np.arange(tokens)[None]}


def _session(model: Path, threads: int) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def serve_luthier(
    folder: Path, model: Path, threads: int, tokens: int, fill: int
) -> tuple[Any, Turn]:
    """Logits of the first step, and turns: tokens one after the other from the fill on, or a prompt
    into an empty cache."""
    entry = luthier.load(folder, threads=threads).entry("prefill" if tokens > 1 else "decode")
    cache, inputs = _cache(model, fill), _inputs(tokens, fill)

    def begin() -> None:
        entry.state.reset()
        if fill:
            entry.state.write(cache)

    def turn() -> list[float]:
        begin()
        times = []
        for step in range(STEPS if fill else 1):
            given = {**inputs, "position_ids": inputs["position_ids"] + step}
            start = time.perf_counter()
            entry.run(given)
            times.append(time.perf_counter() - start)
        return times

    begin()
    return entry.run(inputs)["logits"], turn


def serve_onnxruntime(
    folder: Path, model: Path, threads: int, tokens: int, fill: int
) -> tuple[Any, Turn]:
    """The same step again and again: buffers for the next would have to be made in between."""
    import onnxruntime as ort

    session = _session(model, threads)
    binding = session.io_binding()
    for name, array in {**_inputs(tokens, fill), **_cache(model, fill)}.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array))
    for output in session.get_outputs():
        shape = (1, 1, 50257) if output.name == "logits" else (1, 12, fill + tokens, 64)
        room = ort.OrtValue.ortvalue_from_numpy(np.zeros(shape, np.float32))
        binding.bind_ortvalue_output(output.name, room)

    def turn() -> list[float]:
        times = []
        for _ in range(STEPS if fill else 1):
            start = time.perf_counter()
            session.run_with_iobinding(binding)
            times.append(time.perf_counter() - start)
        return times

    session.run_with_iobinding(binding)
    return binding.get_outputs()[0].numpy(), turn


def serve_openvino(
    folder: Path, model: Path, threads: int, tokens: int, fill: int
) -> tuple[Any, Turn]:
    """As ONNX Runtime does, in buffers of its own."""
    import openvino as ov

    properties = openvino_properties(str(model), threads)
    request = ov.Core().compile_model(str(model), "CPU", properties).create_infer_request()
    for name, array in {**_inputs(tokens, fill), **_cache(model, fill)}.items():
        request.set_tensor(name, ov.Tensor(np.ascontiguousarray(array)))

    def turn() -> list[float]:
        times = []
        for _ in range(STEPS if fill else 1):
            start = time.perf_counter()
            request.infer()
            times.append(time.perf_counter() - start)
        return times

    request.infer()
    return request.get_tensor("logits").data.copy(), turn


SERVERS = {
    "luthier": serve_luthier,
    "onnxruntime": serve_onnxruntime,
    "openvino": serve_openvino,
}


def serve(engine: str, *arguments: str) -> None:
    """Answer each line on stdin by the times of a turn, as JSON."""
    logits, folder, model, *numbers = arguments
    first, turn = SERVERS[engine](Path(folder), Path(model), *map(int, numbers))
    np.save(logits, first)
    for _ in sys.stdin:
        print(json.dumps(turn()), flush=True)


class _Engine:
    def __init__(self, name: str, folder: Path, arguments: Sequence[str]) -> None:
        self.logits = folder / f"{name}.npy"
        command = [sys.executable, "-m", "bench.decoder", "--serve", name, str(self.logits)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([*command, *arguments], stdin=pipe, stdout=pipe, text=True)

    def turn(self) -> float:
        """Median seconds of a step."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return statistics.median(json.loads(self.process.stdout.readline()))


@dataclass(frozen=True)
class Case:
    """``tokens`` of a prompt, or one token after ``fill`` others."""

    weights: str
    threads: int
    tokens: int
    fill: int

    @property
    def name(self) -> str:
        """As the table has it."""
        return f"token after {self.fill}" if self.fill else f"prompt of {self.tokens}"


@dataclass(frozen=True)
class Outcome:
    """Seconds of each engine's turns; those of ``share`` of the bandwidth, 0 of a prompt."""

    case: Case
    turns: Mapping[str, Sequence[float]]
    share: float

    def row(self) -> list[str]:
        """Of the table."""
        peers = [self.turns[name] for name in ENGINES[1:]]
        best = min(peers, key=statistics.median)
        pairs = zip(self.turns["luthier"], best, strict=True)
        low, ratio, high = statistics.quantiles([b / a for a, b in pairs], method="inclusive")
        times = (f"{statistics.median(self.turns[name]) * 1e3:.1f}" for name in ENGINES)
        share = f"{self.share:.0%}" if self.share else ""
        said = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
        return [self.case.weights, self.case.name, str(self.case.threads), *times, said, share]


def measured(folder: Path, case: Case, rounds: int) -> Outcome:
    """All engines in turns; raises ValueError where their logits differ."""
    model = quantised(case.weights)
    alike = close_when_rounded if WEIGHTS[case.weights][1] == ROUNDED else close
    with tempfile.TemporaryDirectory() as text:
        numbers = map(str, (case.threads, case.tokens, case.fill))
        arguments = [str(folder.resolve()), str(model.resolve()), *numbers]
        engines = [_Engine(name, Path(text), arguments) for name in ENGINES]
        try:
            for engine in engines:
                engine.turn()  # after which the logits are there
            ours, *theirs = (np.load(engine.logits) for engine in engines)
            for name, other in zip(ENGINES[1:], theirs, strict=True):
                if not alike(ours, other):
                    raise ValueError(f"{name}'s logits differ by {np.abs(ours - other).max()}")
            turns = [[engine.turn() for engine in engines] for _ in range(rounds)]
        finally:
            for engine in engines:
                engine.process.kill()
                engine.process.communicate()
    each = dict(zip(ENGINES, (list(some) for some in zip(*turns, strict=True)), strict=True))
    share = 0.0
    if case.fill:
        read = _matrices(read_manifest(folder)) + 2 * 12 * 768 * 4 * case.fill
        seconds = statistics.median(each["luthier"])
        share = read / seconds / 1e9 / peak_bandwidth(host(case.threads))
    return Outcome(case, each, share)


def _matrices(manifest: Manifest) -> int:
    """Bytes of what a token is multiplied with, scales included."""
    (entry,) = (each for each in manifest.entries if each.name == "decode")
    total = 0
    for step in entry.variants[0].steps:
        workload = manifest.kernels[step.kernel].workload
        if workload.nodes[0].op.startswith("matmul"):
            total += sum(t.nbytes for t, constant in workload.signature if constant)
    return total


def main() -> None:
    """Measure and write the section."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description="A decoder with a cache.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--weights", nargs="+", default=list(WEIGHTS), choices=WEIGHTS)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--rows", type=Path, help="a file that keeps what was measured")
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        rows = options.rows or Path(text) / "rows.jsonl"
        there = _read(rows)
        for weights in options.weights:
            for threads in options.threads:
                cases = [Case(weights, threads, PROMPT, 0)]
                cases += [Case(weights, threads, 1, fill) for fill in FILLS]
                left = [case for case in cases if case not in {o.case for o in there}]
                if left:
                    there += _measure(Path(text), left, options.rounds, rows)
    head = ["weights", "", "threads", *(f"{name}, ms" for name in ENGINES), "times as fast"]
    table = [[*head, "bandwidth"], ["---", "---", *["---:"] * 6], *(o.row() for o in there)]
    page = (
        f"{markdown(table)}\n\n{_READING.format(prompt=PROMPT, rounds=options.rounds, steps=STEPS)}"
    )
    print(page)
    if not options.print:
        results.write("decoder", results.command("bench.decoder"), page)


def _measure(folder: Path, cases: Sequence[Case], rounds: int, rows: Path) -> list[Outcome]:
    """Cases of one library, added to a file."""
    weights, threads = cases[0].weights, cases[0].threads
    built, found = folder / "decoder", []
    library(quantised(weights), built, threads)
    manifest = read_manifest(built)
    size = (built / manifest.library).stat().st_size
    said = f"{weights}: {size >> 20} MiB, {manifest.weight_bytes >> 20} of them weights"
    print(said, file=sys.stderr)
    for case in cases:
        found.append(measured(built, case, rounds))
        with rows.open("a") as file:
            file.write(f"{json.dumps(asdict(found[-1]))}\n")
        print(*found[-1].row(), file=sys.stderr)
    return found


def _read(rows: Path) -> list[Outcome]:
    if not rows.exists():
        return []
    each = (json.loads(line) for line in rows.read_text().splitlines())
    return [Outcome(Case(**one["case"]), one["turns"], one["share"]) for one in each]


if __name__ == "__main__":
    main()
