"""No operator is imported without a test."""

from __future__ import annotations

from contextlib import suppress

import pytest
from onnx import defs, helper
from onnx_models import TARGET, floats, model
from test_operators import CASES

from luthier.frontend import import_model
from luthier.frontend.onnx.operators import BUILD_TIME, SUPPORTED
from luthier.frontend.onnx.random import RANDOM
from luthier.frontend.program import Branch, Expect
from luthier.frontend.program.steps import walk
from luthier.schedules import ModelError, UnsupportedOperator


def test_every_operator_has_a_case_and_every_case_an_operator() -> None:
    """But random ones, which have tests of their own."""
    assert {case.op for case in CASES} == SUPPORTED - RANDOM


def test_every_name_is_an_operator_of_the_standard() -> None:
    known = {schema.name for schema in defs.get_all_schemas_with_history() if not schema.domain}
    assert known >= SUPPORTED
    assert BUILD_TIME.keys() <= SUPPORTED


@pytest.mark.parametrize("op", ["RegexFullMatch", "StringNormalizer", "TfIdf"])
def test_any_other_operator_is_refused_by_its_name(op: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], name="the_node")
    with pytest.raises(UnsupportedOperator, match=rf"1 operator .* {op} \(1 node, 'the_node'\)"):
        import_model(model([node], {"x": floats(3, 3)}, ["y"]), TARGET)


@pytest.mark.parametrize(
    ("domain", "op", "said"),
    [
        ("", "TfIdf", "express them by other operators when exporting"),
        ("ai.onnx.preview.training", "Adadelta", "export for inference"),
    ],
)
def test_what_is_refused_is_refused_with_what_to_do(domain: str, op: str, said: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], domain=domain)
    made = model([node], {"x": floats(3, 3)}, ["y"])
    if domain:
        made.opset_import.add(domain=domain, version=1)
    with pytest.raises(UnsupportedOperator, match=rf"{op} \(1 node, 'y'\): {said}"):
        import_model(made, TARGET)


@pytest.mark.parametrize(("op", "index"), [(op, i[-1]) for op, i in sorted(BUILD_TIME.items())])
def test_inputs_that_decide_shapes_are_known_for_one_program(op: str, index: int) -> None:
    """Left to a run, they are asked for, found, or refused by name; see ``test_values``."""
    case = next(c for c in CASES if c.op == op and index in c.constants)
    constants = tuple(c for c in case.constants if c != index)
    changed = type(case)(op, case.arguments, case.attrs, constants, case.outputs, case.opset)
    with suppress(ModelError):
        program = import_model(changed.model, TARGET)
        assert any(isinstance(step, Expect | Branch) for step in walk(program.region))
