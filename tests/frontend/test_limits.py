"""At its limits and beyond, a node is right as in ONNX Runtime or refused in one line.

The cases are many (``cases_limits.py``); each run takes the same sample of them.
"""

from __future__ import annotations

import random
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
from cases_limits import limits
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, Arrays, Case, compute

from luthier.frontend import import_model
from luthier.schedules import ModelError

_GROUPS, _SAMPLE = 24, 480
# Where ONNX Runtime or onnx's evaluator are themselves at their limits.
_UNLIKE = {
    "MeanVarianceNormalization": "their variance cancels, and its root is NaN",
    "LRN": "an infinite alpha is infinity times 0 in one of them",
    "PRelu": "a slope of more dimensions gives these to its result, of the input's by the standard",
    "Softplus": "the exponential is infinite in float16",
}


def sample() -> list[list[Case]]:
    """In groups, so that few tests have much to do each."""
    with np.errstate(all="ignore"):
        chosen = random.Random(3).sample(list(limits()), _SAMPLE)
    return [chosen[i::_GROUPS] for i in range(_GROUPS)]


def outcome(proto: onnx.ModelProto, inputs: Arrays) -> list[np.ndarray] | None:
    """What ONNX Runtime computes without its optimisations, else onnx's evaluator; or None."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    for run in (
        lambda: onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, inputs),
        lambda: ReferenceEvaluator(proto).run(None, inputs),
    ):
        try:
            return [np.asarray(r) for r in run()]
        except Exception:
            continue
    return None


def check(case: Case) -> None:
    try:
        proto = case.model
    except (ValueError, TypeError):
        return  # an attribute that onnx itself does not write
    try:
        ours = list(compute(import_model(proto, TARGET), case.inputs).values())
    except ModelError as refused:
        said = str(refused)
        assert said.isprintable(), case
        assert len(said) < 600, case
        assert case.op in said or "'in" in said or "'out" in said, (case, said)
        return
    theirs = outcome(proto, case.inputs)
    if theirs is None or case.op in _UNLIKE:
        return
    for got, wanted in zip(ours, theirs, strict=True):
        assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype), case
        half = got.dtype == np.float16
        np.testing.assert_allclose(
            got, wanted, 2e-3 if half else 1e-4, 1e-3 if half else 1e-5, err_msg=str(case)
        )


@pytest.mark.parametrize("group", sample(), ids=[f"{i}" for i in range(_GROUPS)])
def test_a_node_at_its_limits_is_right_or_refused(group: list[Case]) -> None:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for case in group:
            check(case)
