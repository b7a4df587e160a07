"""One engine in one process, so that no engine's threads or caches help or disturb another's.

``python -m bench.serving ENGINE`` answers each JSON line on stdin by one: a list [MODEL, THREADS,
INPUTS.npz, OUTPUTS.npz] loads a model and writes its outputs, answered by null or by why it fails;
then a number of seconds is answered by the times of single runs (seconds) that fitted into it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout

import numpy as np

from bench import engines, loops
from bench.engines import Arrays, Run
from bench.loops import LEAST_RUNS, NEXT, Loop


def _compiled_trees(name: str) -> Callable[[str, int], Run]:
    """Imported when it is asked for: few have these."""

    def load(path: str, threads: int) -> Run:
        from bench import tree_compilers

        loaded: Run = getattr(tree_compilers, name)(path, threads)
        return loaded

    return load


ENGINES: dict[str, Callable[[str, int], Run]] = {
    "luthier": engines.luthier,
    "onnxruntime": engines.onnxruntime,
    "openvino": engines.openvino,
    "openvino_bf16": engines.openvino_bf16,
    "torch": engines.torch_compile,
    "torch_layer": engines.torch_layer,
    "xgboost": engines.xgboost,
    "luthier_loop": loops.luthier,
    "onnxruntime_loop": loops.onnxruntime,
    "openvino_loop": loops.openvino,
    "lleaves_loop": _compiled_trees("lleaves"),
    "tl2cgen_loop": _compiled_trees("tl2cgen"),
}


def timed(run: Run, inputs: Arrays, seconds: float) -> list[float]:
    """Times of single runs, after one that warms the caches."""
    if isinstance(run, Loop):
        return run.times(seconds)
    run(inputs)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return times


def _loaded(engine: str, model: str, threads: int, given: str, written: str) -> tuple[Run, Arrays]:
    with np.load(given) as file:
        inputs = dict(file)
    with redirect_stdout(sys.stderr):  # an engine may report how it tunes itself
        run = ENGINES[engine](model, threads)
        if not isinstance(run, Loop):
            inputs = {name: array for name, array in inputs.items() if not name.endswith(NEXT)}
        np.savez(written, allow_pickle=False, **run(inputs))
    return run, inputs


def main() -> None:
    """Serve one engine; see the module's text."""
    (engine,) = sys.argv[1:]
    loaded: tuple[Run, Arrays] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        answer: str | list[float] | None = None
        if isinstance(asked, list):
            if loaded and isinstance(loaded[0], Loop):
                loaded[0].close()
            loaded = None  # its threads end before those of the next begin
            try:
                loaded = _loaded(engine, *asked)
            except Exception as error:  # what an engine cannot do is a result
                answer = f"{type(error).__name__}: {error}".strip().splitlines()[-1]
        else:
            assert loaded is not None
            answer = timed(*loaded, asked)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
