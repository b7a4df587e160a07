"""Tensors with hostile names: every command works, and prints nothing that a terminal obeys."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import luthier

NAMES = ("a\nluthier: error: b", "\x1b[31m\x9b2J\u202e\x7f", "q\"'\\ ??/ */ %s%n", "../../../x")


def named_model(name: str) -> onnx.ModelProto:
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 3]) for n in (name, f"out{name}")
    )
    node = helper.make_node("Relu", [name], [f"out{name}"], name=f"node{name}")
    graph = helper.make_graph([node], name, [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def steady(said: str) -> list[str]:
    """Its lines, but those about what else the machine does."""
    return [line for line in said.split("\n") if not line.startswith("busy machine")]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names(cli, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    onnx.save(named_model("plain"), "plain.onnx")
    onnx.save(named_model(name), "named.onnx")
    array = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    np.savez("plain.npz", plain=array)
    np.savez("named.npz", **{name: array})
    np.savez("wrong.npz", **{name: array[:1], "plain": array[:1]})
    for arguments, code in (
        (("build", "{}.onnx", "-o", "{}"), 0),
        (("check", "{}"), 0),
        (("run", "{}", "--inputs", "{}.npz", "--outputs", "out-{}.npz"), 0),
        (("run", "{}", "--inputs", "wrong.npz", "--outputs", "out.npz"), 6),
        (("bench", "{}"), 0),
    ):
        plain, named = (cli(*(a.format(which) for a in arguments)) for which in ("plain", "named"))
        assert (plain.code, named.code) == (code, code), named.err
        for said, usual in ((named.out, plain.out), (named.err, plain.err)):
            assert len(steady(said)) == len(steady(usual))
            assert all(line.isprintable() for line in said.split("\n"))
    with np.load("out-named.npz") as outputs:
        np.testing.assert_array_equal(outputs[f"out{name}"], np.maximum(array, 0))
    with luthier.load("named") as artifact:
        assert repr(artifact).isprintable()
