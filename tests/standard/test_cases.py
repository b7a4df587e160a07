"""Every case of the standard passes, or is listed with the reason why it does not.

``python -m tests.standard --write`` writes the list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from luthier.frontend.control.stages import BY_RULES, FINDERS
from luthier.frontend.onnx.functions import spelled_operators
from luthier.frontend.onnx.opset import NEWEST
from tests.fuzz.workers import Worker
from tests.standard.cases import Case
from tests.standard.judge import fault
from tests.standard.left import CONTRADICTED, counts, read_left
from tests.standard.trial import attempt
from tests.standard.tried import every_case, reasons

PARTS = 36  # of all cases in order: each is one library
LEFT = read_left()


@pytest.fixture(scope="session")
def worker() -> Iterator[Worker]:
    with Worker("tests.standard.worker") as process:
        yield process


@pytest.fixture(scope="session")
def operators(worker: Worker) -> dict[str, list[str]]:
    return every_case(worker)


@pytest.mark.parametrize("part", range(PARTS))
def test_the_cases_that_are_not_listed_pass_and_no_others(
    worker: Worker, operators: dict[str, list[str]], part: int
) -> None:
    names = list(operators)
    mine = names[len(names) * part // PARTS : len(names) * (part + 1) // PARTS]
    found = {name: why for name, why in reasons(worker, mine).items() if why}
    wanted = {name: LEFT[name] for name in mine if name in LEFT}
    assert found.keys() == wanted.keys(), [
        *(f"{name} does not pass: {found[name]}" for name in found.keys() - wanted.keys()),
        *(f"{name} passes now: write the list anew" for name in wanted.keys() - found.keys()),
    ]
    for name, why in found.items():
        assert why.startswith("refused") or name in CONTRADICTED, f"{name}: {why}"


def test_each_listed_case_is_refused_in_one_line_or_contradicts_the_standard() -> None:
    for name, why in LEFT.items():
        assert why == CONTRADICTED.get(name, why)
        assert why.startswith(("refused: ", "refused when it runs: ")) or name in CONTRADICTED


def test_each_listed_case_is_one(operators: dict[str, list[str]]) -> None:
    assert len(operators) > 2000
    assert operators.keys() >= LEFT.keys()


class _Made:
    """A case as onnx has them."""

    def __init__(self, expected: np.ndarray[Any, Any], op: str = "Neg") -> None:
        kind = helper.np_dtype_to_tensor_dtype(expected.dtype)
        x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in "xy")
        y.type.tensor_type.elem_type = kind
        graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "made", [x], [y])
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        self.data_sets = [([np.array([1, -2], np.float32)], [expected])]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (_Made(np.array([-1, 2], np.float32)), ""),
        (_Made(np.array([-1, 2.01], np.float32)), "wrong: 'y': 1 of 2 elements differ"),
        (_Made(np.array([-1, np.nan], np.float32)), "wrong: 'y': 1 of 2 elements differ"),
        (_Made(np.array([[-1, 2]], np.float32)), "wrong: 'y': float32[2], not float32[1,2]"),
        (
            _Made(np.array([-1, 2], np.float32), "TfIdf"),
            "refused: 1 operator is not supported: TfIdf",
        ),
    ],
)
def test_a_case_that_is_wrong_does_not_pass(made: Any, why: str) -> None:
    found = attempt([Case("made", made)], lambda doing, name: None)["made"]
    assert found.startswith(why)
    assert bool(found) == bool(why)


@pytest.mark.parametrize(
    ("given", "wanted", "said"),
    [
        ([], [], ""),
        ([np.ones(2)], [np.ones(2)], ""),
        ([np.ones(2)], [np.zeros(2)], "2 of 2 elements differ"),
        ([np.ones(2)], [], "1 tensors, not 0 tensors"),
        (np.ones(2), [np.ones(2)], "float64[2], not 1 tensors"),
        (None, None, ""),
        (None, [], "nothing, not 0 tensors"),
        (np.ones(2), None, "float64[2], not nothing"),
    ],
)
def test_sequences_are_compared_tensor_by_tensor(given: Any, wanted: Any, said: str) -> None:
    assert fault(given, wanted) == said


def test_the_worker_survives_what_its_cases_do_not(tmp_path: Any) -> None:
    """The case that ended it is told, and the others are tried again."""

    class Dying(Worker):
        def ask(self, request: dict[str, Any], seconds: float) -> list[dict[str, Any]]:
            names = request["names"]
            if "b" in names:
                raise _dead(names)
            return [{"name": name, "why": ""} for name in names]

    def _dead(names: list[str]) -> Exception:
        from tests.fuzz.workers import DeadError

        known = len(names) > 3
        return DeadError(False, "SIGSEGV", "build" if known else "run", "a b" if known else "b")

    with Dying("tests.standard.worker") as worker:
        found = reasons(worker, ["a", "b", "c", "d"])
    assert {name for name, why in found.items() if not why} == {"a", "c", "d"}
    assert found["b"] == "fault: the process died: SIGSEGV (run)"


def test_what_is_listed_as_left_is_counted() -> None:
    operators = {"one": ["Add"], "two": ["Add", "Det"], "three": ["Det"]}
    assert counts(operators, {"two": "", "three": ""}) == {"Add": (1, 2), "Det": (0, 2)}


def test_what_the_documentation_lists_passes(operators: dict[str, list[str]]) -> None:
    """Each operator on the page passes in some of its cases, and what passes in some is on it,
    unless it is spelled by others."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    section = page.split("\n## Operators\n", 1)[1].split("\n## ", 1)[0]
    listed = set(re.findall(r"`(\w+)`", section))
    everything = frozenset(listed)
    passed = {op: count for op, (count, _) in counts(operators, LEFT).items()}
    # What is drawn is another's; in the one case of Optional data decide whether it is there.
    listed -= {"Bernoulli", "RandomUniformLike", "Optional"}
    assert not {op for op in listed & passed.keys() if not passed[op]}
    alone = [ops for name, ops in operators.items() if name not in LEFT and len(ops) == 1]
    single = {op for ops in alone for op in ops if "." not in op}
    spelled = spelled_operators(NEWEST)
    assert not single - everything - spelled - FINDERS - BY_RULES
