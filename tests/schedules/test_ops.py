"""An operator is one object: adding one touches one file."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pytest
from caller import verify
from workloads import Builder

from luthier.schedules import Node, Tensor, ops
from luthier.schedules.ops.counts import flops
from luthier.schedules.ops.evaluate import evaluate
from luthier.schedules.ops.numbers import numpy

CUBE = ops.Elementwise(
    "cube",
    1,
    numpy(lambda x: x * x * x),
    emit=lambda node, args, dtypes, let: args[0] * args[0] * args[0],
)


@pytest.fixture
def cube(monkeypatch: pytest.MonkeyPatch) -> None:
    known = MappingProxyType({**ops.OPERATORS, "cube": CUBE})
    monkeypatch.setattr(ops, "OPERATORS", known)


def test_an_operator_of_its_own_is_fused_counted_compiled_and_checked(cube: None) -> None:
    """One object defines all of it."""
    b = Builder()
    x = b.add("relu", b.input((3, 20)))
    b.add("sum", b.add("cube", x), shape=(3,), axes=(1,), keepdims=False)
    workload = b.workload
    assert flops(workload) == 3 * 20 * 3
    verify(workload, "x86-64-v2", template="reduction")


def test_a_type_follows_from_arguments_and_attributes(cube: None) -> None:
    wide, row = Tensor((2, 1, 5), "float32"), Tensor((3, 1), "float32")
    assert CUBE.infer([wide], {}) == wide
    assert ops.OPERATORS["add"].infer([wide, row], {}) == Tensor((2, 3, 5), "float32")
    assert ops.OPERATORS["less"].infer([wide, row], {}) == Tensor((2, 3, 5), "bool")
    summed = ops.OPERATORS["sum"].infer([wide], {"axes": (2,), "keepdims": False})
    assert summed == Tensor((2, 1), "float32")
    with pytest.raises(AssertionError, match="must be given"):
        ops.OPERATORS["reshape"].infer([wide], {})


@pytest.mark.parametrize("operator", ops.OPERATORS.values(), ids=lambda o: o.name)
def test_every_operator_is_of_one_kind(operator: ops.Known) -> None:
    kinds = (operator.is_anchor, operator.is_elementwise, operator.is_movement)
    assert sum(kinds) == 1
    assert operator.is_fusible is not operator.is_anchor
    assert not operator.is_fallback


def test_an_unknown_operator_fits_no_template() -> None:
    for name, falls_back in (("relax.sort", True), ("sort", False)):
        operator = ops.named(name)
        assert not operator.is_fusible
        assert not operator.is_anchor
        assert operator.is_fallback is falls_back


def test_a_node_is_evaluated_by_its_operator(cube: None) -> None:
    x = np.array([1, 2, -3], np.float32)
    np.testing.assert_array_equal(evaluate(Node("cube", (0,), Tensor((3,))), [x]), x**3)
