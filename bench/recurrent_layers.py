"""LSTM and GRU layers with seeded weights, as ONNX files and as modules of torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Gates of ONNX in torch's order: LSTM's i, o, f, g as i, f, g, o; GRU's z, r, n as r, z, n.
_ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}


def write(path: Path, op: str, hidden: int, batch: int, steps: int) -> None:
    """One layer that gives all steps and the last state, with as many inputs as hidden units."""
    rng, gates = np.random.default_rng(hidden), len(_ORDER[op])
    most = hidden**-0.5  # as torch begins

    def drawn(*shape: int) -> np.ndarray[Any, Any]:
        return rng.uniform(-most, most, shape).astype(np.float32)

    weights = {
        "w": drawn(1, gates * hidden, hidden),
        "r": drawn(1, gates * hidden, hidden),
        "b": drawn(1, 2 * gates * hidden),
    }
    attrs = {"linear_before_reset": 1} if op == "GRU" else {}
    outputs = {"y": (steps, 1, batch, hidden), "h": (1, batch, hidden)}
    node = helper.make_node(op, ["x", *weights], [*outputs], hidden_size=hidden, **attrs)
    graph = helper.make_graph(
        [node],
        f"{op.lower()}_{hidden}",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (steps, batch, hidden))],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def module(path: Path) -> Any:
    """A module that gives what the file gives: what torch runs itself, not compiled."""
    import torch

    model = onnx.load(path)
    (node,) = model.graph.node
    arrays = {t.name: numpy_helper.to_array(t)[0] for t in model.graph.initializer}
    gates, hidden = len(_ORDER[node.op_type]), arrays["r"].shape[1]

    def ordered(array: np.ndarray[Any, Any]) -> Any:
        parts = array.reshape(gates, hidden, *array.shape[1:])[list(_ORDER[node.op_type])]
        return torch.from_numpy(parts.reshape(array.shape).copy())

    layer = getattr(torch.nn, node.op_type)(hidden, hidden)
    own, other = np.split(arrays["b"], 2)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(ordered(arrays["w"]))
        layer.weight_hh_l0.copy_(ordered(arrays["r"]))
        layer.bias_ih_l0.copy_(ordered(own))
        layer.bias_hh_l0.copy_(ordered(other))
    return layer.eval()
