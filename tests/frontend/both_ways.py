"""What nodes compute at run time and what they are folded to, many of them in one library."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from onnx_models import TARGET, Case, compute, model

import luthier
from luthier.deploy.building import build
from luthier.frontend import Library, import_model
from luthier.schedules import target

HOST = target.host(threads=1)


def at_run_time(cases: Sequence[Case]) -> list[np.ndarray]:
    """Each case's first result, by kernels of this machine's level."""
    proto, inputs = _side_by_side(cases, constant=False)
    with tempfile.TemporaryDirectory() as folder:
        build(Library.of(import_model(proto, HOST)), Path(folder, "cases"), HOST, {})
        found = luthier.load(f"{folder}/cases").run(inputs)
        return [np.array(found[f"case{i}"]) for i in range(len(cases))]


def folded(cases: Sequence[Case]) -> list[np.ndarray]:
    """The same where every input is a constant of the model."""
    proto, _ = _side_by_side(cases, constant=True)
    program = import_model(proto, TARGET)
    assert not program.calls, [call.source for call in program.calls]
    found = compute(program, {})
    return [found[f"case{i}"] for i in range(len(cases))]


def _side_by_side(
    cases: Sequence[Case], constant: bool
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    nodes, inputs, constants = [], {}, {}
    for number, case in enumerate(cases):
        names = []
        for i, array in enumerate(case.arguments):
            names.append("" if array is None else f"case{number}_{i}")
            if array is not None:
                into = constants if constant or i in case.constants else inputs
                into[names[-1]] = array
        nodes.append(helper.make_node(case.op, names, [f"case{number}"], **case.attrs))
    (opset,) = {case.opset for case in cases}
    outputs = [f"case{i}" for i in range(len(cases))]
    return model(nodes, inputs, outputs, constants, opset), inputs


def differing(got: np.ndarray, want: np.ndarray, rtol: float = 0, atol: float = 0) -> list[object]:
    """Pairs of elements that differ; NaN is NaN, and -0 is 0."""
    assert got.shape == want.shape
    assert got.dtype == want.dtype
    with np.errstate(all="ignore"):
        same = np.isclose(*(a.astype(np.float64) for a in (got, want)), rtol, atol, equal_nan=True)
    return list(zip(got[~same].tolist(), want[~same].tolist(), strict=True))
