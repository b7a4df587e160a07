"""What a model needs in ONNX Runtime, in a process of its own; see ``footprint``.

``python -m bench.footprint_peer MODEL THREADS RUNS INPUTS.npz`` prints JSON like ``footprint.c``,
and the bytes of the library that runs models. Imports and inputs come before all measuring.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state

from bench import engines

_FORGET_PEAK = "5"  # of /proc/self/clear_refs, see proc(5)


def main() -> None:
    """Measure one model."""
    path, threads, runs, given = sys.argv[1:]
    with np.load(given) as file:
        inputs = dict(file)
    Path("/proc/self/clear_refs").write_text(_FORGET_PEAK)  # the imports' peak is not the model's
    before = _resident("VmRSS:")
    start = time.perf_counter()
    run = engines.onnxruntime(path, int(threads))
    ready = time.perf_counter()
    run(inputs)
    first = time.perf_counter()
    for _ in range(int(runs) - 1):
        run(inputs)
    peak, held = _resident("VmHWM:"), _resident("VmRSS:")
    code = Path(onnxruntime_pybind11_state.__file__).stat().st_size
    found = {"peak": peak - before, "held": held - before, "code": code}
    times = {"ready": 1e3 * (ready - start), "start": 1e3 * (first - start)}
    print(json.dumps({**times, **found}))


def _resident(field: str) -> int:
    """Bytes of a field of ``/proc/self/status``."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()
