"""States in programs: which inputs and outputs they are, and how those that grow do."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest
import state_models
from onnx_models import TARGET
from sized_models import N, opened

from luthier.frontend import Entry, Library, import_entries, import_entry, read_model
from luthier.frontend.program import Expect
from luthier.frontend.program.library import verify_library
from luthier.frontend.states.pairs import declare_states, state_pairs
from luthier.schedules import ModelError, UnsupportedOperator
from luthier.schedules.ir.size import Size


def entries() -> dict[str, Entry]:
    decode = read_model(state_models.decoder(1), {"past": range(41)}, state="auto")
    chunk = {"tokens": range(1, 17), "past": 0}
    prefill = read_model(state_models.decoder(), chunk, state=state_models.STATES)
    return import_entries({"prefill": prefill, "decode": decode}, TARGET)


def test_a_cache_is_appended_to_in_place_and_attention_reads_it_where_it_lies() -> None:
    decode = entries()["decode"]
    assert [str(size) for size in decode.lengths] == ["past=0..40"]
    assert decode.sizes == ()
    program = decode.variants[0]
    assert [name for name, _ in program.inputs] == ["ids", "at"]
    assert [name for name, _ in program.outputs] == ["logits"]
    for state in program.states:
        assert program.values[state.before].shape == (1, 2, 41, 8)
        assert (state.axis, state.length, state.more) == (2, "past", 1)
        part = program.parts[state.after]
        assert part.whole == state.before
        assert isinstance(part.first, Size)
        assert part.first.at({"past": 7}) == 7 * 8
        assert part.pitch == 41 * 8
    readers = [
        call for call in program.calls if set(call.args) & {s.before for s in program.states}
    ]
    assert [node.op for call in readers for node in call.workload.nodes] == ["attention"] * 2
    position = {call.result: i for i, call in enumerate(program.calls)}
    for call in readers:
        appended = [s.after for s in program.states if s.before in call.args]
        assert max(position[value] for value in appended) < position[call.result]


GROUPED = """<ir_version: 10, opset_import: ["": 21, "com.microsoft": 1]>
decoder (float[1,tokens,16] q, float[1,tokens,16] k, float[1,tokens,16] v, int32[1] last,
         %s past_0, %s past_1) => (float[1,tokens,16] y, %s present_0, %s present_1)
<float scale = {0.03}, int32 total = {0}> {
  y, present_0, present_1 = com.microsoft.GroupQueryAttention <num_heads = 2, kv_num_heads = 2%s>
    (q, k, v, past_0, past_1, last, total%s)
}
"""
FOUR_BITS = (
    ', k_quant_type = "PER_TENSOR", v_quant_type = "PER_TENSOR", kv_cache_bit_width = 4',
    ", , , , , , scale, scale",
)


@pytest.mark.parametrize(
    ("cache", "more"), [("float[1,2,%s,8]", ("", "")), ("uint8[1,2,%s,4]", FOUR_BITS)]
)
def test_a_cache_of_groups_is_appended_to(cache: str, more: tuple[str, str]) -> None:
    """Whether a run is told of as many keys as there are it asks before it writes anything."""
    types = (cache % "past", cache % "past", cache % "all", cache % "all")
    proto = onnx.parser.parse_model(GROUPED % (*types, *more))
    shapes = {"tokens": range(2, 9), "past": range(1, 33)}
    for program in import_entry(read_model(proto, shapes, state="auto"), TARGET).variants:
        assert [name for name, _ in program.outputs] == ["y"]
        assert [(s.name, s.axis, s.length) for s in program.states] == [
            ("past_0", 2, "past"),
            ("past_1", 2, "past"),
        ]
        (asked,) = (i for i, step in enumerate(program.steps) if isinstance(step, Expect))
        written = {state.after for state in program.states}
        first = min(i for i, s in enumerate(program.steps) if not written.isdisjoint(s.defines))
        assert asked < first


def test_entries_share_states_with_room_for_what_any_needs() -> None:
    found = entries()
    verify_library(Library("small", found))
    rooms = {
        name: {s.name: entry.variants[0].values[s.before] for s in entry.variants[0].states}
        for name, entry in found.items()
    }
    assert rooms["prefill"] == rooms["decode"]
    assert [str(size) for size in found["prefill"].lengths] == ["past=0"]
    assert [str(size) for size in found["prefill"].sizes] == ["tokens=1..16"]


def test_a_state_that_keeps_its_type_becomes_another_value() -> None:
    entry = import_entry(read_model(state_models.elman(), state={"h_in": "h_out"}), TARGET)
    (program,) = entry.variants
    (state,) = program.states
    assert (state.name, state.becomes, state.axis) == ("h_in", "h_out", None)
    assert program.values[state.before] == program.values[state.after]
    assert state.before != state.after
    assert [name for name, _ in program.outputs] == ["y"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("past_key_values.0.key", "present.0.key"),
        ("past_key_values.3.value", "present_key_values.3.value"),
        ("past_key_values_0", "present_key_values_0"),
        ("past_0", "present_0"),
        ("h_in", "h_out"),
    ],
)
def test_usual_names_are_found(before: str, after: str) -> None:
    nodes = [N("Relu", [before], [after]), N("Relu", ["x"], ["present_other"])]
    kinds = dict.fromkeys((before, "x"), ((4,), "float32"))
    made = opened(nodes, kinds, {after: "float32", "present_other": "float32"})
    assert state_pairs(made, "auto") == {before: after}


def test_names_of_other_types_are_no_state() -> None:
    nodes = [N("Cast", ["h_in"], ["h_out"], to=7)]
    made = opened(nodes, {"h_in": ((4,), "float32")}, {"h_out": "int64"})
    with pytest.raises(ModelError, match="no input and output are a state by their names"):
        state_pairs(made, "auto")
    with pytest.raises(ModelError, match="the state 'h_in' becomes 'h_out', which is of another"):
        state_pairs(made, {"h_in": "h_out"})


def test_a_model_may_tell_its_own_states() -> None:
    nodes = [N("Neg", ["a"], ["b"]), N("Abs", ["c"], ["d"])]
    kinds = {"a": ((4,), "float32"), "c": ((4,), "float32")}
    made = opened(nodes, kinds, {"b": "float32", "d": "float32"})
    declare_states(made, {"a": "b"})
    assert state_pairs(made, None) == state_pairs(made, "auto") == {"a": "b"}
    assert state_pairs(made, {"c": "d"}) == {"a": "b", "c": "d"}
    assert read_model(made, outputs=["d"]).states == {"a": "b"}
    declare_states(made, {"c": "nothing"})
    with pytest.raises(ModelError, match="the state's output 'nothing' is not there"):
        read_model(made)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"g_in": "h_out"}, "the state's input 'g_in' is not there; the inputs are: 'x', 'h_in'"),
        ({"h_in": "g"}, "the state's output 'g' is not there; the outputs are: 'y', 'h_out'"),
        ({"h_in": "h_out", "x": "h_out"}, "an output is given for two states"),
        ({"h_in": "y"}, r"the state 'h_in' is float32\[1,8\] and becomes 'y'"),
    ],
)
def test_what_is_no_state_is_refused(state: dict[str, str], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_entry(read_model(state_models.elman(), state=state), TARGET)


def test_a_size_that_is_given_by_its_name_is_no_growth() -> None:
    made = opened(
        [N("Concat", ["past_0", "new"], ["present_0"], axis=1)],
        {"past_0": (("batch", "past"), "float32"), "new": (("batch", 2), "float32")},
        {"present_0": "float32"},
    )
    del made.graph.output[0].type.tensor_type.shape.dim[:]
    for name in ("batch", "all"):
        made.graph.output[0].type.tensor_type.shape.dim.add(dim_param=name)
    read = read_model(made, {"batch": 3, "past": range(1, 9)}, state={"past_0": "present_0"})
    (state,) = import_entry(read, TARGET).variants[0].states
    assert (state.axis, state.length, state.more) == (1, "past", 2)


def test_other_growth_is_refused_by_name() -> None:
    def grown(made: object, **sizes: object) -> Entry:
        return import_entry(read_model(made, sizes, state={"past_0": "present_0"}), TARGET)

    with pytest.raises(UnsupportedOperator, match="computed from what the state holds"):
        grown(state_models.from_the_past(), past=range(1, 9))
    with pytest.raises(UnsupportedOperator, match="not the concatenation of it and of what is new"):
        grown(state_models.turned(), past=range(1, 9))
    with pytest.raises(ModelError, match="grows along an axis whose size is left open"):
        grown(state_models.turned(), past_0=(4, 1))
    same = opened(
        [N("Relu", ["past_0"], ["present_0"])],
        {"past_0": (("n",), "float32")},
        {"present_0": "float32"},
    )
    with pytest.raises(ModelError, match="becomes longer along axis 0"):
        grown(same, n=range(1, 9))
    wide = opened(
        [N("Relu", ["past_0"], ["present_0"])],
        {"past_0": (("n", "m"), "float32")},
        {"present_0": "float32"},
    )
    with pytest.raises(UnsupportedOperator, match="may grow along one axis"):
        grown(wide, n=range(1, 9), m=range(1, 9))


def test_a_state_has_no_value_and_is_appended_to() -> None:
    with pytest.raises(ModelError, match="'h_in' is a state and has a value"):
        read_model(
            state_models.elman(),
            values={"h_in": np.zeros((1, 8), np.float32)},
            state={"h_in": "h_out"},
        )
    shapes = {"tokens": range(17), "past": range(9)}
    with pytest.raises(UnsupportedOperator, match=r"not the concatenation.* begin at 1: tokens$"):
        import_entries({"run": read_model(state_models.decoder(), shapes, state="auto")}, TARGET)


def test_states_of_one_name_are_one() -> None:
    one = read_model(state_models.elman(), state={"h_in": "h_out"})
    nodes = [N("Relu", ["h_in"], ["h_out"])]
    made = opened(nodes, {"h_in": ((4,), "float32")}, {"h_out": "float32"})
    with pytest.raises(ModelError, match="states of one name are one"):
        import_entries({"one": one, "other": read_model(made, state="auto")}, TARGET)
