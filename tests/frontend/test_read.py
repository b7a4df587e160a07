"""Broken, hostile and incomplete models: one line that says what, where and what to do."""

from __future__ import annotations

import hashlib
import math
import random
import re
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, compute, floats, model

from luthier.frontend import import_model, read_model
from luthier.frontend.onnx import model_file, operators
from luthier.frontend.onnx.model_file import ModelFile
from luthier.frontend.onnx.node import Operator
from luthier.schedules import LuthierError, ModelError, ModelWarning, UnsupportedOperator

N = helper.make_node


def small() -> onnx.ModelProto:
    """y = relu(x @ w + b), with a batch that is left open."""
    nodes = [N("MatMul", ["x", "w"], ["p"]), N("Add", ["p", "b"], ["s"]), N("Relu", ["s"], ["y"])]
    constants = {"w": floats(5, 3), "b": floats(3)}
    made = model(nodes, {"x": floats(2, 5)}, ["y"], constants)
    for value in (made.graph.input[0], made.graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return made


def refusal(source: object, shapes: object = None, kind: type[LuthierError] = ModelError) -> str:
    with pytest.raises(kind) as refused:
        import_model(source, TARGET, shapes)  # type: ignore[arg-type]
    message = str(refused.value)
    assert message.isprintable()  # so it is one line
    assert len(message) < 500
    return message


# Files.


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "the model.onnx"


@pytest.mark.parametrize(
    "data",
    [small().SerializeToString()[:-40], b"# not a model\n" * 9],
    ids=["truncated", "text"],
)
def test_a_file_that_is_not_a_model(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    assert refusal(path) == f"{path}: this is not an ONNX file, or it is cut short"


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PK\x03\x04", "an archive, as Keras and PyTorch save models"),
        (b"\x89HDF\r\n", "HDF5, as Keras saved models"),
        (b"\x80\x05", "a pickle, which would run what it says"),
        (b"binf", "XGBoost's old binary format"),
    ],
)
def test_a_file_of_a_format_that_is_not_read(path: Path, begin: bytes, what: str) -> None:
    path.write_bytes(begin + bytes(300))
    assert refusal(path).startswith(f"{path}: this is {what}")


def test_an_empty_file(path: Path) -> None:
    path.touch()
    assert refusal(path) == f"{path}: this is not an ONNX model (it holds no graph)"


def test_a_missing_file(path: Path) -> None:
    assert refusal(path) == f"{path}: cannot be read (No such file or directory)"


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read (Is a directory)"


def test_a_folder_of_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    assert refusal(tmp_path).startswith(f"{tmp_path}: this is a SavedModel: convert it to ")


def test_a_name_that_no_file_can_have() -> None:
    assert "cannot be read" in refusal("zero\0byte.onnx")


def test_a_model_larger_than_the_free_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx.save(small(), path)
    free = types.SimpleNamespace(available=path.stat().st_size * 2 - 1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    assert "GB of memory, but" in refusal(path)


# Data in other files.


@pytest.fixture
def outside(path: Path) -> Callable[..., Path]:
    """Saves a model whose weights say that they lie elsewhere."""

    def save(location: str, **where: object) -> Path:
        made = small()
        weights = made.graph.initializer[0]
        data = weights.raw_data
        (path.parent / "weights").write_bytes(data)
        weights.ClearField("raw_data")
        weights.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **where}.items():
            weights.external_data.add(key=key, value=str(value))
        onnx.save(made, path)
        return path

    return save


def test_weights_beside_the_model_are_read(outside: Callable[..., Path]) -> None:
    read = read_model(outside("weights", offset=0, length=60), {"x": (2, 5)}).proto
    np.testing.assert_array_equal(numpy_helper.to_array(read.graph.initializer[0]), floats(5, 3))


def test_weights_of_functions_and_inner_graphs_beside_the_model_are_read(
    outside: Callable[..., Path],
) -> None:
    source = outside("weights")
    made = onnx.load(source, load_external_data=False)
    tensor = onnx.TensorProto()
    tensor.CopyFrom(made.graph.initializer[0])
    constant = N("Constant", [], ["w"], value=tensor)
    body = [constant, N("MatMul", ["a", "w"], ["c"])]
    opsets = [helper.make_opsetid("", 17)]
    made.functions.append(helper.make_function("own", "F", ["a"], ["c"], body, opsets))
    made.graph.node.append(N("F", ["x"], ["z"], domain="own"))
    made.opset_import.append(helper.make_opsetid("own", 1))
    onnx.save(made, source)
    read = read_model(source, {"x": (2, 5)})
    inner = read.proto.functions[0].node[0].attribute[0].t
    np.testing.assert_array_equal(numpy_helper.to_array(inner), floats(5, 3))
    data = (source.parent / "weights").read_bytes()
    assert read.sha256 == hashlib.sha256(source.read_bytes() + data + data).hexdigest()


def test_the_hash_is_of_the_file_and_of_the_data_beside_it(outside: Callable[..., Path]) -> None:
    source = outside("weights")
    weights = source.parent / "weights"
    shapes = {"x": (2, 5)}
    first = read_model(source, shapes).sha256
    assert first == hashlib.sha256(source.read_bytes() + weights.read_bytes()).hexdigest()
    weights.write_bytes(weights.read_bytes() + b"what no tensor has does not count")
    assert read_model(source, shapes).sha256 == first
    weights.write_bytes(b"\1" + weights.read_bytes()[1:])
    assert read_model(source, shapes).sha256 != first


def test_the_hash_of_a_file_alone_is_the_file_s(path: Path) -> None:
    onnx.save(small(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_model(path, {"x": (2, 5)}).sha256 == digest


def test_a_proto_has_the_hash_of_its_serialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = {"x": (2, 5)}
    whole = read_model(small(), shapes).sha256
    data = small().SerializeToString(deterministic=True)
    assert whole == hashlib.sha256(data).hexdigest()
    monkeypatch.setattr("luthier.frontend.onnx.model_file._MOST_SERIALISED", 10)
    large, other = small(), small()
    other.graph.initializer[0].raw_data = bytes(60)
    assert read_model(large, shapes).sha256 == read_model(small(), shapes).sha256
    assert read_model(large, shapes).sha256 != read_model(other, shapes).sha256


@pytest.mark.parametrize("file", ["the model.onnx", "weights"])
@pytest.mark.parametrize("kind", ["written", "replaced", "removed"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    outside: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, file: str, kind: str
) -> None:
    source = outside("weights")
    changed = source.parent / file
    real = ModelFile.load_external

    def load_external(self: ModelFile, model: onnx.ModelProto) -> None:
        real(self, model)
        other = source.parent / "other"
        other.write_bytes(changed.read_bytes())
        if kind == "written":
            changed.write_bytes(other.read_bytes() + b"!")
        elif kind == "replaced":
            other.replace(changed)
        else:
            changed.unlink()

    monkeypatch.setattr(ModelFile, "load_external", load_external)
    wanted = "No such file" if kind == "removed" else f"{file}: it changed while it was read"
    assert wanted in refusal(source, {"x": (2, 5)})


@pytest.mark.parametrize(
    ("location", "where", "said"),
    [
        ("missing", {}, "has its data in 'missing', which is missing"),
        ("/etc/hostname", {}, "outside the model's folder, in '/etc/hostname'"),
        ("../weights", {}, "outside the model's folder, in '../weights'"),
        ("a/../../weights", {}, "outside the model's folder"),
        ("link", {}, "outside the model's folder, in 'link'"),
        (".", {}, "which cannot be read (Is a directory)"),
        ("zero\0byte", {}, "no valid place"),
        ("weights", {"offset": 4}, "needs 60 bytes at 4 of 'weights', which has 60 bytes"),
        ("weights", {"offset": -4}, "malformed place of its data"),
        ("weights", {"length": 56}, "needs 60 bytes at 0"),
        ("weights", {"offset": 2**70}, "needs 60 bytes at"),
        ("weights", {"offset": "four"}, "malformed place of its data"),
    ],
)
def test_weights_in_a_bad_place(
    outside: Callable[..., Path], location: str, where: dict[str, object], said: str
) -> None:
    path = outside(location, **where)
    (path.parent / "link").symlink_to("/etc/hostname")
    message = refusal(path, {"x": (2, 5)})
    assert said in message
    assert message.startswith(f"{path}: tensor 'w'")


def test_weights_that_lie_in_one_place_again_and_again(
    outside: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work is bounded by the size of the files; weights that several share are few."""
    source = outside("weights")
    made = onnx.load(source, load_external_data=False)
    for i in range(8):
        again = made.graph.initializer.add()
        again.CopyFrom(made.graph.initializer[0])
        again.name = f"again{i}"
    onnx.save(made, source)
    assert import_model(source, TARGET, {"x": (2, 5)})
    monkeypatch.setattr(model_file, "MOST_BYTES", 100)
    message = refusal(source, {"x": (2, 5)})
    assert message.startswith(f"{source}: its tensors take 540 bytes from other files that hold 60")


def test_weights_elsewhere_without_a_path(outside: Callable[..., Path]) -> None:
    proto = onnx.load(outside("weights"), load_external_data=False)
    assert "give its path instead" in refusal(proto)


# Sizes.


def test_an_open_size_says_how_to_give_it() -> None:
    message = refusal(small())
    assert message.startswith("input 'x' has no size in dimension 0 ('batch'): give sizes")
    assert "shapes={'x': (1, 5)}" in message


def test_given_sizes_are_used() -> None:
    program = import_model(small(), TARGET, {"x": (4, 5)})
    assert [program.values[v].shape for _, v in (*program.inputs, *program.outputs)] == [
        (4, 5),
        (4, 3),
    ]


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"x": (2, 6)}, "input 'x' has size 5 in dimension 1, not 6"),
        ({"x": (2, 5, 1)}, "input 'x' has 2 dimensions in the model, but the shape [2, 5, 1]"),
        ({"x": (-1, 5)}, "input 'x' has the shape [-1, 5]; sizes are at least 0"),
        ({"z": (2, 5)}, "a shape is given for 'z', but the model's inputs are: 'x'"),
        ({"w": (5, 3)}, "a shape is given for 'w', but the model's inputs are: 'x'"),
    ],
)
def test_sizes_that_contradict_the_model(shapes: dict[str, tuple[int, ...]], said: str) -> None:
    assert said in refusal(small(), shapes)


# Values of inputs, and where the model ends.


def scaled() -> onnx.ModelProto:
    """y = x * rate, z = relu(y), of which the last is the output."""
    nodes = [N("Cast", ["rate"], ["r"], to=1), N("Mul", ["x", "r"], ["y"]), N("Relu", ["y"], ["z"])]
    inputs = {"x": floats(2, 3), "rate": np.zeros((1,), np.int64), "spare": floats(1)}
    return model(nodes, inputs, ["z"])


@pytest.mark.parametrize("value", [3, 3.0, [3], np.int8(3), np.array([3], np.uint64)])
def test_an_input_with_a_value_is_a_constant(value: object) -> None:
    read = read_model(scaled(), values={"rate": value})
    assert [i.name for i in read.proto.graph.input] == ["x", "spare"]
    (rate,) = read.proto.graph.initializer
    assert numpy_helper.to_array(rate).tolist() == [3]
    inputs = {"x": -floats(2, 3), "spare": floats(1)}
    (z,) = compute(import_model(read, TARGET), inputs).values()
    assert np.array_equal(z, np.maximum(3 * inputs["x"], 0))


def test_one_number_fills_the_sizes_that_are_given() -> None:
    read = read_model(small(), {"x": (2, 5)}, {"x": 0.5})
    (x,) = (t for t in read.proto.graph.initializer if t.name == "x")
    assert np.array_equal(numpy_helper.to_array(x), np.full((2, 5), 0.5, np.float32))


def test_an_array_tells_sizes_that_the_model_leaves_open() -> None:
    assert not import_model(read_model(small(), values={"x": floats(4, 5)}), TARGET).inputs


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rate": 1.5}, "the value of input 'rate' holds 1.5, which is not a number of type int64"),
        ({"rate": math.nan}, "holds nan, which is not a number of type int64"),
        ({"rate": 2**63}, "which is not a number of type int64"),
        ({"rate": 2**70}, "the value of input 'rate' is not made of numbers"),
        ({"rate": "3"}, "the value of input 'rate' is not made of numbers"),
        ({"rate": [[1], [2, 3]]}, "its rows differ in length"),
        ({"rate": [1, 2]}, "input 'rate' has size 1 in dimension 0, not 2"),
        ({"rate": []}, "input 'rate' has size 1 in dimension 0, not 0"),
        ({"q": 1}, "a value is given for 'q', but the model's inputs are: 'x', 'rate', 'spare'"),
    ],
)
def test_values_that_an_input_cannot_have(values: dict[str, object], said: str) -> None:
    with pytest.raises(ModelError, match=re.escape(said)):
        read_model(scaled(), values=values)


def test_a_model_ends_where_it_is_told() -> None:
    read = read_model(scaled(), outputs=["y", "r"])
    assert [o.name for o in read.proto.graph.output] == ["y", "r"]
    assert [n.op_type for n in read.proto.graph.node] == ["Cast", "Mul"]
    inputs = {"x": floats(2, 3), "rate": np.array([2]), "spare": floats(1)}
    y, r = compute(import_model(read, TARGET), inputs).values()
    assert np.array_equal(y, 2 * inputs["x"])
    assert r.tolist() == [2.0]


def test_inputs_that_only_led_to_what_was_cut_go() -> None:
    read = read_model(scaled(), outputs=["r"])
    assert [i.name for i in read.proto.graph.input] == ["rate", "spare"]


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        (["w"], "the model computes no value 'w'; its outputs are: 'z'"),
        (["x"], "the model computes no value 'x'"),
        (["y", "y"], "the output 'y' is asked for twice"),
    ],
)
def test_ends_that_a_model_does_not_have(outputs: list[str], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        read_model(scaled(), outputs=outputs)


def of_one_size(operator: str, **attrs: int) -> onnx.ModelProto:
    """A node of two inputs whose only sizes have one name."""
    made = model([N(operator, ["a", "b"], ["y"], **attrs)], {"a": floats(2), "b": floats(2)}, ["y"])
    for value in made.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    made.graph.output[0].type.tensor_type.ClearField("shape")
    return made


def test_two_inputs_may_disagree_on_a_named_size_if_nodes_take_that() -> None:
    shapes = {"a": (2,), "b": (3,)}
    says = "input 'b' gives 'n' the size 3, input 'a' gives 2"
    with pytest.warns(ModelWarning, match=says):
        program = import_model(of_one_size("Concat", axis=0), TARGET, shapes)
    assert [program.type(value).shape for _, value in program.outputs] == [(5,)]
    with pytest.warns(ModelWarning, match=says):
        refused = refusal(of_one_size("Add"), shapes)
    assert "Add" in refused


def test_an_input_of_unknown_rank() -> None:
    made = small()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    assert refusal(made).startswith("input 'x' has no shape: give sizes")
    assert import_model(made, TARGET, {"x": (2, 5)}).values[0].shape == (2, 5)


def test_shapes_that_cannot_be() -> None:
    made = model([N("MatMul", ["x", "w"], ["y"])], {"x": floats(2, 5)}, ["y"])
    made.graph.initializer.append(numpy_helper.from_array(floats(4, 3), "w"))
    assert "MatMul 'y'" in refusal(made)


# What a model declares of its results.


def declared(name: str, shape: list[int | str | None]) -> onnx.ModelProto:
    """``small`` for 2 rows, which declares this shape of a value."""
    made = small()
    del made.graph.value_info[:]
    made.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 5]))
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    if name == "y":
        made.graph.output[0].CopyFrom(info)
    else:
        made.graph.value_info.append(info)
    return made


@pytest.mark.parametrize("shape", [[2, 4], [2, 3, 1], [6], [0, 3]])
def test_an_output_that_is_declared_otherwise(shape: list[int | str | None]) -> None:
    with pytest.warns(ModelWarning) as warned:
        program = import_model(declared("y", shape), TARGET)
    (said,) = {str(each.message) for each in warned}
    assert said == (
        f"output 'y' has the shape [2, 3], but the model declares {shape}, which is ignored"
    )
    assert [program.values[value].shape for _, value in program.outputs] == [(2, 3)]


def test_a_warning_is_one_line() -> None:
    made = declared("y", [7])
    made.graph.output[0].name = made.graph.node[-1].output[0] = "y\n\x1b[2J"
    with pytest.warns(ModelWarning) as warned:
        import_model(made, TARGET)
    assert str(warned[0].message).isprintable()


@pytest.mark.parametrize("shape", [[2, 3], ["rows", 3], [None, None], ["n", "n"]])
def test_an_output_that_is_declared_so_or_left_open(shape: list[int | str | None]) -> None:
    import_model(declared("y", shape), TARGET)


def test_an_output_declared_for_other_sizes_of_the_inputs() -> None:
    made = declared("y", [1, 3])
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "rows"
    import_model(made, TARGET, {"x": (1, 5)})
    with pytest.warns(ModelWarning, match=r"the model declares \[1, 3\]"):
        import_model(made, TARGET, {"x": (4, 5)})


def test_declared_shapes_of_inner_values_do_not_count() -> None:
    """As in ONNX Runtime and onnx's checker; it is wrong in many a model that was changed."""
    import_model(declared("p", [9, 9]), TARGET)


def test_a_shape_that_onnx_infers_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every build compares each of our shapes with the one that onnx infers."""
    summed = Operator(lambda node: node.t.emit("sum", node.x, axes=(0,), keepdims=False))
    monkeypatch.setitem(operators.OPERATORS, "Softplus", summed)
    nodes = [N("Softplus", ["x"], ["s"], name="soft"), N("ReduceSum", ["s"], ["y"], keepdims=0)]
    assert refusal(model(nodes, {"x": floats(2, 3)}, ["y"])) == (
        "Softplus 'soft': its result 's' has the shape [3], but ONNX infers [2, 3]: "
        "one is wrong, report it"
    )


# Names of sizes.


@pytest.mark.parametrize("symbol", ["?", "", "*", "-1", "??", "None", "unknown", "0", "\u4e0d?"])
def test_a_symbol_for_unknown_sizes_is_not_one_size(symbol: str) -> None:
    """Some exporters write '?' for every size that they do not know."""
    made = model([N("MatMul", ["a", "b"], ["y"])], {"a": floats(2, 3), "b": floats(3, 4)}, ["y"])
    for value in (*made.graph.input, *made.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_param = symbol
    if symbol.isascii():
        import_model(made, TARGET, {"a": (2, 3), "b": (3, 4)})
    else:  # a word in any script is a name
        with pytest.warns(ModelWarning, match="gives"):
            read_model(made, {"a": (2, 3), "b": (3, 4)})


# Operator sets.


def no_default_set(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    made = model([], {"x": floats(2, 3)}, ["y"])
    made.graph.node.extend(nodes)
    made.opset_import[0].CopyFrom(helper.make_opsetid("com.example", 1))
    return made


def test_a_model_of_other_domains_alone_is_refused_for_their_operators() -> None:
    node = N("Warp", ["x"], ["y"], domain="com.example", name="w")
    assert "com.example.Warp" in refusal(no_default_set(node), kind=UnsupportedOperator)


def test_a_model_that_forgets_the_default_domain_uses_the_newest() -> None:
    import_model(no_default_set(N("Neg", ["x"], ["y"])), TARGET)
    said = refusal(no_default_set(N("ReduceSum", ["x"], ["y"], axes=[0])))
    assert "which it does not say but which was taken" in said
    assert "axes" in said


def test_a_model_that_forgets_the_default_domain_uses_that_of_its_functions() -> None:
    made = no_default_set(N("f", ["x"], ["y"], domain="com.example"))
    sets = [helper.make_opsetid("", 11)]
    body = [N("ReduceSum", ["x"], ["y"], axes=[0], keepdims=0)]
    made.functions.append(helper.make_function("com.example", "f", ["x"], ["y"], body, sets))
    made.graph.output[0].type.tensor_type.ClearField("shape")
    assert import_model(made, TARGET).values[-1].shape == (3,)


# Graphs.


def test_all_unknown_operators_are_reported_in_groups() -> None:
    nodes = [
        N("TfIdf", ["x"], ["d"], name="first"),
        N("Frobnicate", ["d"], ["f"], domain="my.own"),
        N("TfIdf", ["x"], ["e"], name="second"),
        N("Frobnicated", ["f"], ["y"], domain="com.microsoft"),
    ]
    with pytest.raises(UnsupportedOperator) as refused:
        import_model(model(nodes, {"x": floats(3, 3)}, ["y"]), TARGET)
    assert str(refused.value) == (
        "3 operators are not supported: TfIdf (2 nodes, first 'first'), "
        "my.own.Frobnicate (1 node, 'f'), com.microsoft.Frobnicated (1 node, 'y'): express them by "
        "other operators when exporting; give functions for what is of another domain, or "
        "export by ONNX's own operators; export without ONNX Runtime's fusions"
    )
    assert refused.value.operators == {
        "TfIdf": ("first", "second"),
        "my.own.Frobnicate": ("f",),
        "com.microsoft.Frobnicated": ("y",),
    }


def test_operators_for_shapes_alone_are_reported_with_the_others() -> None:
    nodes = [
        N("StringNormalizer", ["x"], ["top"], name="best"),
        N("TfIdf", ["x"], ["d"], name="first"),
        N("RegexFullMatch", ["x"], ["places"], name="mask"),
        N("Shape", ["x"], ["sizes"]),
        N("TopK", ["sizes", "k"], ["largest", "which"], name="folded"),
        N("Reshape", ["d", "largest"], ["y"]),
    ]
    made = model(nodes, {"x": floats(3, 3)}, ["y", "top", "places"], {"k": np.array([1])})
    with pytest.raises(UnsupportedOperator) as refused:
        import_model(made, TARGET)
    assert refused.value.operators == {
        "StringNormalizer": ("best",),
        "TfIdf": ("first",),
        "RegexFullMatch": ("mask",),
    }


def test_a_hundred_unknown_operators_are_counted() -> None:
    nodes = [N(f"Op{i}", ["x"], [f"y{i}"], domain="my") for i in range(100)]
    with pytest.raises(UnsupportedOperator) as refused:
        import_model(model(nodes, {"x": floats(3)}, ["y99"]), TARGET)
    assert "100 operators are not supported: my.Op0 (1 node, 'y0')" in str(refused.value)
    assert "and 92 more" in str(refused.value)
    assert len(refused.value.operators) == 100


def test_names_of_any_length_are_reported_in_a_short_line() -> None:
    long = "n" * 70_000
    nodes = [N("TfIdf", ["x"], ["y"], name=long)]
    made = model(nodes, {"x": floats(3, 3)}, ["y"], name=long)
    with pytest.raises(UnsupportedOperator) as refused:
        import_model(made, TARGET)
    assert len(str(refused.value)) <= 2001
    assert "TfIdf" in str(refused.value)
    assert str(refused.value).endswith("when exporting")


def test_a_model_whose_names_are_long() -> None:
    long = "n" * 70_000
    made = model([N("Neg", [long], ["y"], name=long, doc_string=long)], {long: floats(3)}, ["y"])
    made.doc_string = made.graph.name = made.producer_name = long
    out = compute(import_model(made, TARGET), {long: floats(3)})["y"]
    np.testing.assert_array_equal(out, -floats(3))


def bad_text(made: onnx.ModelProto) -> None:
    made.MergeFromString(b"\x12\x02\xc3\x28")  # the producer's name


def cyclic(made: onnx.ModelProto) -> None:
    made.graph.node[0].input[0] = "y"


def twice(made: onnx.ModelProto) -> None:
    made.graph.node[1].output[0] = "p"


def same_initializer(made: onnx.ModelProto) -> None:
    made.graph.initializer.add().CopyFrom(made.graph.initializer[0])


def same_input(made: onnx.ModelProto) -> None:
    made.graph.input.add().CopyFrom(made.graph.input[0])


def short_data(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].raw_data = made.graph.initializer[0].raw_data[:-4]


def negative_size(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims[0] = -5


def huge_size(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims[0] = 2**62


def strings(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.STRING, [1], ["a"]))


def unknown_type(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].data_type = 999


def sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add()  # of nothing


def no_outputs(made: onnx.ModelProto) -> None:
    del made.graph.output[:]


def unknown_output(made: onnx.ModelProto) -> None:
    made.graph.output[0].name = "nowhere"


def no_opset(made: onnx.ModelProto) -> None:
    del made.opset_import[:]


def future_opset(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 999


def old_opset(made: onnx.ModelProto) -> None:
    made.opset_import[0].version = 6
    made.graph.node[0].op_type = "Unheard"


def sequence_input(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1


def too_many_inputs(made: onnx.ModelProto) -> None:
    made.graph.node[0].input.append("x")


def unknown_attribute(made: onnx.ModelProto) -> None:
    made.graph.node[0].attribute.add(name="speed", i=3, type=2)


BROKEN = {
    bad_text: "a name in the model is not UTF-8 text",
    cyclic: "not valid ONNX",
    twice: "single static assignment",
    same_initializer: "two values of the model have the same name 'w'",
    same_input: "two inputs of the model have the same name",
    short_data: "initializer 'w' has data that does not fit its shape",
    negative_size: "initializer 'w' has data that does not fit its shape",
    huge_size: "initializer 'w'",
    strings: "MatMul 'p': texts are not supported here",
    unknown_type: "initializer 'w' has the unknown element type 999",
    sparse: "initializer '' has the unknown element type 0",
    no_outputs: "it has no outputs",
    unknown_output: "nowhere",
    no_opset: "does not say which ONNX operator set it uses",
    future_opset: "999",
    old_opset: "cannot be converted to ONNX operator set 7",
    sequence_input: "'x' is a sequence: give the number of its tensors",
    too_many_inputs: "not valid ONNX",
    unknown_attribute: "speed",
}


@pytest.mark.parametrize("damage", BROKEN, ids=lambda d: d.__name__)
def test_a_broken_graph(damage: Callable[[onnx.ModelProto], None]) -> None:
    made = small()
    damage(made)
    assert BROKEN[damage] in refusal(made, {"x": (2, 5)})


@pytest.mark.parametrize("equation", ["i+j", "i.j", "....ij", "ij->i->j", "i\xff"])
def test_an_invalid_equation(equation: str) -> None:
    """On some of these onnx's own shape inference never ends."""
    made = small()
    made.graph.node[0].CopyFrom(N("Einsum", ["x"], ["p"], equation=equation))
    assert "Einsum 'p': the equation" in refusal(made, {"x": (2, 5)})


@pytest.mark.parametrize("step", [2**31, 2**40, 2**62, -(2**62), 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("computed", [False, True])
def test_a_slice_of_huge_steps(step: int, computed: bool) -> None:
    """On these onnx's own shape inference never ends, or ends the process."""
    made = model(
        [], {"x": floats(5)}, ["y"], {"b": np.array([2]), "e": np.array([9 * np.sign(step)])}
    )
    made.graph.initializer.append(numpy_helper.from_array(np.array([step]), "s"))
    if computed:
        made.graph.node.append(N("Neg", ["s"], ["n"]))
        made.graph.node.append(N("Neg", ["n"], ["t"]))
    made.graph.node.append(N("Slice", ["x", "b", "e", "", "t" if computed else "s"], ["y"]))
    x = np.arange(5, dtype=np.float32)
    np.testing.assert_array_equal(compute(import_model(made, TARGET), {"x": x})["y"], x[2:3])


def test_a_split_that_declares_another_number_of_outputs() -> None:
    """It ends the process in onnx's own shape inference."""
    made = model([], {"x": floats(6)}, ["y"])
    made.graph.node.append(N("Split", ["x"], ["y", "z", "v"], num_outputs=2))
    assert refusal(made) == "Split 'y': it says 2 outputs, but has 3"


def test_names_with_control_characters_stay_in_one_line() -> None:
    made = model([N("TfIdf", ["x"], ["y"], name="a\nb\x1b[31m")], {"x": floats(3, 3)}, ["y"])
    assert r"a\nb\x1b[31m" in refusal(made, kind=UnsupportedOperator)


def test_deeply_nested_graphs() -> None:
    inner = helper.make_graph([], "g", [], [helper.make_empty_tensor_value_info("z")])
    for _ in range(50):
        node = N("If", ["c"], ["z"], then_branch=inner, else_branch=inner)
        inner = helper.make_graph([node], "g", [], [helper.make_empty_tensor_value_info("z")])
        if inner.ByteSize() > 1 << 20:
            break
    made = small()
    made.graph.node.add().CopyFrom(N("Loop", ["", "c"], ["z"], body=inner))
    assert refusal(made, {"x": (2, 5)})


def test_the_callers_model_is_not_changed() -> None:
    made = small()
    before = made.SerializeToString()
    import_model(made, TARGET, {"x": (2, 5)})
    assert made.SerializeToString() == before


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**32), count=st.integers(1, 6))
@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
def test_damaged_bytes_never_raise_anything_but_our_errors(
    tmp_path: Path, seed: int, count: int
) -> None:
    """Whether or not the damage is found: it may be in a weight."""
    data = bytearray(small().SerializeToString())
    generator = random.Random(seed)
    for _ in range(count):
        data[generator.randrange(len(data))] = generator.randrange(256)
    path = tmp_path / "damaged.onnx"
    path.write_bytes(data)
    with suppress(LuthierError):
        import_model(path, TARGET, {"x": (2, 5)})
