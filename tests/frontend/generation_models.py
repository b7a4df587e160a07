"""Small seeded models that generate sequences, as ONNX Runtime's tools write them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx_models import Arrays, value_info

DOMAIN, OPSET = "com.microsoft", 14
WORDS, WIDTH, HEADS, LAYERS, PLACES = 37, 16, 2, 2, 32
COLUMNS = WIDTH // HEADS
INT32, FLOAT = TensorProto.INT32, TensorProto.FLOAT


@dataclass
class Writer:
    """A graph that is being written; ``seed`` is of its weights."""

    seed: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __call__(
        self,
        op: str,
        *inputs: str | np.ndarray | np.float32,
        outputs: int = 1,
        domain: str = "",
        **attrs: Any,
    ) -> Any:
        """The result of a node, or the results; arrays become weights."""
        names = [x if isinstance(x, str) else self.weight(np.asarray(x)) for x in inputs]
        made = [f"{op}_{len(self.nodes)}_{i}" for i in range(outputs)]
        node = helper.make_node(op, names, made, f"{op}_{len(self.nodes)}", domain=domain, **attrs)
        self.nodes.append(node)
        return made[0] if outputs == 1 else made

    def weight(self, array: np.ndarray) -> str:
        for name, known in self.weights.items():
            if known is array:
                return name
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        rng = np.random.default_rng([self.seed, len(self.weights), *shape])
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def fixed(self, name: str, *shape: int, scale: float = 1.0) -> np.ndarray:
        """A weight that is the same in all graphs."""
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode())])
        array = (scale * rng.standard_normal(shape)).astype(np.float32)
        return self.arrays.setdefault(name, array)

    def dense(self, x: str, rows: int, columns: int) -> str:
        y = self("MatMul", x, self.normal(rows, columns, scale=1.5 / rows**0.5))
        return str(self("Add", y, self.normal(columns, scale=0.1)))

    def norm(self, x: str) -> str:
        """As it is before operator set 17."""
        two, epsilon = np.float32(2), np.float32(1e-5)
        apart = self("Sub", x, self("ReduceMean", x, axes=[-1]))
        spread = self("ReduceMean", self("Pow", apart, two), axes=[-1])
        y = self("Div", apart, self("Sqrt", self("Add", spread, epsilon)))
        y = self("Mul", y, 1 + self.normal(WIDTH, scale=0.1))
        return str(self("Add", y, self.normal(WIDTH, scale=0.1)))

    def graph(
        self,
        name: str,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> onnx.GraphProto:
        """``outputs`` are the values that they are, and their shapes, by name."""
        named = [helper.make_node("Identity", [v], [n]) for n, (v, _) in outputs.items()]
        infos = [helper.make_tensor_value_info(n, FLOAT, s) for n, (_, s) in outputs.items()]
        constants = [numpy_helper.from_array(np.asarray(a), n) for n, a in self.weights.items()]
        return helper.make_graph([*self.nodes, *named], name, list(inputs), infos, constants)


def info(name: str, *shape: int | str, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


# ---- GPT-2 ----


def gpt(
    *, fused: bool, seed: int = 1, layers: int = LAYERS, last_alone: bool = False
) -> onnx.GraphProto:
    """A decoder with past, by ONNX Runtime's operators or by the exporter's; ``last_alone``: its
    logits are of the last token."""
    w = Writer(seed)
    table = w.normal(WORDS, WIDTH)
    x = w("Gather", table, "input_ids")
    x = w("Add", x, w("Gather", w.normal(PLACES, WIDTH, scale=0.5), "position_ids"))
    presents = []
    for layer in range(layers):
        attend = _fused_attention if fused else _attention
        y, present = attend(w, w.norm(x), f"past_{layer}")
        presents.append(present)
        x = w("Add", x, w.dense(y, WIDTH, WIDTH))
        y = w.dense(w.norm(x), WIDTH, 2 * WIDTH)
        x = w("Add", x, w.dense(w("Relu", y), 2 * WIDTH, WIDTH))
    x = w.norm(x)
    if last_alone:
        x = w("Slice", x, *(np.array([n]) for n in (-1, 2**31, 1)))
    logits = w("MatMul", x, np.ascontiguousarray(table.T))
    past = (2, "batch", HEADS, "past", COLUMNS)
    inputs = [
        info("input_ids", "batch", "tokens", dtype=INT32),
        info("position_ids", "batch", "tokens", dtype=INT32),
        info("attention_mask", "batch", "all", dtype=INT32),
        *(info(f"past_{i}", *past) for i in range(layers)),
    ]
    present = (2, "batch", HEADS, "all", COLUMNS)
    outputs = {"logits": (logits, ("batch", 1 if last_alone else "tokens", WORDS))}
    outputs |= {f"present_{i}": (p, present) for i, p in enumerate(presents)}
    return w.graph("gpt2 decoder", inputs, outputs)


def _fused_attention(w: Writer, x: str, past: str) -> tuple[str, str]:
    return tuple(w(
        "Attention", x, w.normal(WIDTH, 3 * WIDTH, scale=0.4), w.normal(3 * WIDTH, scale=0.1),
        "attention_mask", past,
        outputs=2, domain=DOMAIN, num_heads=HEADS, unidirectional=1,
    ))  # fmt: skip


def _attention(w: Writer, x: str, past: str) -> tuple[str, str]:
    """As PyTorch's exporter writes it."""
    heads = np.array([0, 0, HEADS, COLUMNS])
    parts = w("Split", w.dense(x, WIDTH, 3 * WIDTH), np.array([WIDTH] * 3), outputs=3, axis=2)
    q, k, v = (w("Transpose", w("Reshape", p, heads), perm=[0, 2, 1, 3]) for p in parts)
    before = w("Split", past, np.array([1, 1]), outputs=2, axis=0)
    first = [w("Squeeze", p, np.array([0])) for p in before]
    k, v = (w("Concat", a, b, axis=2) for a, b in zip(first, (k, v), strict=True))
    present = w("Concat", *(w("Unsqueeze", x, np.array([0])) for x in (k, v)), axis=0)
    scores = w("MatMul", q, w("Transpose", k, perm=[0, 1, 3, 2]))
    scores = w("Div", scores, np.float32(COLUMNS**0.5))
    own, every = (w("Gather", w("Shape", x), np.array([2]), axis=0) for x in (q, k))
    begin, axis = w("Sub", every, own), np.array([2])
    causal = w("Slice", np.tril(np.ones((1, 1, PLACES, PLACES), bool)), begin, every, axis)
    causal = w("Slice", causal, np.array([0]), every, np.array([3]))
    scores = w("Where", causal, scores, np.float32(-10000))
    mask = w("Unsqueeze", w("Cast", "attention_mask", to=FLOAT), np.array([1, 2]))
    mask = w("Mul", w("Sub", np.float32(1), mask), np.float32(-10000))
    y = w("MatMul", w("Softmax", w("Add", scores, mask), axis=-1), v)
    return w("Reshape", w("Transpose", y, perm=[0, 2, 1, 3]), np.array([0, 0, WIDTH])), present


# ---- whole models ----


def search(
    op: str,
    inputs: Arrays,
    order: Sequence[str],
    graphs: Mapping[str, onnx.GraphProto],
    *,
    outputs: Sequence[str] = ("sequences",),
    constants: Arrays | None = None,
    opset: int = OPSET,
    **attrs: Any,
) -> onnx.ModelProto:
    """A model of one node, whose inputs are in this ``order`` if there are such."""
    given = {**inputs, **(constants or {})}
    names = [name if name in given else "" for name in order]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op, names, list(outputs), "search", domain=DOMAIN, **attrs)
    node.attribute.extend(helper.make_attribute(n, g) for n, g in graphs.items())
    kinds = {"sequences": INT32}
    graph = helper.make_graph(
        [node],
        "search",
        [value_info(n, a) for n, a in inputs.items()],
        [helper.make_tensor_value_info(o, kinds.get(o, FLOAT), None) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in (constants or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)
