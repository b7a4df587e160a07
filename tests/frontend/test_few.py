"""None and one of what a run finds: a program is right for them, or ends the run."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping

import numpy as np
import onnx
import onnxruntime
import pytest
from found_graphs import ROWS, FoundGraph
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from onnx_models import TARGET
from sized_models import computed, opened

from luthier.frontend import Entry, Program, import_entry, read_model
from luthier.frontend.sizes.comparisons import otherwise
from luthier.frontend.sizes.computed import runs
from luthier.frontend.sizes.few import ComputedError, ForeseenError, refused, with_computed
from luthier.frontend.sizes.variants import Variants
from luthier.schedules import UnsupportedOperator
from luthier.schedules.ir.size import Size
from luthier.schedules.ir.symbol import Symbol

N = helper.make_node
NAMES = "abcdefgh"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, len(NAMES)),
    st.lists(
        st.dictionaries(st.sampled_from(NAMES), st.integers(0, 1), min_size=1, max_size=2),
        max_size=3,
    ),
)
def test_what_two_sizes_decide_is_found(count: int, causes: list[dict[str, int]]) -> None:
    causes = [cause for cause in causes if set(cause) <= set(NAMES[:count])]

    def wrong(few: Mapping[str, int]) -> bool:
        return any(cause.items() <= few.items() for cause in causes)

    found = list(map(dict, refused([Symbol(name, 0, 9) for name in NAMES[:count]], wrong)))
    for levels in itertools.product((0, 1), repeat=2):
        for pair in itertools.combinations(NAMES[:count], min(2, count)):
            few = dict(zip(pair, levels, strict=False))
            assert wrong(few) == any(each.items() <= few.items() for each in found)
    assert all(each in causes for each in found)


def test_it_asks_for_few_of_many_combinations() -> None:
    asked: list[Mapping[str, int]] = []

    def wrong(few: Mapping[str, int]) -> bool:
        asked.append(few)
        return few.get("s7") == 0

    names = [f"s{i}" for i in range(40)]
    assert refused([Symbol(name, 0, 5) for name in names], wrong) == ((("s7", 0),),)
    assert len(asked) < 90


def test_where_there_is_no_more_time_to_ask_all_are_refused() -> None:
    """Which of eight it is of which any nine are wrong would take too long to find out."""
    symbols = [Symbol(f"s{i}", 0, 5) for i in range(12)]
    found = refused(symbols, lambda few: len(few) > 5)
    assert {name for each in found for name, _ in each} == {symbol.name for symbol in symbols}


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("seed", range(5))
def test_random_graphs(seed: int) -> None:
    """``found_graphs`` says what is in them; what is refused at build is not wrong."""
    graph = FoundGraph(seed)
    try:
        entry = import_entry(graph.model, TARGET)
    except UnsupportedOperator:
        return
    reference, names = session(graph.model), [o.name for o in graph.model.graph.output]
    for found in (0, 1, 2, 3, ROWS):
        inputs = graph.inputs(found, seed)
        ours = run(entry, inputs)
        try:
            wanted = dict(zip(names, reference.run(None, inputs), strict=True))
        except Exception:  # ONNX Runtime has one for each kind of error
            continue
        for name, array in wanted.items() if ours else ():
            assert ours[name].shape == array.shape, (name, found, graph.used)
            np.testing.assert_allclose(ours[name], array, 1e-4, 1e-4, err_msg=f"{graph.used}")


def run(entry: Entry, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What its program gives; nothing where it ends the run."""
    (program,) = entry.variants
    return computed(program, {}, inputs, [])


def rows(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    """What comes of some rows."""
    found = N("Compress", ["x", "mask"], ["some"], axis=0)
    inputs = {"x": ((ROWS, 2), "float32"), "mask": ((ROWS,), "bool")}
    return opened([found, *nodes], inputs, {"y": "float32"}, constants)


def given_rows(count: int) -> dict[str, np.ndarray]:
    x = np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2)
    return {"x": x, "mask": np.arange(ROWS) < count}


def test_a_result_with_fewer_dimensions_ends_the_run() -> None:
    entry = import_entry(rows(N("Squeeze", ["some"], ["y"])), TARGET)
    (program,) = entry.variants
    assert program.refuses == ((("found_some", 1),),)
    assert [len(run(entry, given_rows(count))) for count in (0, 1, 2)] == [1, 0, 1]


def test_the_first_of_none_ends_the_run() -> None:
    entry = import_entry(rows(N("Gather", ["some", "i"], ["y"]), i=np.array(0)), TARGET)
    (program,) = entry.variants
    assert program.refuses == ((("found_some", 0),),)
    assert [str(symbol) for symbol in program.symbols] == ["found_some=1..8"]


def test_a_comparison_that_differs_for_one_size_is_computed() -> None:
    """No import was made for that size."""
    nodes = [
        N("Shape", ["some"], ["shape"]),
        N("Gather", ["shape", "zero"], ["count"], axis=0),
        N("Equal", ["count", "five"], ["is_five"]),
        N("Cast", ["is_five"], ["times"], to=1),
        N("Mul", ["some", "times"], ["y"]),
    ]
    entry = import_entry(rows(*nodes, zero=np.array(0), five=np.array(5)), TARGET)
    (program,) = entry.variants
    assert program.refuses == ()
    for count in range(ROWS + 1):
        (y,) = run(entry, given_rows(count)).values()
        assert y.shape == (count, 2)
        assert y.any() == (count == 5)


def test_sizes_for_which_comparisons_differ() -> None:
    a, b = Size.named("a"), Size.named("b")
    symbols = [Symbol("a", 2, 9), Symbol("b", 2, 50)]
    assert otherwise(".Equal", [(a, 5)], [False], symbols) == [{"a": 5}]
    assert otherwise(".Greater", [(a + 1, 9)], [False], symbols) == [{"a": 9}]
    assert otherwise(".Equal", [(a, -1), (3, 3)], [False, True], symbols) == []
    assert {"a": 4, "b": 4} in otherwise(".Equal", [(a, b)], [False], symbols)


def test_no_size_is_too_large_for_that() -> None:
    """A run finds a place for each pixel of an image."""
    many = Symbol("a", 2, 1 << 22)
    for size in (6, 7, 200_003, many.most):
        assert otherwise(".Equal", [(Size.named("a"), size)], [False], [many]) == [{"a": size}]
    assert len(otherwise(".Less", [(Size.named("a"), 9**7)], [False], [many])) > 16


def test_what_is_never_none_is_not_refused() -> None:
    """A loop that begins with one row has a first one in each iteration."""
    body = helper.make_graph(
        [
            N("Gather", ["before", "zero"], ["one"], axis=0),
            N("Concat", ["before", "one"], ["after"], axis=0),
            N("Identity", ["goes"], ["still"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", 7, []),
            helper.make_tensor_value_info("goes", 9, []),
            helper.make_tensor_value_info("before", 1, None),
        ],
        [
            helper.make_tensor_value_info("still", 9, []),
            helper.make_tensor_value_info("after", 1, None),
        ],
        [onnx.numpy_helper.from_array(np.array([0]), "zero")],
    )
    loop = N("Loop", ["times", "", "x"], ["y"], body=body)
    inputs = {"x": ((1, 2), "float32"), "times": ((), "int64")}
    proto = opened([loop], inputs, {"y": "float32"})
    bounds = {"found_y": 9}
    for program in import_entry(read_model(proto, None, bounds=bounds), TARGET).variants:
        assert program.refuses == ()


def test_constants_without_elements_have_no_runs() -> None:
    """As what pads a number of boxes where there are as many."""
    for shapes in [((0, 4), (3, 4)), ((2, 0), (3, 0))]:
        assert runs([np.zeros(shape, np.float32) for shape in shapes], lambda _: None) is None


def test_what_asks_for_none_is_computed_before_sizes_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As detectors ask whether there are boxes, for each of several results."""
    branches = {}
    for name, op in (("then", "Neg"), ("else", "Exp")):
        graph = helper.make_graph(
            [N(op, ["some"], [name])], name, [], [helper.make_empty_tensor_value_info(name)]
        )
        branches[f"{name}_branch"] = graph
    nodes = [
        N("Size", ["some"], ["size"]),
        N("Equal", ["size", "none"], ["is_none"]),
        N("If", ["is_none"], ["either"], **branches),
        N("Add", ["either", "one"], ["y"]),
    ]
    tried = list[int]()
    programs = Variants.programs

    def counted(self: Variants) -> tuple[Program, ...]:
        tried.append(1)
        return programs(self)

    monkeypatch.setattr(Variants, "programs", counted)
    model = rows(*nodes, none=np.array(0), one=np.ones(1, np.float32))
    entry = import_entry(model, TARGET)
    assert len(tried) == 1
    for count in (0, 1, 2, ROWS):
        (wanted,) = session(model).run(None, given_rows(count))
        np.testing.assert_allclose(run(entry, given_rows(count))["y"], wanted, 1e-5)


def test_what_was_foreseen_and_fails_together_is_asked_for_one_by_one() -> None:
    """A run can compute the first of two numbers, not the second."""
    tried = list[tuple[set[str], set[str]]]()

    def attempt(computed: Mapping[str, int], failed: Collection[str], may_foresee: bool) -> str:
        tried.append((set(computed), set(failed)))
        if may_foresee:
            raise ForeseenError({"one": 1, "two": 1})
        if "two" in computed:
            raise UnsupportedOperator("two")
        for name in ("one", "two"):
            if name not in computed and name not in failed:
                raise ComputedError({name: 1})
        return "done"

    assert with_computed(attempt) == "done"
    assert tried[-1] == ({"one"}, {"two"})
