"""Small models that have states: a decoder with a cache of keys and values, and recurrent cells."""

from __future__ import annotations

import numpy as np
import onnx
from onnx_models import floats
from sized_models import N, integers, opened

VOCABULARY, WIDTH, HEADS, DEPTH, LAYERS = 31, 16, 2, 8, 2
STATES = {
    f"{past}": past.replace("past", "present")
    for layer in range(LAYERS)
    for past in (f"past_{layer}.key", f"past_{layer}.value")
}


def decoder(tokens: int | str = "tokens", past: int | str = "past") -> onnx.ModelProto:
    """An embedding of tokens and places, two layers of causal attention over the past and what is
    new, and a projection to the vocabulary."""
    rng = np.random.default_rng(7)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32)

    constants = {
        "embedding": weight(VOCABULARY, WIDTH),
        "places": weight(64, WIDTH),
        "heads": integers(0, 0, HEADS, DEPTH),
        "joined": integers(0, 0, WIDTH),
        "zero": np.asarray(0, np.int64),
        "one": np.asarray(1, np.int64),
        "two": np.asarray(2, np.int64),
        "rows": integers(0),
        "columns": integers(1),
        "masked": np.asarray(-1e30, np.float32),
        "open": np.asarray(0, np.float32),
        "scale": np.asarray(DEPTH**-0.5, np.float32),
        "out": weight(WIDTH, VOCABULARY),
    }
    nodes = [
        N("Gather", ["embedding", "ids"], ["embedded"]),
        N("Shape", ["ids"], ["ids_shape"]),
        N("Gather", ["ids_shape", "one"], ["new_size"]),
        N("Shape", ["past_0.key"], ["past_shape"]),
        N("Gather", ["past_shape", "two"], ["past_size"]),
        N("Add", ["past_size", "new_size"], ["all_size"]),
        N("Range", ["past_size", "all_size", "one"], ["at_new"]),
        N("Range", ["zero", "all_size", "one"], ["at_all"]),
        N("Gather", ["places", "at"], ["placed"]),
        N("Add", ["embedded", "placed"], ["x0"]),
        N("Unsqueeze", ["at_new", "columns"], ["at_rows"]),
        N("Unsqueeze", ["at_all", "rows"], ["at_columns"]),
        N("LessOrEqual", ["at_columns", "at_rows"], ["sees"]),
        N("Where", ["sees", "open", "masked"], ["mask"]),
    ]
    for layer in range(LAYERS):
        for name in ("q", "k", "v"):
            constants[f"w{name}{layer}"] = weight(WIDTH, WIDTH)
            nodes += [
                N("MatMul", [f"x{layer}", f"w{name}{layer}"], [f"{name}p{layer}"]),
                N("Reshape", [f"{name}p{layer}", "heads"], [f"{name}h{layer}"]),
                N("Transpose", [f"{name}h{layer}"], [f"{name}{layer}"], perm=[0, 2, 1, 3]),
            ]
        constants[f"wo{layer}"] = weight(WIDTH, WIDTH)
        nodes += [
            N("Concat", [f"past_{layer}.key", f"k{layer}"], [f"present_{layer}.key"], axis=2),
            N("Concat", [f"past_{layer}.value", f"v{layer}"], [f"present_{layer}.value"], axis=2),
            N("Transpose", [f"present_{layer}.key"], [f"kt{layer}"], perm=[0, 1, 3, 2]),
            N("MatMul", [f"q{layer}", f"kt{layer}"], [f"s{layer}"]),
            N("Mul", [f"s{layer}", "scale"], [f"ss{layer}"]),
            N("Add", [f"ss{layer}", "mask"], [f"sm{layer}"]),
            N("Softmax", [f"sm{layer}"], [f"p{layer}"], axis=-1),
            N("MatMul", [f"p{layer}", f"present_{layer}.value"], [f"a{layer}"]),
            N("Transpose", [f"a{layer}"], [f"at{layer}"], perm=[0, 2, 1, 3]),
            N("Reshape", [f"at{layer}", "joined"], [f"aj{layer}"]),
            N("MatMul", [f"aj{layer}", f"wo{layer}"], [f"o{layer}"]),
            N("Add", [f"x{layer}", f"o{layer}"], [f"x{layer + 1}"]),
        ]
    nodes.append(N("MatMul", [f"x{LAYERS}", "out"], ["logits"]))
    cache = (1, HEADS, past, DEPTH)
    inputs = {"ids": ((1, tokens), "int64"), "at": ((1, tokens), "int64")}
    inputs |= {name: (cache, "float32") for name in STATES}
    outputs = {"logits": "float32"} | dict.fromkeys(STATES.values(), "float32")
    return opened(nodes, inputs, outputs, constants)


def elman() -> onnx.ModelProto:
    """A recurrent cell: h becomes tanh(x W + h U)."""
    nodes = [
        N("MatMul", ["x", "w"], ["xw"]),
        N("MatMul", ["h_in", "u"], ["hu"]),
        N("Add", ["xw", "hu"], ["sum"]),
        N("Tanh", ["sum"], ["h_out"]),
        N("MatMul", ["h_out", "v"], ["y"]),
    ]
    constants = {"w": floats(5, 8), "u": floats(8, 8), "v": floats(8, 3)}
    inputs = {"x": ((1, 5), "float32"), "h_in": ((1, 8), "float32")}
    return opened(nodes, inputs, {"y": "float32", "h_out": "float32"}, constants)


def swapped() -> onnx.ModelProto:
    """Two states that change places, of which one is an output before it does."""
    nodes = [
        N("Identity", ["a_in"], ["b_out"]),
        N("Identity", ["b_in"], ["a_out"]),
        N("Identity", ["a_in"], ["was"]),
        N("Add", ["a_in", "x"], ["y"]),
    ]
    kinds = dict.fromkeys(("x", "a_in", "b_in"), ((4,), "float32"))
    return opened(nodes, kinds, dict.fromkeys(("y", "was", "a_out", "b_out"), "float32"))


def from_the_past() -> onnx.ModelProto:
    """What is appended is computed from what the state holds."""
    nodes = [
        N("ReduceSum", ["past_0"], ["sum"], keepdims=1),
        N("Add", ["x", "sum"], ["new"]),
        N("Concat", ["past_0", "new"], ["present_0"], axis=0),
    ]
    inputs = {"x": ((1, 1), "float32"), "past_0": (("past", 1), "float32")}
    return opened(nodes, inputs, {"present_0": "float32"})


def turned() -> onnx.ModelProto:
    """A state that grows at its beginning."""
    nodes = [N("Concat", ["x", "past_0"], ["present_0"], axis=0)]
    inputs = {"x": ((1, 1), "float32"), "past_0": (("past", 1), "float32")}
    return opened(nodes, inputs, {"present_0": "float32"})
