"""What is fixed of a model when it is built: values of inputs, and the values that it ends at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import luthier

X = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture
def scaled(tmp_path: Path) -> Path:
    """y = x * rate, z = relu(y) + bias, of which z is the output; the batch is left open."""
    nodes = [
        helper.make_node("Cast", ["rate"], ["r"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "r"], ["y"]),
        helper.make_node("Relu", ["y"], ["p"]),
        helper.make_node("Add", ["p", "bias"], ["z"]),
    ]
    types = {
        "x": (TensorProto.FLOAT, ["batch", 4]),
        "rate": (TensorProto.INT64, []),
        "bias": (TensorProto.FLOAT, [4]),
    }
    inputs = [helper.make_tensor_value_info(n, *t) for n, t in types.items()]
    outputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "scaled", inputs, outputs)
    opsets = [helper.make_opsetid("", 17)]
    path = tmp_path / "scaled.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def test_the_library_has_neither_the_input_nor_what_was_cut(scaled: Path, tmp_path: Path) -> None:
    given = {"shapes": {"x": (2, 4)}, "values": {"rate": 3}, "outputs": ["y", "p"]}
    luthier.build(scaled, tmp_path / "out", log=None, threads=1, **given)
    with luthier.load(tmp_path / "out") as artifact:
        assert [port.name for port in artifact.inputs] == ["x"]
        found = artifact.run({"x": X})
    assert list(found) == ["y", "p"]
    assert np.array_equal(found["y"], 3 * X)
    assert np.array_equal(found["p"], np.maximum(3 * X, 0))


def test_a_model_is_checked_as_it_would_be_built(scaled: Path) -> None:
    given = {"shapes": {"x": (2, 4)}, "values": {"rate": 3, "bias": [1, 2, 3, 4]}}
    report = luthier.check(scaled, log=None, threads=1, runs=2, **given)
    assert [output.name for output in report.outputs] == ["z"]
    assert report.ok


def test_the_command_line_gives_numbers_and_files(cli, scaled: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "bias.npy", np.float32([1, 2, 3, 4]))
    options = ["--shape", "x=2,4", "--value", "rate=3", "--value", f"bias=@{tmp_path}/bias.npy"]
    done = cli("build", scaled, "-o", tmp_path / "out", "--no-log", "--threads", "1", *options)
    assert (done.code, done.err) == (0, "")
    with luthier.load(tmp_path / "out") as artifact:
        (z,) = artifact.run({"x": X}).values()
    assert np.array_equal(z, np.maximum(3 * X, 0) + np.float32([1, 2, 3, 4]))


@pytest.mark.parametrize("content", [b"", b"x=1", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_array(cli, scaled: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bias.npy").write_bytes(content)
    options = ["--shape", "x=2,4", "--value", f"bias=@{tmp_path}/bias.npy"]
    done = cli("build", scaled, "-o", tmp_path / "out", *options)
    assert done.code == luthier.InputError.exit_code
    assert "bias.npy: this is not an .npy file as numpy.save writes them" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"values": [("rate", 3)]}, "values must be a mapping of names to numbers or arrays"),
        ({"values": {3: 3}}, "each name in values must be text, not 3"),
        ({"outputs": "y"}, "outputs must be a list of names, not 'y'"),
        ({"outputs": []}, "outputs must name at least one value of the model"),
        ({"outputs": [1]}, "each of outputs must be text, not 1"),
    ],
)
def test_arguments_of_another_kind(scaled: Path, tmp_path: Path, given, words: str) -> None:
    with pytest.raises(luthier.UsageError) as refused:
        luthier.build(scaled, tmp_path / "out", log=None, **given)
    assert words in str(refused.value)
