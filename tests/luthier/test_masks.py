"""Masks of attention, however they are spelled: what they take away has no part in the result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from luthier import load
from luthier.deploy.building import build
from luthier.frontend import Library, import_model
from luthier.schedules.target import host

HEADS, ROWS, KEYS, DEPTH = 2, 9, 11, 4
HIDDEN = (2, 5, 7)  # keys that no row may see


class Model:
    """Attention with the scores masked in several ways, each an output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.outputs: list[str] = []

    def add(self, op: str, *args: str, **attrs: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, args, [name], **attrs))
        return name

    def number(self, value: float) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value, np.float32)
        return name

    def scores(self) -> str:
        q = self.add("Mul", "q", self.number(0.5 + len(self.outputs)))  # each its own
        return self.add("MatMul", q, self.add("Transpose", "k", perm=[0, 1, 3, 2]))

    def attend(self, scores: str, *, empty_is_zero: bool = False) -> None:
        weights = self.add("Softmax", scores, axis=-1)
        if empty_is_zero:
            empty = self.add("IsNaN", weights)
            weights = self.add("Where", empty, self.number(0.0), weights)
        self.outputs.append(self.add("MatMul", weights, "v"))

    def proto(self, constant: dict[str, np.ndarray]) -> onnx.ModelProto:
        kinds = {"keep": TensorProto.BOOL, "row": TensorProto.BOOL}
        given = {n: a for n, a in inputs().items() if n not in constant}
        graph = helper.make_graph(
            self.nodes,
            "masks",
            [
                helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), a.shape)
                for n, a in given.items()
            ],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in self.outputs],
            [numpy_helper.from_array(a, n) for n, a in (self.constants | constant).items()],
        )
        opset = [helper.make_opsetid("", 18)]
        return helper.make_model(graph, opset_imports=opset, ir_version=8)


def inputs() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"q": (1, HEADS, ROWS, DEPTH), "k": (1, HEADS, KEYS, DEPTH), "v": (1, HEADS, KEYS, 3)}
    arrays = {n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()}
    for key, value in zip(HIDDEN, (np.inf, np.nan, -np.inf), strict=True):
        arrays["k"][:, :, key] = value
    keep = rng.random((ROWS, KEYS)) < 0.7
    keep[:, HIDDEN] = False
    keep[:, 0] = True
    keep[3] = False  # a row that sees nothing
    arrays["keep"] = keep
    arrays["row"] = np.ones((1, 1, 1, KEYS), np.bool_)
    arrays["row"][..., HIDDEN] = False
    arrays["added"] = np.where(rng.random((1, 1, ROWS, KEYS)) < 0.2, -3e38, 0.5).astype(np.float32)
    return arrays


def chosen(fill: float) -> Callable[[Model], None]:
    return lambda m: m.attend(m.add("Where", "keep", m.scores(), m.number(fill)))


def taken_away(m: Model) -> None:
    m.attend(m.add("Where", m.add("Not", "keep"), m.number(-np.inf), m.scores()))


def zero_where_empty(m: Model) -> None:
    masked = m.add("Where", "keep", m.scores(), m.number(-np.inf))
    m.attend(masked, empty_is_zero=True)


def chosen_then_added(m: Model) -> None:
    masked = m.add("Where", "keep", m.scores(), m.number(float(np.finfo(np.float32).min)))
    m.attend(m.add("Add", masked, "added"))


def added_then_chosen(m: Model) -> None:
    m.attend(m.add("Where", "keep", m.add("Add", "added", m.scores()), m.number(-np.inf)))


def chosen_twice(m: Model) -> None:
    inner = m.add("Where", "row", m.scores(), m.number(-3e38))
    m.attend(m.add("Where", "keep", inner, m.number(-np.inf)))


def added(m: Model) -> None:
    """Added, infinity stays what it is: infinity minus infinity is NaN."""
    zero, low = m.number(0.0), m.number(-np.inf)
    m.attend(m.add("Add", m.scores(), m.add("Where", "keep", zero, low)))


SPELLINGS = (
    chosen(-np.inf),
    chosen(-3e38),
    chosen(-1e9),
    taken_away,
    zero_where_empty,
    chosen_then_added,
    added_then_chosen,
    chosen_twice,
    added,
)
NOT_FUSED = 1  # a fill of -1e9 is not an infinity


@pytest.mark.parametrize("constant", [(), ("keep", "row"), ("added",)])
def test_a_mask_takes_away_what_is_infinite_or_nan(
    constant: tuple[str, ...], tmp_path: Path
) -> None:
    model = Model()
    for spell in SPELLINGS:
        spell(model)
    given = inputs()
    proto = model.proto({n: given.pop(n) for n in constant})
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    expected = dict(zip(model.outputs, session.run(model.outputs, given), strict=True))
    target = host(threads=1)
    program = import_model(proto, target)
    fused = [c for c in program.calls if any(n.op == "attention" for n in c.workload.nodes)]
    assert len(fused) == len(SPELLINGS) - NOT_FUSED
    build(Library.of(program), tmp_path / "out", target, {})
    with load(tmp_path / "out") as artifact:
        found = artifact.run(given)
    for name, want in expected.items():
        np.testing.assert_allclose(found[name], want, rtol=1e-4, atol=1e-5, err_msg=name)
    seen = np.isfinite(found[model.outputs[0]]).all(axis=(0, 1, 3))
    assert seen.sum() == ROWS - 1, "only the row that sees nothing is NaN"
