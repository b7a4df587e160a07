"""Inputs that are maps: arrays with an element for each key, by what ONNX Runtime makes of maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx_models import TARGET
from sized_models import computed

import luthier
from luthier import InputError, ModelError, UnsupportedOperator
from luthier.deploy import read_manifest
from luthier.deploy.maps import Maps
from luthier.deploy.ports import input_ports, output_ports
from luthier.deploy.texts import Texts
from luthier.frontend import import_entries, read_model

ML = "ai.onnx.ml"
STRING, INT64, FLOAT, DOUBLE = (
    TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT, TensorProto.DOUBLE
)  # fmt: skip
NAN, INF = float("nan"), float("inf")
LARGE, SMALL = 2**63 - 1, -(2**63)


def map_info(name: str, key: int, value: int) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    info.type.map_type.key_type = key
    info.type.map_type.value_type.tensor_type.elem_type = value
    return info


def vectorizer(output: str = "y", x: str = "x", **vocabulary: Any) -> onnx.NodeProto:
    return helper.make_node("DictVectorizer", [x], [output], domain=ML, **vocabulary)


def cast_map(output: str = "y", x: str = "x", **attrs: Any) -> onnx.NodeProto:
    return helper.make_node("CastMap", [x], [output], domain=ML, **attrs)


def model(
    nodes: list[onnx.NodeProto], key: int, value: int, outputs: dict[str, int]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "maps",
        [map_info("x", key, value)],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def meant(proto: onnx.ModelProto, given: dict[Any, Any]) -> list[np.ndarray]:
    """By ONNX Runtime, which is given the map itself; its Python takes no values but floats, so
    that others are found by what it is to do."""
    if proto.graph.input[0].type.map_type.value_type.tensor_type.elem_type != FLOAT:
        return [told(proto.graph.node[0], given)]
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: list[np.ndarray] = session.run(None, {"x": given})
    return found


def told(node: onnx.NodeProto, given: dict[Any, Any]) -> np.ndarray:
    """What a node makes of a map."""
    attrs = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "DictVectorizer":
        words = attrs.get("int64_vocabulary") or [w.decode() for w in attrs["string_vocabulary"]]
        zero = type(next(iter(given.values())))()
        found = [given.get(word, zero) for word in words]
        return np.array([found], object if zero == "" else type(zero))
    to = attrs.get("cast_to", b"TO_FLOAT").decode()
    cast, nothing = {"TO_FLOAT": (np.float32, np.float32(0)), "TO_INT64": (np.int64, np.int64(0)),
                     "TO_STRING": (str, "0.f")}[to]  # fmt: skip
    if attrs.get("map_form", b"DENSE") == b"DENSE":
        found = [cast(given[key]) for key in sorted(given)]
    else:
        found = [cast(given[i]) if i in given else nothing for i in range(attrs["max_map"])]
    return np.array([found], object if to == "TO_STRING" else cast)


def agrees(proto: onnx.ModelProto, *maps: Any, sizes: Any = None, given: Any = None) -> None:
    """Each map by itself gives the same; ONNX Runtime is ``given`` one where ours is an array."""
    (entry,) = import_entries({"run": read_model(proto, sizes)}, TARGET).values()
    inputs, outputs = input_ports(entry), output_ports(entry)
    texts = Texts(inputs, outputs)
    for each in maps:
        arrays = texts.taken(Maps(inputs).taken([each]))
        found = computed(entry.variants[0], {}, {"x": arrays[0]})
        ours = texts.given([found[port.name] for port in outputs])
        for got, want in zip(ours, meant(proto, given or each), strict=True):
            np.testing.assert_array_equal(got, want)
            assert got.dtype.kind == ("U" if want.dtype == object else want.dtype.kind)


@pytest.mark.parametrize(
    ("key", "value", "words", "maps"),
    [
        (
            STRING,
            FLOAT,
            ["b", "", "ä", "a"],
            [{"none": 7.0}, {"a": 1.5}, {"": NAN, "ä": -INF, "b": -0.0}],
        ),
        (STRING, DOUBLE, ["b", "a"], [{"a": 1e-310, "no": 3.0}, {"a": 1 / 3, "b": -1e300}]),
        (STRING, INT64, ["b", "a"], [{"a": LARGE, "b": SMALL}, {"c": 1}]),
        (INT64, FLOAT, [7, LARGE, SMALL], [{7: 1e-45}, {LARGE: 2.0, SMALL: 3.0, 0: 4.0}]),
        (INT64, DOUBLE, [7, -7], [{-7: 0.1}, {9: 1.0}]),
        (INT64, STRING, [1, 0], [{0: "zero"}, {1: "ä" * 32, 5: "five"}, {7: ""}]),
        (STRING, FLOAT, ["a", "b", "a"], [{"a": 1.0, "b": 2.0}]),
    ],
    ids=["floats", "doubles", "whole", "of-whole", "of-whole-doubles", "texts", "a-word-twice"],
)
def test_a_vectorizer(key: int, value: int, words: list[Any], maps: list[dict[Any, Any]]) -> None:
    name = "string_vocabulary" if key == STRING else "int64_vocabulary"
    proto = model([vectorizer(**{name: words})], key, value, {"y": value})
    agrees(proto, *maps)


@pytest.mark.parametrize(
    ("value", "to", "kind", "maps"),
    [
        (FLOAT, "TO_FLOAT", FLOAT, [{9: 1.0}, {0: 1.5, 3: NAN}, {4: 1.0, 900: 2.0}]),
        (FLOAT, "TO_INT64", INT64, [{9: 1.0}, {0: 1.9, 1: -1.9, 2: 1e18, 4: -0.0}]),
        (STRING, "TO_FLOAT", FLOAT, [{9: "1"}, {0: "1.5", 2: "-0.25", 4: "nan"}, {1: "1e-40"}]),
        (STRING, "TO_INT64", INT64, [{9: "1"}, {0: "12", 4: "-7"}, {3: str(LARGE)}]),
        (STRING, "TO_STRING", STRING, [{9: "1"}, {0: "a", 4: "ä" * 32}]),
    ],
)
def test_a_cast_of_a_sparse_map(value: int, to: str, kind: int, maps: list[dict[int, Any]]) -> None:
    node = cast_map(cast_to=to, map_form="SPARSE", max_map=5)
    agrees(model([node], INT64, value, {"y": kind}), *maps)


@pytest.mark.parametrize(
    ("value", "to", "kind", "given"),
    [
        (FLOAT, "TO_FLOAT", FLOAT, {-3: 1.5, 8: NAN, 2: -0.0}),
        (FLOAT, "TO_INT64", INT64, {-3: 1.5, 8: -7.9, 2: 0.0}),
        (STRING, "TO_FLOAT", FLOAT, {-3: "1.5", 8: "inf", 2: "3"}),
        (STRING, "TO_STRING", STRING, {-3: "b", 8: "", 2: "a"}),
    ],
)
def test_a_cast_of_a_dense_map_takes_values_by_ascending_keys(
    value: int, to: str, kind: int, given: dict[int, Any]
) -> None:
    proto = model([cast_map(cast_to=to)], INT64, value, {"y": kind})
    values = [[given[key] for key in sorted(given)]]
    array = np.array(values, object if value == STRING else np.float32)
    agrees(proto, array, sizes={"x": (1, 3)}, given=given)


def several() -> onnx.ModelProto:
    nodes = [
        vectorizer("a", int64_vocabulary=[5, 2, 9]),
        cast_map("b", map_form="SPARSE", max_map=4, cast_to="TO_INT64"),
        vectorizer("c", int64_vocabulary=[9]),
    ]
    return model(nodes, INT64, FLOAT, {"a": FLOAT, "b": INT64, "c": FLOAT})


def test_several_nodes_take_one_map() -> None:
    agrees(several(), {5: 1.0, 2: 2.0, 9: 3.0, 0: 4.0, 3: 5.0, 77: 6.0})
    assert read_model(several()).keys == {"x": (5, 2, 9, 0, 1, 3)}


def test_a_branch_takes_a_map(tmp_path: Path) -> None:
    """ONNX Runtime takes none there."""
    inner = [
        helper.make_graph(
            [vectorizer(name, string_vocabulary=words)],
            name,
            [],
            [helper.make_tensor_value_info(name, FLOAT, [1, 2])],
        )
        for name, words in (("one", ["a", "b"]), ("other", ["b", "c"]))
    ]
    node = helper.make_node("If", ["flag"], ["y"], then_branch=inner[0], else_branch=inner[1])
    proto = model([node], STRING, FLOAT, {"y": FLOAT})
    proto.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, []))
    luthier.build(proto, tmp_path / "out", log=None)
    with luthier.load(tmp_path / "out") as library:
        given = {"a": 1, "b": 2, "c": 3}
        assert library(given, np.array(True))[0].tolist() == [[1, 2]]
        assert library(given, np.array(False))[0].tolist() == [[2, 3]]


def test_maps_in_rows(tmp_path: Path) -> None:
    """As many as a size says; a text is the key that it makes with its own."""
    proto = model([vectorizer(string_vocabulary=["k=v", "n"])], STRING, FLOAT, {"y": FLOAT})
    luthier.build(proto, tmp_path / "out", log=None, shapes={"rows": range(0, 6)})
    with luthier.load(tmp_path / "out") as library:
        (y,) = library([{"n": 2, "k": "v"}, {}, {"k": "w", "n": np.float32(3), "": None}])
        assert y.tolist() == [[1, 2], [0, 0], [0, 3]]
        assert library([])[0].shape == (0, 2)
        assert library(np.ones((4, 2), np.float32))[0].shape == (4, 2)


def test_the_header_and_the_manifest_say_the_keys(tmp_path: Path) -> None:
    words = ["*/ evil", *map(str, range(9))]
    proto = model([vectorizer(string_vocabulary=words)], STRING, FLOAT, {"y": FLOAT})
    luthier.build(proto, tmp_path / "out", log=None)
    assert read_manifest(tmp_path / "out").inputs[0].keys == tuple(words)
    said = (tmp_path / "out" / "model.h").read_text()
    assert "'x' float32[1,10], 40 bytes, values of 0 '" in said
    assert " 1 '0', 2 '1'," in said
    assert "and 2 more" in said
    assert "*/ evil" not in said


@pytest.mark.parametrize(
    ("value", "given"), [(INT64, 1.5), (INT64, 2**63), (FLOAT, [1]), (FLOAT, None), (INT64, NAN)]
)
def test_values_that_do_not_fit_are_refused(value: int, given: Any, tmp_path: Path) -> None:
    proto = model([vectorizer(string_vocabulary=["a", "b"])], STRING, value, {"y": value})
    luthier.build(proto, tmp_path / "out", log=None)
    with (
        luthier.load(tmp_path / "out") as library,
        pytest.raises(InputError, match=r"input 'x' has .* for 'a', which is no (int64|float32)"),
    ):
        library({"a": given})


@pytest.mark.parametrize(
    ("nodes", "key", "value", "error", "said"),
    [
        ([vectorizer()], STRING, FLOAT, ModelError, "no vocabulary"),
        ([vectorizer(int64_vocabulary=[1])], STRING, FLOAT, ModelError, "no vocabulary"),
        ([vectorizer(string_vocabulary=[b"\xff"])], STRING, FLOAT, ModelError, "not UTF-8"),
        ([vectorizer(string_vocabulary=["a\0"])], STRING, FLOAT, ModelError, "zero byte"),
        ([cast_map()], STRING, FLOAT, ModelError, "keys of its map are not int64"),
        ([cast_map(cast_to="TO_INT64")], INT64, DOUBLE, ModelError, "neither float nor texts"),
        ([cast_map(cast_to="TO_HEX")], INT64, FLOAT, ModelError, "cast_to is b'TO_HEX'"),
        ([cast_map(map_form="THIN")], INT64, FLOAT, ModelError, "map_form is b'THIN'"),
        ([cast_map(map_form="SPARSE", max_map=0)], INT64, FLOAT, ModelError, "max_map is 0"),
        (
            [cast_map(map_form="SPARSE", max_map=2**40)], INT64, FLOAT, UnsupportedOperator,
            "more than 1048576",
        ),
        ([cast_map(cast_to="TO_STRING")], INT64, FLOAT, UnsupportedOperator, "texts of numbers"),
        (
            [cast_map(), cast_map("z", map_form="SPARSE", max_map=3)], INT64, FLOAT,
            UnsupportedOperator, "one node takes all values",
        ),
        (
            [helper.make_node("Identity", ["x"], ["y"])], INT64, FLOAT, UnsupportedOperator,
            "maps are not supported here",
        ),
        (
            [helper.make_node("Constant", [], ["y"], value_float=1.0)], INT64, FLOAT,
            UnsupportedOperator, "a map that no DictVectorizer",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    nodes: list[onnx.NodeProto], key: int, value: int, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_model(model(nodes, key, value, {"y": FLOAT}))
