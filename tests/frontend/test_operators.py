"""Every operator computes what ONNX Runtime computes, on odd shapes and with its attributes."""

from __future__ import annotations

import pytest
from cases_math import CASES as MATH
from cases_movement import CASES as MOVEMENT
from cases_nn import CASES as NN
from onnx_models import Case, agree

CASES = [*MATH, *MOVEMENT, *NN]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_an_operator_means_what_onnx_says(case: Case) -> None:
    agree(case.model, case.inputs)
