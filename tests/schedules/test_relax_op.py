"""Operators that TVM's own legalization computes, run under the same contract."""

from __future__ import annotations

import random

import numpy as np
import pytest
from caller import RUNNABLE, TARGETS, Library, compare, draw
from scipy import signal

from luthier.schedules import Node, ScheduleError, Tensor, Workload, node
from luthier.schedules.templates.registry import default, instantiate

TARGET = TARGETS[RUNNABLE[-1]]


def workload(op: str, inputs: list[Tensor], out: Tensor, **attrs: object) -> Workload:
    args = tuple(range(len(inputs)))
    return Workload(tuple(inputs), (False,) * len(inputs), (node(op, args, out, **attrs),))


def run(w: Workload, level: str, inputs: list[np.ndarray]) -> np.ndarray:
    target = TARGETS[level]
    schedule = default(w, target)
    assert (schedule.template, schedule.knobs) == ("relax", ())
    kernel = instantiate(w, target, schedule)
    return Library([kernel], target).run(0, inputs, random.Random(0))


@pytest.mark.parametrize("level", RUNNABLE)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_argmax(axis, level):
    kept = tuple(1 if i == axis else n for i, n in enumerate((3, 4, 17)))
    attrs = {"attrs": "relax.attrs.ArgmaxArgminAttrs", "axis": axis, "keepdims": True}
    w = workload("relax.argmax", [Tensor((3, 4, 17))], Tensor(kept, "int64"), **attrs)
    (x,) = draw(w)
    compare(run(w, level, [x]), x.argmax(axis=axis, keepdims=True), 0)


@pytest.mark.parametrize("level", RUNNABLE)
def test_gather_elements(level):
    tensors = [Tensor((5, 7)), Tensor((5, 3), "int64")]
    attrs = {"attrs": "relax.attrs.GatherElementsAttrs", "axis": 1}
    w = workload("relax.gather_elements", tensors, Tensor((5, 3)), **attrs)
    x = draw(w)[0]
    indices = np.random.default_rng(0).integers(0, 7, (5, 3))
    compare(run(w, level, [x, indices]), np.take_along_axis(x, indices, 1), 0)


@pytest.mark.parametrize("level", RUNNABLE)
def test_scatter_adds_up_where_indices_meet(level):
    tensors = [Tensor((6, 5)), Tensor((4, 1), "int64"), Tensor((4, 5))]
    attrs = {"attrs": "relax.attrs.ScatterNDAttrs", "reduction": "add"}
    w = workload("relax.scatter_nd", tensors, Tensor((6, 5)), **attrs)
    x, _, updates = draw(w)
    indices = np.array([[1], [4], [1], [0]])
    want = x.copy()
    np.add.at(want, indices[:, 0], updates)
    compare(run(w, level, [x, indices, updates]), want, 1e-6)


@pytest.mark.parametrize("level", RUNNABLE)
def test_conv3d_has_a_temporary_for_its_padded_input(level):
    attrs = {
        "attrs": "relax.attrs.Conv3DAttrs",
        "strides": (1, 1, 1),
        "padding": (1, 0, 1, 1, 0, 1),
        "dilation": (1, 1, 1),
        "groups": 1,
        "data_layout": "NCDHW",
        "kernel_layout": "OIDHW",
        "out_layout": "NCDHW",
    }
    tensors = [Tensor((1, 1, 4, 5, 6)), Tensor((2, 1, 3, 2, 3))]
    w = workload("relax.nn.conv3d", tensors, Tensor((1, 2, 4, 4, 6)), **attrs)
    x, kernel = draw(w)
    assert instantiate(w, TARGET, default(w, TARGET)).temps
    padded = np.pad(x[0, 0], ((1, 1), (0, 0), (1, 1)))
    want = np.stack([signal.correlate(padded, kernel[o, 0], "valid") for o in range(2)])[None]
    compare(run(w, level, [x, kernel]), want, 1e-5)


def test_arguments_that_are_not_tensors_are_attributes():
    w = workload("relax.tril", [Tensor((5, 6))], Tensor((5, 6)), arg1=1)
    (x,) = draw(w)
    compare(run(w, RUNNABLE[-1], [x]), np.tril(x, 1), 0)


SHAPE = Tensor((5, 6))
SCAN = {"attrs": "relax.attrs.ScanopAttrs", "axis": 1, "exclusive": False}
REFUSED: dict[str, Node] = {
    "an operator TVM does not have": node("relax.rot13", (0,), SHAPE),
    "one whose code is in TVM's runtime": node("relax.cumsum", (0,), SHAPE, **SCAN),
    "one whose result has no shape": node("relax.nonzero", (0,), Tensor((2, 3), "int64")),
    "attributes of no operator": node("relax.argmax", (0,), SHAPE, attrs="node.Node"),
    "no attributes": node("relax.nn.max_pool3d", (0,), SHAPE),
    "attributes of another operator": node("relax.nn.max_pool3d", (0,), SHAPE, **SCAN),
    "attributes without fields": node("relax.argmax", (0,), SHAPE, attrs="relax.attrs.Nothing"),
    "an argument that is missing": node("relax.tril", (0,), SHAPE),
    "an argument out of place": node("relax.tril", (0,), SHAPE, arg5=1),
    "an axis that is not there": node(
        "relax.argmax", (0,), SHAPE, attrs="relax.attrs.ArgmaxArgminAttrs", axis=7, keepdims=False
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operator_that_tvm_cannot_compile_is_refused_in_one_line(name):
    w = Workload((SHAPE,), (False,), (REFUSED[name],))
    with pytest.raises(ScheduleError) as caught:
        instantiate(w, TARGET, default(w, TARGET))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
