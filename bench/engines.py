"""One engine in one process, so that no engine's threads or caches help or disturb another's.

``python -m bench.engines ENGINE MODEL THREADS INPUTS.npz OUTPUTS.npz`` loads the model, writes its
outputs, and prints a JSON line. Then each line on stdin, a number of seconds, is answered by a JSON
list of the times of single runs (seconds) that fitted into it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Run = Callable[[Arrays], Arrays]

LEAST_RUNS = 3


def luthier(path: str, threads: int) -> Run:
    """An artifact folder."""
    from luthier.deploy import load

    return load(path, threads=threads).run


def onnxruntime(path: str, threads: int) -> Run:
    """ONNX Runtime with all of its graph optimisations, as it is installed."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return lambda arrays: dict(zip(names, session.run(names, arrays), strict=True))


def openvino(path: str, threads: int) -> Run:
    """OpenVINO tuned for latency, in float32 as the others."""
    import openvino as ov

    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    model = ov.Core().compile_model(path, "CPU", config)
    names = [port.get_any_name() for port in model.outputs]
    request = model.create_infer_request()

    def run(arrays: Arrays) -> Arrays:
        results = request.infer(arrays, share_inputs=True, share_outputs=True)
        return {name: results[i] for i, name in enumerate(names)}

    return run


def torch_compile(path: str, threads: int) -> Run:
    """torch.compile with frozen weights and measured choices, which takes minutes for large models.

    The module comes from ``torch_modules``.
    """
    import onnx
    import torch
    from torch._inductor import config

    from bench import torch_modules

    torch.set_num_threads(threads)
    config.freezing = True
    names = [o.name for o in onnx.load(path).graph.output]
    compiled = torch.compile(torch_modules.load(Path(path)), mode="max-autotune-no-cudagraphs")

    @torch.inference_mode()
    def run(arrays: Arrays) -> Arrays:
        results = compiled(*map(torch.from_numpy, arrays.values()))  # type: ignore[no-untyped-call]
        if isinstance(results, torch.Tensor):
            results = (results,)
        return {name: result.numpy() for name, result in zip(names, results, strict=True)}

    return run


def torch_layer(path: str, threads: int) -> Run:
    """A recurrent layer as torch runs it: see ``recurrent_layers``."""
    import torch

    from bench import recurrent_layers

    torch.set_num_threads(threads)
    layer = recurrent_layers.module(Path(path))

    @torch.inference_mode()
    def run(arrays: Arrays) -> Arrays:
        y, state = layer(torch.from_numpy(arrays["x"]))
        h = state[0] if isinstance(state, tuple) else state
        return {"y": y.unsqueeze(1).numpy(), "h": h.numpy()}

    return run


def xgboost(path: str, threads: int) -> Run:
    """XGBoost's own predictor, whose model is beside the ONNX file; of one input and output."""
    import xgboost

    booster = xgboost.Booster({"nthread": threads})
    booster.load_model(Path(path).with_suffix(".ubj"))
    booster.set_param({"nthread": threads})

    def run(arrays: Arrays) -> Arrays:
        (x,) = arrays.values()
        return {"y": booster.inplace_predict(x).reshape(len(x), -1)}

    return run


ENGINES: dict[str, Callable[[str, int], Run]] = {
    "luthier": luthier,
    "onnxruntime": onnxruntime,
    "openvino": openvino,
    "torch": torch_compile,
    "torch_layer": torch_layer,
    "xgboost": xgboost,
}


def timed(run: Run, inputs: Arrays, seconds: float) -> list[float]:
    """Times of single runs, after one that warms the caches."""
    run(inputs)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or time.perf_counter() < end:
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return times


def main() -> None:
    """Serve one engine; see the module's text."""
    engine, path, threads, given, written = sys.argv[1:]
    with np.load(given) as file:
        inputs = dict(file)
    with redirect_stdout(sys.stderr):  # an engine may report how it tunes itself
        run = ENGINES[engine](path, int(threads))
        np.savez(written, allow_pickle=False, **run(inputs))
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(run, inputs, float(line))), flush=True)


if __name__ == "__main__":
    main()
