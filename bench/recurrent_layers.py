"""LSTMs and GRUs with seeded weights, as ONNX files and as modules of torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Gates of ONNX in torch's order: LSTM's i, o, f, g as i, f, g, o; GRU's z, r, n as r, z, n.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}


class Kind(NamedTuple):
    """Of a network: its operator, layers on top of each other, and directions of each."""

    op: str
    layers: int = 1
    directions: int = 1


KINDS: Mapping[str, Kind] = {
    "LSTM": Kind("LSTM"),
    "GRU": Kind("GRU"),
    "LSTMx2": Kind("LSTM", 2),
    "GRUx2": Kind("GRU", 2),
    "BiLSTM": Kind("LSTM", 1, 2),
    "BiGRU": Kind("GRU", 1, 2),
    "BiLSTMx2": Kind("LSTM", 2, 2),
    "BiGRUx2": Kind("GRU", 2, 2),
}


def write(path: Path, kind: str, hidden: int, batch: int, steps: int) -> None:
    """A network with as many inputs as hidden units; it gives all steps and the last state of its
    last layer."""
    (op, layers, directions), rng = KINDS[kind], np.random.default_rng(hidden)
    gates, most = len(_ORDER[op]), hidden**-0.5  # as torch begins

    def drawn(*shape: int) -> np.ndarray[Any, Any]:
        return rng.uniform(-most, most, shape).astype(np.float32)

    attrs: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}
    if directions == 2:
        attrs["direction"] = "bidirectional"
    rows = "rows"  # the shape of what the next layer reads
    constants = {rows: np.array([steps, batch, directions * hidden])} if layers > 1 else {}
    nodes, given, width = [], "x", hidden
    for i in range(layers):
        last = i + 1 == layers
        weights = {
            f"w{_number(i)}": drawn(directions, gates * hidden, width),
            f"r{_number(i)}": drawn(directions, gates * hidden, hidden),
            f"b{_number(i)}": drawn(directions, 2 * gates * hidden),
        }
        constants |= weights
        gives = ["y", "h"] if last else [f"y{i}"]
        nodes.append(helper.make_node(op, [given, *weights], gives, hidden_size=hidden, **attrs))
        if not last:
            nodes.append(helper.make_node("Transpose", [f"y{i}"], [f"t{i}"], perm=[0, 2, 1, 3]))
            nodes.append(helper.make_node("Reshape", [f"t{i}", rows], [f"x{i + 1}"]))
            given, width = f"x{i + 1}", directions * hidden
    outputs = {"y": (steps, directions, batch, hidden), "h": (directions, batch, hidden)}
    graph = helper.make_graph(
        nodes,
        f"{kind.lower()}_{hidden}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (steps, batch, hidden))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def _number(layer: int) -> str:
    """Of a layer, in names of its weights."""
    return str(layer) if layer else ""


def module(path: Path) -> Any:
    """A module that gives what the file gives: what torch runs itself, not compiled."""
    import torch

    model = onnx.load(path)
    arrays = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type in _ORDER]
    op, (directions, _, hidden) = layers[0].op_type, arrays["r"].shape
    gates = len(_ORDER[op])

    def ordered(array: np.ndarray[Any, Any]) -> Any:
        parts = array.reshape(gates, hidden, *array.shape[1:])[list(_ORDER[op])]
        return torch.from_numpy(parts.reshape(array.shape).copy())

    both = {"bidirectional": directions == 2}
    layer = getattr(torch.nn, op)(hidden, hidden, len(layers), **both)
    with torch.no_grad():
        for i, direction in itertools.product(range(len(layers)), range(directions)):
            of = f"l{i}{'_reverse' * direction}"
            own, other = np.split(arrays[f"b{_number(i)}"][direction], 2)
            getattr(layer, f"weight_ih_{of}").copy_(ordered(arrays[f"w{_number(i)}"][direction]))
            getattr(layer, f"weight_hh_{of}").copy_(ordered(arrays[f"r{_number(i)}"][direction]))
            getattr(layer, f"bias_ih_{of}").copy_(ordered(own))
            getattr(layer, f"bias_hh_{of}").copy_(ordered(other))
    return layer.eval()
