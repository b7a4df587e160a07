"""What a user says of open sizes: names, ranges, lists; and what is refused, in one line."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import pytest
import sized_models
from onnx_models import TARGET, floats
from sized_models import N, opened

from luthier.frontend import import_model, read_model
from luthier.frontend.onnx.open_shapes import OpenShapes
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator


def said(proto: onnx.ModelProto, shapes: Mapping[str, object]) -> OpenShapes:
    read = read_model(proto, shapes)  # type: ignore[arg-type]
    assert read.open is not None
    return read.open


@pytest.mark.parametrize(
    "tokens", [range(2, 513), "2..512", ("2..512",)], ids=["a range", "a text", "a list of one"]
)
def test_a_range(tokens: object) -> None:
    found = said(sized_models.attention(), {"tokens": tokens, "batch": 3})
    assert list(map(str, found.symbols)) == ["tokens=2..512"]
    assert found.at({"tokens": 7}) == {"ids": (3, 7)}


def test_exact_sizes_are_sorted_and_each_is_there_once() -> None:
    found = said(sized_models.mlp(), {"batch": (8, 1, 8, 4)})
    assert list(map(str, found.symbols)) == ["batch=1,4,8"]


def test_names_for_the_dimensions_of_an_input() -> None:
    found = said(sized_models.mlp(), {"x": ("2*n+1", 40), "n": "1..9"})
    assert str(found.inputs["x"][0]) == "2*n+1"
    assert found.at({"n": 4}) == {"x": (9, 40)}


def test_expressions_of_the_model() -> None:
    found = said(sized_models.cache(), {"batch": 1, "past": "1..64", "tokens": 1})
    assert found.at({"past": 5})["mask"] == (1, 1, 1, 6)


def test_a_name_of_an_input_and_of_a_size() -> None:
    """A list of dimensions is the input's, anything else the size's."""
    shapes = {"past": (1, 2, "old", 16), "old": "1..9", "mask": (1, 1, 1, "old+1")}
    found = said(sized_models.cache(), {**shapes, "new": (1, 2, 1, 16)})
    assert list(map(str, found.symbols)) == ["old=1..9"]


def test_sizes_by_name_that_are_all_fixed() -> None:
    read = read_model(sized_models.attention(), {"batch": 2, "tokens": (16,)})
    assert read.open is None
    assert [d.dim_value for d in read.proto.graph.input[0].type.tensor_type.shape.dim] == [2, 16]


def test_open_sizes_keep_their_names_in_the_model() -> None:
    """So that another engine runs it at all of them."""
    read = read_model(sized_models.cache(), {"batch": 1, "past": "1..64", "tokens": "1..4"})
    dims = read.proto.graph.input[2].type.tensor_type.shape.dim
    assert [d.dim_param or d.dim_value for d in dims] == [1, 1, 1, "past+tokens"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            {},
            "input 'ids' has no size in dimension 0 ('batch'): give sizes, such as --shape ids=1,1 "
            "or shapes={'ids': (1, 1)}; or say which sizes it is for, such as "
            "--shape batch=1..8 --shape tokens=1..512",
        ),
        (
            {"batch": 1},
            "input 'ids' has the size 'tokens' in dimension 1: nobody says which sizes 'tokens' "
            "may have; say which, such as --shape tokens=1..512 or --shape tokens=8",
        ),
        (
            {"token": "1..8", "batch": 1},
            "a shape is given for 'token', but the model's inputs are: 'ids'; its sizes with "
            "names: batch, tokens",
        ),
        ({"batch": 1, "tokens": "8..1"}, "'tokens=8..1' is not a range of sizes such as"),
        ({"batch": 1, "tokens": range(8, 8)}, "'tokens=range(8, 8)' is not a range of sizes"),
        ({"batch": 1, "tokens": range(1, 9, 2)}, "'tokens=range(1, 9, 2)' is not a range"),
        ({"batch": 1, "tokens": -4}, "'tokens=-4' is not a range of sizes"),
        ({"batch": 1, "tokens": ()}, "'tokens=()' is not a range of sizes"),
        ({"batch": 1, "tokens": "9" * 40}, "is not a range of sizes"),
        ({"ids": (1, "tokens"), "tokens": "1..9"}, None),
        ({"ids": ("tokens",), "tokens": "1..9"}, "has 2 dimensions, but the shape tokens"),
        ({"ids": (1, "tokens-4"), "tokens": "1..9"}, "has -3 elements in dimension 1 ('tokens-4')"),
        ({"ids": (1, "tokens+"), "tokens": "1..9"}, "'tokens+' is not a size such as"),
        ({"ids": (1, "x y"), "tokens": "1..9"}, "a shape is given for 'tokens', but"),
        ({"batch": 1, "tokens": 2**40}, "larger than can be indexed"),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(shapes: Mapping[str, object], message: str | None) -> None:
    if message is None:
        assert said(sized_models.attention(), shapes).symbols
        return
    with pytest.raises(ModelError) as refused:
        read_model(sized_models.attention(), shapes)  # type: ignore[arg-type]
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"batch": 1, "tokens": range(1, 1 << 30)}, "narrow them, or give exact sizes"),
        ({"batch": "1..4096", "tokens": "1..4096"}, "have 16777216 choices together"),
        ({"batch": 1, "tokens": tuple(range(1, 99))}, "give a range, such as tokens=1..98"),
        ({"batch": tuple(range(1, 30)), "tokens": tuple(range(1, 30))}, "have 841 choices"),
    ],
    ids=str,
)
def test_what_is_not_supported_is_named(shapes: Mapping[str, object], message: str) -> None:
    with pytest.raises(UnsupportedOperator) as refused:
        read_model(sized_models.attention(), shapes)  # type: ignore[arg-type]
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["", "?", "unk", "None"])
def test_dimensions_without_a_name_of_their_own(name: str) -> None:
    """Two of these are not one size."""
    proto = opened([N("Add", ["x", "y"], ["z"])], dict.fromkeys("xy", ((name, 4), "float32")), {})
    proto.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, None))
    with pytest.raises(ModelError, match="nor a name for it: give its shape, with names for what"):
        read_model(proto, {"x": ("n", 4), "n": "1..4"})
    found = said(proto, {"x": ("n", 4), "y": (1, 4), "n": "1..4"})
    assert list(map(str, found.symbols)) == ["n=1..4"]


def test_an_expression_of_a_stranger_costs_little() -> None:
    proto = opened([N("Relu", ["x"], ["y"])], {"x": (("(n+1)*" * 80 + "n",), "float32")}, {})
    proto.graph.output.append(onnx.helper.make_tensor_value_info("y", 1, None))
    with pytest.raises(LuthierError, match="is not a size such as"):
        read_model(proto, {"n": "1..4"})


def test_huge_inputs_are_refused_before_they_take_memory() -> None:
    constants = {"w": floats(40, 48)}
    proto = opened([N("MatMul", ["x", "w"], ["y"])], {"x": (("n", 40), "float32")}, {}, constants)
    proto.graph.output.append(onnx.helper.make_tensor_value_info("y", 1, None))
    with pytest.raises(LuthierError):
        import_model(proto, TARGET, {"n": 2**31 - 1})


@pytest.mark.parametrize(
    ("dims", "wanted"),
    [
        (
            ["N", 3, "?", "?"],
            "--shape x=1,3,224,224 or shapes={'x': (1, 3, 224, 224)}; or say which sizes it is "
            "for, such as --shape N=1..512",
        ),
        (["batch", "h", "w", 1], "such as --shape batch=1..8 --shape h=224,320 --shape w=224,320"),
        (
            ["p2o.DynamicDimension.0", 3, 48, "p2o.DynamicDimension.1"],
            "--shape x=1,3,48,224 or shapes={'x': (1, 3, 48, 224)}; or say which sizes it is for, "
            "such as --shape x=batch,3,48,width --shape batch=1..8 --shape width=224,320",
        ),
        (["?", 7], "give sizes, such as --shape x=1,7 or shapes={'x': (1, 7)}"),
    ],
    ids=["some names", "names", "images", "others"],
)
def test_sizes_that_are_proposed_suit_images(dims: list[object], wanted: str) -> None:
    x, y = (onnx.helper.make_tensor_value_info(n, 1, d) for n, d in (("x", dims), ("y", None)))
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    made = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y]))
    with pytest.raises(ModelError) as refused:
        read_model(made)
    assert str(refused.value).endswith(wanted)
