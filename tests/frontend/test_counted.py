"""How often a loop runs whose condition compares a counter with a number, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from decided_models import refused, same

from luthier.frontend import Entry

X = {"x": np.array(3, np.int64), "n": np.array(4, np.int64)}


def counting(
    goes: str, first: int = 0, step: int = 1, limit: int = 5, trips: str = '""'
) -> onnx.ModelProto:
    """A loop that keeps what ``x`` times the counter was in each iteration."""
    return onnx.parser.parse_model(f"""<ir_version: 8, opset_import: ["": 18]>
      g (int64 x, int64 n) => (int64[rows] y, int64 last) {{
        first = Constant <value = int64 {{{first}}}> ()
        step = Constant <value = int64 {{{step}}}> ()
        limit = Constant <value = int64 {{{limit}}}> ()
        six = Constant <value = int64 {{6}}> ()
        true = Constant <value = bool {{1}}> ()
        last, y = Loop <body = b (int64 i, bool c, int64 k) => (bool on, int64 more, int64 kept) {{
          more = Add (k, step)
          {goes}
          kept = Mul (k, x)
        }}> ({trips}, true, first)
    }}""")


def rows(entry: Entry) -> list[int | None]:
    """How many rows are kept, None where a run finds it."""
    return [None if program.symbols else program.type(dict(program.outputs)["y"]).shape[0]
            for program in entry.variants]  # fmt: skip


@pytest.mark.parametrize(
    ("goes", "numbers", "times"),
    [
        ("on = Less (more, limit)", {}, 5),
        ("on = LessOrEqual (more, limit)", {}, 6),
        ("on = Greater (limit, more)", {"step": 2}, 3),
        ("on = GreaterOrEqual (more, limit)", {"first": 20, "step": -4}, 4),
        ("on = Less (k, limit)", {"first": -3, "step": 3}, 4),
        ("on = Less (i, limit)", {"step": 7}, 6),
        ("end = Sub (limit, step) on = Less (more, end)", {}, 4),
        ("one = CastLike (step, x) all = Add (k, one) on = Less (all, limit)", {}, 5),
        ("f = Cast <to = 1> (more) e = Cast <to = 1> (limit) on = Less (f, e)", {}, 5),
        ("on = Less (more, limit)", {"first": 9}, 1),
        ("on = Less (more, limit)", {"trips": "six", "limit": 50}, 6),
        ("on = Less (more, limit)", {"trips": "six", "limit": 2}, 2),
    ],
)
def test_as_many_as_follow(goes: str, numbers: dict[str, int], times: int) -> None:
    assert rows(same(counting(goes, **numbers), [X])) == [times]  # type: ignore[arg-type]


def test_something_else_may_end_it_before() -> None:
    goes = (
        "below = Less (more, limit) far = Mul (more, x) near = Less (far, n) on = And (below, near)"
    )
    runs = [{"x": np.array(x), "n": np.array(n)} for x, n in ((3, 4), (1, 9), (1, 3), (0, 1))]
    (program,) = same(counting(goes), runs).variants
    assert [str(symbol) for symbol in program.symbols] == ["found_y=0..8"]


def test_a_counter_that_wraps_around() -> None:
    """Of 8 bits 150 is less than 120."""
    proto = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["": 18]>
      g (int8 x) => (int8[rows] y) {
        first = Constant <value = int8 {0}> ()
        step = Constant <value = int8 {50}> ()
        limit = Constant <value = int8 {120}> ()
        most = Constant <value = int64 {5}> ()
        true = Constant <value = bool {1}> ()
        last, y = Loop <body = b (int64 i, bool c, int8 k) => (bool on, int8 more, int8 kept) {
          more = Add (k, step)
          on = Less (more, limit)
          kept = Identity (k)
        }> (most, true, first)
    }""")
    same(proto, [{"x": np.array(3, np.int8)}])


@pytest.mark.parametrize(
    "goes",
    [
        "on = Less (more, n)",
        "far = Mul (more, step) on = Less (far, limit)",
        "small = Cast <to = 3> (more) end = Cast <to = 3> (limit) on = Less (small, end)",
    ],
    ids=["another number", "another sum", "a type that may not have it"],
)
def test_else_a_bound_is_needed(goes: str) -> None:
    assert "give a bound, such as --bound found_y=1024" in refused(counting(goes))
