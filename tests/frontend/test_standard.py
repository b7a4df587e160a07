"""The standard's own cases whose inputs decide a shape or an attribute, with these as constants.

As they are they run in ``tests/standard``; in most models what decides is known.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_models import TARGET
from sized_models import computed

from luthier.frontend import import_entry
from luthier.frontend.control.stages import CONTROL, FINDERS
from luthier.frontend.onnx.operators import BUILD_TIME, SUPPORTED
from luthier.frontend.onnx.scopes import every_node

# Weights are known in trained models.
OTHERS = {"CastLike": (1,), "Dropout": (1,)}
# Of sequences, refused whatever is known, or with an expected output that contradicts the text of
# the standard: see ``tests/standard/left.txt``.
LEFT_OUT = (
    "training_dropout|bernoulli|_sequence|loop1[36]_seq|split_to_sequence"
    "|resize_downsample_scales_(linear|cubic)_align_corners$"
)

_TOLERANCES = {"float16": (2e-3, 1e-3), "bfloat16": (2e-2, 1e-2)}  # others: of float32


def decisive_inputs(model: onnx.ModelProto) -> set[str]:
    """What inputs that must be known at build time are computed from; weights and zero points."""
    needed: set[str] = set()
    for node in reversed(model.graph.node):
        wanted = range(len(node.input)) if needed.intersection(node.output) else ()
        wanted = (*wanted, *BUILD_TIME.get(node.op_type, ()), *OTHERS.get(node.op_type, ()))
        needed |= {node.input[i] for i in wanted if i < len(node.input)}
        if node.op_type == "Loop" and any(node.output[len(node.input) - 2 :]):
            needed |= {*node.input[:2]}  # what is kept has a row for each iteration
    return needed & {info.name for info in model.graph.input}


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # onnx's cases overflow and divide by zero on purpose
    DECIDED = {
        case.name: case
        for case in load_model_tests(kind="node")
        if {n.op_type for n in every_node(case.model.graph.node)} <= SUPPORTED | CONTROL | FINDERS
        and decisive_inputs(case.model)
        and not re.search(LEFT_OUT, case.name)
    }


def array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


@pytest.mark.parametrize("name", sorted(DECIDED))
def test_a_case_agrees_whose_decisive_inputs_are_known(name: str) -> None:
    case, model = DECIDED[name], onnx.ModelProto()
    model.CopyFrom(case.model)
    given = zip(model.graph.input, case.data_sets[0][0], strict=True)
    inputs = {info.name: array(value) for info, value in given}
    for decisive in decisive_inputs(model):
        value = np.asarray(inputs[decisive])
        model.graph.initializer.append(numpy_helper.from_array(value, decisive))
    outputs = computed(import_entry(model, TARGET).variants[0], {}, inputs)
    for info, expected in zip(model.graph.output, case.data_sets[0][1], strict=True):
        wanted, got = np.asarray(array(expected)), outputs[info.name]
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(got, wanted, *_TOLERANCES.get(wanted.dtype.name, (1e-4, 1e-5)))
