"""A decoder with a cache: GPT-2's prompt and its tokens, against ONNX Runtime, into RESULTS.md.

python -m bench.decoder                      1 and 2 threads, caches of 100 and 1,000 tokens
python -m bench.decoder --threads 1 --print

Both run the same file, whose cache is inputs and outputs. Luthier's library has it as state; ONNX
Runtime reads and writes buffers that are bound once, the new cache beside the old. Each engine is
a process of its own, and they take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import luthier
from bench import results
from bench.models import cache_folder, decoder
from bench.standings import markdown
from luthier.deploy import read_manifest
from luthier.machine.bandwidth import peak_bandwidth
from luthier.schedules.target import host

PROMPT, MOST = 128, 1023
FILLS = (100, 1000)
STEPS = 8  # of one turn
ENGINES = ("luthier", "onnxruntime")
Turn = Callable[[], list[float]]
_READING = """\
Milliseconds for a token after so many others, or for a prompt of {prompt} tokens: medians of
{rounds} turns of {steps} tokens; and how many times as fast Luthier was in a turn. *Bandwidth*:
what is read for a token, weights and cache, over its time, of what as many threads were measured
to read. The library has both entry points: {size} MB for {weights} MB of weights, {code} KiB of
code."""


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
    names = [i.name for i in _session(model, 1).get_inputs() if i.name.startswith("past")]
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


SERVERS = {"luthier": serve_luthier, "onnxruntime": serve_onnxruntime}


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


def measured(
    folder: Path, model: Path, threads: int, tokens: int, fill: int, rounds: int
) -> list[list[float]]:
    """Seconds of each engine's turns; raises ValueError where their logits differ."""
    with tempfile.TemporaryDirectory() as text:
        numbers = map(str, (threads, tokens, fill))
        arguments = [str(folder.resolve()), str(model.resolve()), *numbers]
        engines = [_Engine(name, Path(text), arguments) for name in ENGINES]
        try:
            for engine in engines:
                engine.turn()  # after which the logits are there
            ours, theirs = (np.load(engine.logits) for engine in engines)
            if not np.allclose(ours, theirs, 1e-3, 1e-3):
                raise ValueError(f"logits differ by {np.abs(ours - theirs).max()}")
            turns = [[engine.turn() for engine in engines] for _ in range(rounds)]
        finally:
            for engine in engines:
                engine.process.kill()
                engine.process.communicate()
    return [list(each) for each in zip(*turns, strict=True)]


def row(folder: Path, model: Path, threads: int, tokens: int, fill: int, rounds: int) -> list[str]:
    """Of the table."""
    ours, theirs = measured(folder, model, threads, tokens, fill, rounds)
    low, ratio, high = statistics.quantiles(
        [b / a for a, b in zip(ours, theirs, strict=True)], method="inclusive"
    )
    seconds = statistics.median(ours)
    share = ""
    if fill:
        cache = 2 * 12 * 768 * 4 * fill
        read = read_manifest(folder).weight_bytes + cache
        share = f"{read / seconds / 1e9 / peak_bandwidth(host(threads)):.0%}"
    what = f"token after {fill}" if fill else f"prompt of {tokens}"
    times = f"{seconds * 1e3:.1f}", f"{statistics.median(theirs) * 1e3:.1f}"
    return [what, str(threads), *times, f"{ratio:.2f} ({low:.2f} to {high:.2f})", share]


def main() -> None:
    """Measure and write the section."""
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description="A decoder with a cache.")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--print", action="store_true", help="leave RESULTS.md as it is")
    options = parser.parse_args()
    model, rounds = decoder(cache_folder()), options.rounds
    head = ["", "threads", "Luthier, ms", "ONNX Runtime, ms", "times as fast", "bandwidth"]
    rows = [head, ["---", *["---:"] * 5]]
    with tempfile.TemporaryDirectory() as text:
        for threads in options.threads:
            folder = Path(text) / f"decoder{threads}"
            library(model, folder, threads)
            cases = [(PROMPT, 0), *((1, fill) for fill in FILLS)]
            rows += [row(folder, model, threads, *case, rounds) for case in cases]
            print(*rows[-len(cases) :], sep="\n", file=sys.stderr)
        manifest = read_manifest(folder)
        size = (folder / manifest.library).stat().st_size
    reading = _READING.format(
        prompt=PROMPT,
        rounds=rounds,
        steps=STEPS,
        size=size // 10**6,
        weights=manifest.weight_bytes // 10**6,
        code=(size - manifest.weight_bytes) >> 10,
    )
    text = f"{markdown(rows)}\n\n{reading}"
    print(text)
    if not options.print:
        results.write("decoder", results.command("bench.decoder"), text)


if __name__ == "__main__":
    main()
