"""A branch whose shapes do not go together at a model's sizes: a run ends that takes it."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from decided_models import ended, refused, same
from onnx_models import TARGET, expected, floats
from sized_models import computed

from luthier.frontend import Entry, import_entry, read_model
from luthier.frontend.program import Branch
from luthier.frontend.program.steps import walk
from luthier.schedules import ModelError, ModelWarning

SIX = "six = Constant <value = int64[1] {6}> () \n a = Reshape (x, six)"
WHOLE = "all = Constant <value = int64[1] {-1}> () \n b = Reshape (x, all)"
SLOW, FAST = np.array(8), np.array(16)


def choosing(six: str = SIX, whole: str = WHOLE, rows: int | str = 4) -> onnx.ModelProto:
    """By a rate of 8 the first, else the second."""
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
      g (float[{rows},3] x, int64 rate) => (float[m] y) {{
        low = Constant <value = int64 {{8}}> ()
        slow = Equal (rate, low)
        y = If (slow) <
            then_branch = half () => (float[k] a) {{ {six} }},
            else_branch = other () => (float[l] b) {{ {whole} }}>
    }}""")


def warned(model: onnx.ModelProto, runs: list[dict[str, np.ndarray]], says: str) -> Entry:
    """The entry, which does what its model does, with a warning."""
    with pytest.warns(ModelWarning, match=says):
        return same(model, runs)


def test_a_run_computes_the_other_or_ends() -> None:
    entry = warned(choosing(), [{"x": floats(4, 3), "rate": FAST}], r"'y': its then_branch cannot")
    said = ended(entry, {"x": floats(4, 3), "rate": SLOW})
    assert said == "If 'y': its then_branch cannot be at these sizes; its condition is 1, not 0"


def test_so_does_one_of_the_first() -> None:
    model = choosing(WHOLE.replace("b =", "a ="), SIX.replace("a =", "b ="))
    entry = warned(
        model, [{"x": floats(4, 3), "rate": SLOW}], r"\[4, 3\] does not reshape to \[6\]"
    )
    said = ended(entry, {"x": floats(4, 3), "rate": FAST})
    assert said == "If 'y': its else_branch cannot be at these sizes; its condition is 0, not 1"


def test_both_are_there_at_sizes_for_both() -> None:
    runs = [{"x": floats(2, 3), "rate": rate} for rate in (SLOW, FAST)]
    (program,) = same(choosing(rows=2), runs).variants
    assert any(isinstance(step, Branch) for step in walk(program.region))


def test_each_of_several_sizes_has_what_can_be() -> None:
    model = choosing(rows="n")
    with pytest.warns(ModelWarning):
        entry = import_entry(model, TARGET, {"n": (2, 4)})
    for rows in (2, 4):
        program, x = entry.variant({"n": rows}), floats(rows, 3)
        assert program is not None
        ours = computed(program, {"n": rows}, {"x": x, "rate": FAST})
        assert np.array_equal(ours["y"], x.reshape(-1))


def test_the_other_may_find_sizes_and_end() -> None:
    found = """zero = Constant <value = float {0}> () \n none = Constant <value = int64[1] {0}> ()
        all = Constant <value = int64[1] {-1}> () \n flat = Reshape (x, all)
        end = Reshape (rate, all) \n part = Slice (flat, none, end, none, end)
        mask = Greater (part, zero) \n b = Compress (part, mask)"""
    runs = [{"x": floats(4, 3), "rate": np.array(rate)} for rate in (1, 2, 16)]
    entry = warned(choosing(whole=found), runs, "then_branch cannot be")
    assert "then_branch" in ended(entry, {"x": floats(4, 3), "rate": SLOW})


def test_one_in_an_impossible_branch_is_impossible() -> None:
    inner = f"""low = Constant <value = int64 {{4}}> () \n less = Less (rate, low)
        a = If (less) <
            then_branch = t () => (float[k] c) {{ {SIX.replace("a =", "c =")} }},
            else_branch = e () => (float[k] d) {{ {SIX.replace("a =", "d =")} }}>"""
    entry = warned(choosing(inner), [{"x": floats(4, 3), "rate": FAST}], "'y': its then_branch")
    assert "then_branch" in ended(entry, {"x": floats(4, 3), "rate": SLOW})


def test_where_neither_can_be_the_message_names_what_decides() -> None:
    model = choosing(whole=SIX.replace("a =", "b ="))
    said = refused(model)
    assert "in a branch of If 'y': if it never runs, say so by --value rate=.." in said
    assert "does not reshape to [6]" in said


def test_a_value_that_is_given_leaves_it_out() -> None:
    read = read_model(choosing(), values={"rate": 16})
    assert import_entry(read, TARGET).variants


def test_one_that_breaks_the_rules_is_refused() -> None:
    wrong = SIX.replace("Reshape", "Reshape <allowed = 1>")
    assert "Unrecognized attribute: allowed" in refused(choosing(wrong))


def never(trips: str = "int64 n", condition: str = '""', kept: str = "float[k]") -> onnx.ModelProto:
    """A loop whose body reshapes 12 elements to 6."""
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
      g (float[r,3] x, float[6] first, {trips}, bool goes) => (float[m] y, {kept} z) {{
        six = Constant <value = int64[1] {{6}}> ()
        y, z = Loop <body = b (int64 i, bool c, float[6] v) => (bool on, float[6] w, float[6] u) {{
          on = Identity (c)
          part = Reshape (x, six)
          w = Add (v, part)
          u = Neg (w)
        }}> (n, {condition}, first)
    }}""")


@pytest.mark.parametrize(
    "runs", [[(0, False), (0, True), (-3, True)], [(5, False), (0, True)]], ids=["trips", "both"]
)
def test_a_loop_that_never_runs(runs: list[tuple[int, bool]]) -> None:
    """It gives what it begins with, and no rows; a run ends in which it runs."""
    condition = '""' if all(n < 1 for n, _ in runs) else "goes"
    inputs = [
        {"x": floats(4, 3), "first": floats(6), "n": np.array(n), "goes": np.array(goes)}
        for n, goes in runs
    ]
    model = never(condition=condition, kept="float[k,l]")
    for given in inputs:
        with pytest.warns(ModelWarning, match="'y': its body cannot be at these sizes"):
            entry = import_entry(read_model(model, {"r": 4}), TARGET)
        (program,) = entry.variants
        ours, wanted = computed(program, {}, given), expected(model, given)
        assert ours["z"].shape == wanted["z"].shape == (0, 6)
        assert np.array_equal(ours["y"], wanted["y"])
    said = ended(entry, {**inputs[0], "n": np.array(2), "goes": np.array(True)})
    assert "its body cannot be at these sizes; whether it runs: 1, not 0" in said


def test_a_loop_that_runs_is_refused() -> None:
    """How often it runs is known."""
    with pytest.raises(ModelError, match="does not reshape to"):
        import_entry(read_model(never(), {"r": 4}, values={"n": 2, "goes": True}), TARGET)
