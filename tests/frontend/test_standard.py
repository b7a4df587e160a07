"""The standard's own tests: the node cases that come with onnx, of every operator we import.

Each agrees with the expected outputs, or is refused for a reason listed here; none is ever wrong.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx_models import TARGET, UnexpectedError
from sized_models import computed

from luthier.frontend import import_entry, import_model
from luthier.frontend.control.stages import CONTROL, FINDERS
from luthier.frontend.onnx.operators import BUILD_TIME, SUPPORTED
from luthier.frontend.onnx.scopes import every_node
from luthier.schedules import ModelError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # onnx's cases overflow and divide by zero on purpose
    STANDARD = {
        case.name: case
        for case in load_model_tests(kind="node")
        if {n.op_type for n in every_node(case.model.graph.node)} <= SUPPORTED | CONTROL | FINDERS
    }

# Refused, by the case's name: what the message says.
_TYPES = "BFLOAT16|bfloat16|bf16|FLOAT8|FLOAT4|e4m3|e5m2|e2m1|U?INT4|U?INT2|u?int4$|u?int2$|string"
REFUSED: Mapping[str, str] = {
    _TYPES: r"element type \w+, which is not supported",
    "identity_(opt|sequence)": "is not a tensor",
    "sequence_(insert|map)|loop13_seq": "is not a tensor",
    "split_to_sequence_[12]": "sizes that are not known are not supported",
    "split_to_sequence_nokeepdims|if_seq": "the sequence '.*' is not supported here",
    "loop11": "a size that is found in a loop or branch",  # each iteration keeps more rows
    "training_mode|training_dropout(_default)?(_mask)?$": "training mode is not supported",
    "maxpool_with_argmax": "its result 'z' is not supported",
    "^test_not_[234]d$": "operator set 1, older than 7",
}

# Those whose expected output contradicts the standard's text (and ONNX Runtime): it divides by the
# unrounded length where the text says the length of the result.
WRONG = {
    "test_resize_downsample_scales_linear_align_corners",
    "test_resize_downsample_scales_cubic_align_corners",
}


def array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def with_known_inputs(case: Any) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model, inputs that decide shapes made constants, and its inputs."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs = {
        i.name: array(a) for i, a in zip(model.graph.input, case.data_sets[0][0], strict=True)
    }
    decisive = decisive_inputs(model)
    for name, value in inputs.items():
        if name in decisive:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return model, inputs


def decisive_inputs(model: onnx.ModelProto) -> set[str]:
    """What inputs that must be known at build time are computed from; weights and zero points."""
    needed: set[str] = set()
    for node in reversed(model.graph.node):
        wanted = range(len(node.input)) if needed.intersection(node.output) else ()
        wanted = (*wanted, *BUILD_TIME.get(node.op_type, ()), *OTHERS.get(node.op_type, ()))
        needed |= {node.input[i] for i in wanted if i < len(node.input)}
        if node.op_type == "Loop" and any(node.output[len(node.input) - 2 :]):
            needed |= {*node.input[:2]}  # what is kept has a row for each iteration
    return needed


# Weights are known in trained models.
OTHERS = {"ConvTranspose": (1,), "CastLike": (1,), "Dropout": (1,)}


def refusal(name: str) -> str | None:
    return next((said for pattern, said in REFUSED.items() if re.search(pattern, name)), None)


@pytest.mark.parametrize("name", sorted(n for n in STANDARD if n not in WRONG and not refusal(n)))
def test_a_case_of_the_standard_agrees(name: str) -> None:
    case = STANDARD[name]
    model, inputs = with_known_inputs(case)
    outputs = computed(import_entry(model, TARGET).variants[0], {}, inputs)
    for info, expected in zip(model.graph.output, case.data_sets[0][1], strict=True):
        wanted, got = np.asarray(array(expected)), outputs[info.name]
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        rtol = max(case.rtol, 2e-3 if wanted.dtype == np.float16 else 1e-4)
        atol = max(case.atol, 1e-3 if wanted.dtype == np.float16 else 1e-5)
        np.testing.assert_allclose(got, wanted, rtol, atol)


@pytest.mark.parametrize("name", sorted(n for n in STANDARD if refusal(n)))
def test_a_case_outside_of_our_reach_is_refused_in_one_line(name: str) -> None:
    model, _ = with_known_inputs(STANDARD[name])
    with pytest.raises(ModelError, match=refusal(name)) as refused:
        import_model(model, TARGET)
    assert "\n" not in str(refused.value)


# What decides a shape or an attribute is left an input: refused by the case's name, with what is
# said. Where only a bound is missing, the shape is that of a value inside of the model.
BOUND = "nothing says how large"
GIVEN: Mapping[str, str] = {
    "training_dropout": "must be known at build time",
    "window_gqa_rank4_mask_expanded|flexattention_double_expanded": "it needs float32",
    **REFUSED,
    r"(affine_grid|(hann|hamming|blackman)window|center_crop_pad)_.*expanded": BOUND,
    "resize_downsample_scales_cubic(_align|_A|$)": "a scale of run time",
    "upsample_scales_linear_half_pixel_symmetric": "a scale of run time",
    "resize_tf_crop": "region",
    "sizes_nearest_not_": "to keep an aspect ratio",
}
# Those whose scale no declared shape tells: what does is a multiple, which the run asks for.
OTHER_SCALES = "resize_downsample_scales_(linear|nearest|cubic_antialias)"
DECIDED = sorted(
    name
    for name, case in STANDARD.items()
    if name not in WRONG
    and not (name.startswith("test_reduce_") and name.endswith("_expanded"))
    and not {node.op_type for node in case.model.graph.node} & (CONTROL | {"ConvTranspose"})
    and decisive_inputs(case.model) & {i.name for i in case.model.graph.input}
)


@pytest.mark.slow
@pytest.mark.parametrize("name", DECIDED)
def test_a_case_agrees_whose_values_are_known_at_run_time_alone(name: str) -> None:
    case = STANDARD[name]
    inputs = {
        i.name: np.asarray(array(a))
        for i, a in zip(case.model.graph.input, case.data_sets[0][0], strict=True)
    }
    said = next((said for pattern, said in GIVEN.items() if re.search(pattern, name)), None)
    if said is not None:
        with pytest.raises(ModelError, match=said):
            import_entry(case.model, TARGET)
        return
    program = import_entry(case.model, TARGET).variants[0]
    if re.search(OTHER_SCALES, name):
        with pytest.raises(UnexpectedError, match="whether its scales are"):
            computed(program, {}, inputs)
        return
    outputs = computed(program, {}, inputs)
    for info, expected in zip(case.model.graph.output, case.data_sets[0][1], strict=True):
        wanted, got = np.asarray(array(expected)), outputs[info.name]
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(got, wanted, 2e-3, 1e-3)
