"""Models whose sizes are open: one program for a range, which is the fixed one at each size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import sized_models
from onnx import helper
from onnx_models import TARGET, compute, expected, floats
from sized_models import integers, opened, same_at_all_sizes

from luthier.frontend import Entry, import_entry, import_model, read_model
from luthier.frontend.program import at
from luthier.frontend.program.library import Library, verify_library
from luthier.frontend.sizes import imported
from luthier.schedules import ModelError, UnsupportedOperator

N = helper.make_node


def ranges(entry: Entry) -> list[str]:
    return [" ".join(map(str, program.symbols)) for program in entry.variants]


def test_a_batch() -> None:
    entry = same_at_all_sizes(sized_models.mlp(), {"batch": range(1, 65)})
    (program,) = entry.variants
    assert str(program.type(program.outputs[0][1])) == "float32[batch,8]"


def test_strides_over_sizes_round_down_and_multiply() -> None:
    shapes = {"batch": (1, 3), "height": "16..64", "width": range(32, 65)}
    entry = same_at_all_sizes(sized_models.convolution(), shapes)
    assert ranges(entry) == [f"batch={n}..{n} height=16..64 width=32..64" for n in (1, 3)]
    (tokens, _) = entry.variants[0].outputs
    kind = entry.variants[0].type(tokens[1])
    assert str(kind) == "float32[1,((height-1)//4)*((width-1)//4),16]"


def test_windows_far_apart_are_one_program_though_few_of_them_come_of_a_range() -> None:
    """Frames of sound, 320 samples apart after seven layers: many rules give so few numbers."""
    windows = [(10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)]
    names = ["x", *(f"h{i}" for i in range(len(windows) - 1)), "y"]
    nodes = [
        N("MaxPool", [names[i]], [names[i + 1]], kernel_shape=[kernel], strides=[stride])
        for i, (kernel, stride) in enumerate(windows)
    ]
    proto = opened(nodes, {"x": ((1, 2, "n"), "float32")}, {"y": "float32"})
    (program,) = import_entry(proto, TARGET, {"n": "4000..9000"}).variants
    for n in (4000, 4240, 6543, 8999):
        x = floats(1, 2, n)
        ours = compute(at(program, {"n": n}), {"x": x})["y"]
        np.testing.assert_array_equal(ours, expected(proto, {"x": x})["y"])


def test_attention_with_a_mask_and_positions_of_the_size() -> None:
    entry = same_at_all_sizes(sized_models.attention(), {"batch": 2, "tokens": "2..48"})
    (program,) = entry.variants
    assert str(program.type(program.outputs[0][1])) == "float32[2,tokens,32]"
    assert "attention" in str(program)


def test_two_sizes() -> None:
    entry = same_at_all_sizes(sized_models.attention(), {"batch": "1..4", "tokens": "1..48"})
    assert ranges(entry)[0].endswith("tokens=2..48")  # one token attends to itself alone


def test_the_past_and_new_rows_after_it() -> None:
    shapes = {"batch": 1, "past": "1..64", "tokens": "1..16"}
    entry = same_at_all_sizes(sized_models.cache(), shapes)
    outputs = {name: str(entry.variants[0].type(v)) for name, v in entry.variants[0].outputs}
    assert outputs["all"] == "float32[1,2,past+tokens,16]"


def beside(left: sized_models.Shape, right: sized_models.Shape, axis: int) -> onnx.ModelProto:
    """Products of two inputs, one after the other along an axis."""
    nodes = [
        N("MatMul", ["a", "v"], ["one"]),
        N("MatMul", ["b", "w"], ["other"]),
        N("Concat", ["one", "other"], ["y"], axis=axis),
    ]
    constants = {"v": floats(left[-1], 24), "w": floats(right[-1], 24)}
    inputs = {"a": (left, "float32"), "b": (right, "float32")}
    return opened(nodes, inputs, {"y": "float32"}, constants)


def test_pieces_of_a_whole_lie_in_it() -> None:
    entry = same_at_all_sizes(beside(("rows", 8), ("rows", 16), 1), {"rows": "2..20"})
    assert {part.pitch for part in entry.variants[0].parts.values()} == {48}
    entry = same_at_all_sizes(beside(("up", 8), ("down", 16), 0), {"up": "2..9", "down": "2..9"})
    assert sorted(str(part.first) for part in entry.variants[0].parts.values()) == ["0", "24*up"]


def test_pieces_that_lie_a_size_apart_are_copied() -> None:
    proto = beside((3, "up", 8), (3, "down", 16), 1)
    entry = same_at_all_sizes(proto, {"up": "2..9", "down": "2..9"}, dense=True)
    assert not entry.variants[0].parts


def test_a_branch_that_a_size_decides() -> None:
    entry = same_at_all_sizes(sized_models.decided(), {"tokens": "2..40"})
    assert ranges(entry) == ["tokens=9..40", "tokens=2..8"]


def test_one_row_is_another_model() -> None:
    entry = same_at_all_sizes(sized_models.broadcast(), {"tokens": "1..40"})
    assert ranges(entry) == ["tokens=2..40", "tokens=1..1"]


def test_sizes_that_a_reshape_multiplies() -> None:
    entry = same_at_all_sizes(sized_models.product(), {"batch": "2..4", "tokens": "2..32"})
    assert any("batch*tokens" in str(call.open) for call in entry.variants[0].calls)


def test_names_that_the_model_does_not_have() -> None:
    proto = sized_models.mlp()
    proto.graph.input[0].type.tensor_type.shape.dim[0].ClearField("dim_param")
    entry = same_at_all_sizes(proto, {"x": ("rows", 40), "rows": (1, 4, 8)})
    assert ranges(entry) == ["rows=1..1", "rows=4..4", "rows=8..8"]


def test_fixed_sizes_are_the_program_of_before() -> None:
    proto = sized_models.attention()
    named = import_entry(proto, TARGET, {"batch": 2, "tokens": (16,)})
    (program,) = named.variants
    assert not named.symbols
    assert str(program) == str(import_model(proto, TARGET, {"ids": (2, 16)}))


def test_weights_are_kept_once() -> None:
    entry = import_entry(sized_models.mlp(), TARGET, {"batch": (1, 2, 4)})
    kept = [{id(array) for array in program.constants.values()} for program in entry.variants]
    assert kept[0] == kept[1] == kept[2]


def test_a_value_fills_an_input_whose_sizes_are_open() -> None:
    nodes = [N("Gather", ["table", "kinds"], ["k"]), N("Gather", ["table", "ids"], ["i"])]
    shape = (("batch", "tokens"), "int64")
    proto = opened(
        [*nodes, N("Add", ["k", "i"], ["y"])],
        {"ids": shape, "kinds": shape},
        {"y": "float32"},
        {"table": floats(20, 8)},
    )
    read = read_model(proto, {"batch": "1..4", "tokens": "1..32"}, {"kinds": 3})
    assert [i.name for i in read.proto.graph.input] == ["ids"]
    entry = same_at_all_sizes(read.proto, {"batch": "1..4", "tokens": "1..32"})
    assert len(entry.variants[0].inputs) == 1
    with pytest.raises(ModelError, match="one number, which fills it, or exact sizes"):
        read_model(proto, {"batch": "1..4", "tokens": 2}, {"kinds": [[0, 1]]})
    proto.graph.input[1].type.tensor_type.shape.dim[1].dim_param = "n"
    with pytest.raises(
        ModelError, match="its size 'n' is not another input's: give the size, such"
    ):
        read_model(proto, {"batch": 1, "tokens": 1, "n": "1..4"}, {"kinds": 0})


def test_a_model_that_ends_earlier() -> None:
    read = read_model(sized_models.mlp(), {"batch": "1..8"}, outputs=["r"])
    (program,) = import_entry(read, TARGET).variants
    assert [str(program.type(v)) for _, v in program.outputs] == ["float32[batch,48]"]


def test_numbers_that_follow_no_rule_are_told() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Cast", ["shape"], ["count"], to=1),
        N("Sqrt", ["count"], ["root"]),
        N("Div", ["x", "root"], ["y"]),
    ]
    proto = opened(nodes, {"x": (("tokens",), "float32")}, {"y": "float32"})
    with pytest.raises(UnsupportedOperator) as refused:
        import_entry(proto, TARGET, {"tokens": "1..512"})
    assert "(Div 'y' is another for other sizes): give a few exact ones" in str(refused.value)
    assert len(import_entry(proto, TARGET, {"tokens": (1, 100, 512)}).variants) == 3


def test_a_program_of_fixed_sizes_of_a_model_with_open_ones() -> None:
    with pytest.raises(ModelError, match=r"these are open: batch=1\.\.4"):
        import_model(sized_models.mlp(), TARGET, {"batch": "1..4"})


def test_a_range_is_looked_at_in_few_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imported, "_MOST_IMPORTS", 12)
    import_entry(sized_models.mlp(), TARGET, {"batch": range(1, 1 << 16)})
    with pytest.raises(UnsupportedOperator, match="no few programs run the model for all"):
        import_entry(sized_models.mlp(), TARGET, {"batch": tuple(range(1, 15))})


def test_a_constant_of_two_sizes_is_cut_from_the_largest() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("ConstantOfShape", ["shape"], ["ones"], value=helper.make_tensor("v", 1, [1], [1.0])),
        N("Trilu", ["ones"], ["y"], upper=0),
        N("Add", ["x", "y"], ["z"]),
    ]
    proto = opened(nodes, {"x": (("a", "b"), "float32")}, {"z": "float32", "y": "float32"})
    entry = same_at_all_sizes(proto, {"a": "2..20", "b": "2..30"})
    assert next(c.source for c in entry.variants[0].calls) == "a constant"


def test_a_mask_of_new_rows_after_the_past_is_cut_where_it_begins() -> None:
    """Each of the new rows sees the past and the new ones up to itself."""
    nodes = [
        N("Shape", ["past"], ["past shape"]),
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["past shape", "zero"], ["before"]),
        N("Gather", ["shape", "zero"], ["count"]),
        N("Add", ["before", "count"], ["all"]),
        N("Range", ["zero", "all", "one"], ["columns"]),
        N("Range", ["before", "all", "one"], ["rows"]),
        N("Unsqueeze", ["rows", "last"], ["row"]),
        N("LessOrEqual", ["columns", "row"], ["visible"]),
        N("Where", ["visible", "nothing", "far"], ["mask"]),
        N("Concat", ["past", "x"], ["keys"], axis=0),
        N("Transpose", ["keys"], ["key columns"], perm=[1, 0]),
        N("MatMul", ["x", "key columns"], ["scores"]),
        N("Add", ["scores", "mask"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "one": np.array(1),
        "last": integers(1),
        "nothing": np.float32(0),
        "far": np.float32(-9),
    }
    inputs = {"past": (("p", 8), "float32"), "x": (("t", 8), "float32")}
    proto = opened(nodes, inputs, {"y": "float32"}, constants)
    entry = same_at_all_sizes(proto, {"p": "2..30", "t": "2..9"})
    assert any(
        "30-p" in str(dict(n.attrs))
        for c in entry.variants[0].calls
        if c.open
        for n in c.open.workload.nodes
    )


def test_places_in_a_tensor_that_was_made_flat_are_computed_from_its_sizes() -> None:
    """As exporters spell ``mask[rows, columns]``."""
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "zero"], ["rows"]),
        N("Gather", ["shape", "one"], ["columns"]),
        N("Range", ["zero", "rows", "one"], ["row"]),
        N("Range", ["zero", "columns", "one"], ["column"]),
        N("Mul", ["row", "columns"], ["begin"]),
        N("Unsqueeze", ["begin", "last"], ["begins"]),
        N("Add", ["begins", "column"], ["places"]),
        N("Reshape", ["x", "all"], ["flat"]),
        N("Gather", ["flat", "places"], ["y"]),
    ]
    constants = {"zero": np.array(0), "one": np.array(1), "last": integers(1), "all": integers(-1)}
    inputs = {"x": (("a", "b"), "float32")}
    proto = opened(nodes, inputs, {"y": "float32", "places": "int64"}, constants)
    entry = same_at_all_sizes(proto, {"a": "1..20", "b": "2..30"})
    assert ranges(entry) == ["a=1..20 b=2..30"]


def positions(output: str, size: str) -> list[onnx.NodeProto]:
    """Rows of an input, each times its number."""
    return [
        N("Shape", [size], [f"{size} shape"]),
        N("Gather", [f"{size} shape", "zero"], [f"{size} rows"]),
        N("Range", ["zero", f"{size} rows", "one"], [f"{size} numbers"]),
        N("Cast", [f"{size} numbers"], [f"{size} floats"], to=1),
        N("Unsqueeze", [f"{size} floats", "last"], [f"{size} column"]),
        N("Mul", [size, f"{size} column"], [output]),
    ]


def test_sizes_that_happen_to_be_one_are_no_other_program() -> None:
    """Where a source is as long as its target, what follows from either size is one constant."""
    nodes = [*positions("y", "x"), *positions("v", "u")]
    constants = {"zero": np.array(0), "one": np.array(1), "last": integers(1)}
    inputs = {"x": (("a", 4), "float32"), "u": (("b", 4), "float32")}
    proto = opened(nodes, inputs, {"y": "float32", "v": "float32"}, constants)
    entry = same_at_all_sizes(proto, {"a": "2..24", "b": "2..16"})
    assert ranges(entry) == ["a=2..24 b=2..16"]
    for a in (5, 16):
        program = at(entry.variants[0], {"a": a, "b": a})
        arrays = {"x": floats(a, 4), "u": floats(a, 4)}
        ours, theirs = compute(program, arrays), expected(proto, arrays)
        np.testing.assert_array_equal(ours["y"], theirs["y"])
        np.testing.assert_array_equal(ours["v"], theirs["v"])


def branched(condition: list[onnx.NodeProto], **constants: int) -> onnx.ModelProto:
    """The exponential of x [a, 4] where what is computed of its ``rows`` says so, else -x."""

    def branch(name: str, op: str) -> onnx.GraphProto:
        made = N(op, ["x"], [name])
        return helper.make_graph([made], name, [], [helper.make_tensor_value_info(name, 1, None)])

    branches = {"then_branch": branch("t", "Exp"), "else_branch": branch("e", "Neg")}
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "zero"], ["rows"]),
        *condition,
        N("If", ["so"], ["y"], **branches),
    ]
    arrays = {name: np.array(n) for name, n in {"zero": 0, **constants}.items()}
    return opened(nodes, {"x": (("a", 4), "float32")}, {"y": "float32"}, arrays)


@pytest.mark.parametrize(
    ("size", "span", "wanted"),
    [
        (3, "2..40", ["a=4..40", "a=3..3", "a=2..2"]),
        (23, "2..400", ["a=24..400", "a=23..23", "a=2..22"]),  # which no import meets by itself
        (400, "1..400", ["a=400..400", "a=1..399"]),
        (401, "1..400", ["a=1..400"]),
    ],
)
def test_a_branch_that_one_size_decides_is_a_program_of_its_own(
    size: int, span: str, wanted: list[str]
) -> None:
    proto = branched([N("Equal", ["rows", "n"], ["so"])], n=size)
    entry = import_entry(proto, TARGET, {"a": span})
    assert ranges(entry) == wanted
    for rows in {size - 1, size} & {*range(1, 401)}:
        program = entry.variant({"a": rows})
        assert program is not None
        x = {"x": floats(rows, 4)}
        found = compute(at(program, {"a": rows}), x)["y"]
        np.testing.assert_allclose(found, expected(proto, x)["y"], rtol=1e-5)


def test_a_branch_that_some_sizes_between_imports_decide_is_a_program_of_its_own() -> None:
    condition = [
        N("GreaterOrEqual", ["rows", "first"], ["from"]),
        N("LessOrEqual", ["rows", "last"], ["to"]),
        N("And", ["from", "to"], ["so"]),
    ]
    proto = branched(condition, first=140, last=143)
    entry = import_entry(proto, TARGET, {"a": "2..400"})
    for rows in (139, 140, 143, 144):
        program = entry.variant({"a": rows})
        assert program is not None
        x = {"x": floats(rows, 4)}
        found = compute(at(program, {"a": rows}), x)["y"]
        np.testing.assert_allclose(found, expected(proto, x)["y"], rtol=1e-5)


def test_a_constant_that_one_size_decides_is_a_program_of_its_own() -> None:
    nodes = [
        N("Shape", ["x"], ["shape"]),
        N("Gather", ["shape", "zero"], ["rows"]),
        N("Equal", ["rows", "n"], ["so"]),
        N("Where", ["so", "one", "two"], ["factor"]),
        N("Mul", ["x", "factor"], ["y"]),
    ]
    factors = {"one": np.float32(1), "two": np.float32(2)}
    constants = {"zero": np.array(0), "n": np.array(23), **factors}
    proto = opened(nodes, {"x": (("a", 4), "float32")}, {"y": "float32"}, constants)
    entry = import_entry(proto, TARGET, {"a": "2..400"})
    for rows in (22, 23, 24):
        program = entry.variant({"a": rows})
        assert program is not None
        x = {"x": floats(rows, 4)}
        found = compute(at(program, {"a": rows}), x)["y"]
        np.testing.assert_array_equal(found, expected(proto, x)["y"])


def test_numbers_of_a_size() -> None:
    """Few whole numbers are computed from the sizes; others are refused by name."""
    nodes = [N("Shape", ["x"], ["y"]), N("Size", ["x"], ["n"])]
    rows = {"x": (("tokens", 3), "float32")}
    proto = opened(nodes, rows, {"y": "int64", "n": "int64"})
    entry = import_entry(proto, TARGET, {"tokens": "1..400"})
    verify_library(Library("small", {"run": entry}))
    for tokens in (1, 2, 77, 400):
        program = entry.variant({"tokens": tokens})
        assert program is not None
        x = floats(tokens, 3)
        found = compute(at(program, {"tokens": tokens}), {"x": x})
        assert [*found["y"], found["n"]] == [tokens, 3, 3 * tokens]
    nodes = [N("Shape", ["x"], ["s"]), N("Cast", ["s"], ["f"], to=1), N("Sqrt", ["f"], ["y"])]
    proto = opened(nodes, rows, {"y": "float32"})
    with pytest.raises(UnsupportedOperator, match="a constant of type float32"):
        import_entry(proto, TARGET, {"tokens": "1..400"})


def test_the_last_row_of_a_size() -> None:
    nodes = [N("Gather", ["x", "last"], ["y"], axis=0)]
    rows = {"x": (("n", 3), "float32")}
    proto = opened(nodes, rows, {"y": "float32"}, {"last": integers(-1)})
    same_at_all_sizes(proto, {"n": "1..9"})


def test_a_model_that_is_wrong_for_some_sizes_is_told_by_one() -> None:
    nodes = [N("Reshape", ["x", "halves"], ["y"])]
    rows = {"x": (("n", 3), "float32")}
    proto = opened(nodes, rows, {"y": "float32"}, {"halves": integers(2, -1, 3)})
    with pytest.raises(ModelError, match=r"^for n=\d*[13579]: "):
        import_entry(proto, TARGET, {"n": "2..40"})
    same_at_all_sizes(proto, {"x": ("2*half", 3), "half": "1..20"})


def test_an_output_has_as_many_dimensions_at_all_sizes() -> None:
    proto = opened([N("Squeeze", ["x"], ["y"])], {"x": (("n", 1), "float32")}, {"y": "float32"})
    said = "output 'y' has 0 dimensions at n=1, and 1 at n=2..9: leave .* by --shape n=2..9$"
    with pytest.raises(UnsupportedOperator, match=said):
        import_entry(proto, TARGET, {"n": "1..9"})
    with pytest.raises(UnsupportedOperator, match="0 dimensions at n=1, and 1 at n=4: "):
        import_entry(proto, TARGET, {"n": (4, 1)})
    same_at_all_sizes(proto, {"n": "2..9"})


def test_who_asks_again_gets_the_same() -> None:
    read = read_model(sized_models.mlp(), {"batch": "1..8"})
    assert import_entry(read, TARGET) is import_entry(read, TARGET)


def test_the_program_of_all_sizes_is_dumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_DUMP", str(tmp_path))
    (program,) = import_entry(sized_models.mlp(), TARGET, {"batch": "1..8"}).variants
    assert (tmp_path / "00-variant.txt").read_text() == f"{program}\n"
