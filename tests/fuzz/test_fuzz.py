"""The fuzzer: what it makes is valid and the same for the same seed, what is broken is found."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from luthier.frontend.control.stages import SEQUENCES
from luthier.frontend.onnx.microsoft.operators import SPELLED
from luthier.frontend.onnx.operators import SUPPORTED
from luthier.frontend.onnx.optionals import OPTIONALS
from luthier.frontend.onnx.random import RANDOM
from tests.fuzz import ours, sizes
from tests.fuzz import search as searching
from tests.fuzz.__main__ import main
from tests.fuzz.case import FINDERS, MICROSOFT, Case, Port, Setting, reads
from tests.fuzz.defined import defined
from tests.fuzz.draft import Growth, UnfitError
from tests.fuzz.faults import broken
from tests.fuzz.grow import OPSETS, grow
from tests.fuzz.idioms import IDIOMS
from tests.fuzz.idioms_found import FOUND, times
from tests.fuzz.judge import Verdict, elementwise, judge, truths
from tests.fuzz.minimise import minimise
from tests.fuzz.operators import RULES
from tests.fuzz.reference import Engine, NoReferenceError, compute
from tests.fuzz.refusals import DOCUMENTED, OF_FOUND, OF_SIZES, documented
from tests.fuzz.search import batches, search, tried
from tests.fuzz.trial import attempt, trimmed
from tests.fuzz.values import KINDS
from tests.fuzz.workers import Worker

ROOT = Path(__file__).parents[2]
INTEGERS = "of integers"  # how docs/models.md limits it
TEXTS = {"RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit"}


def case_of(*nodes: tuple[str, list[str], str], seed: str = "1:0", **inputs: np.ndarray) -> Case:
    """A case of nodes (operator, inputs, output); the last one's output is the model's."""
    made = [helper.make_node(op, i, [o], name=f"n{j}") for j, (op, i, o) in enumerate(nodes)]
    case = Case(tuple(made), inputs, {}, {nodes[-1][2]: Port("float32", ())}, 17, seed)
    arrays = {n: v.array for n, v in truths(case, Engine.ORT).items()}
    ports = {n: Port(str(arrays[n].dtype), arrays[n].shape) for n in case.outputs}
    return Case(case.nodes, inputs, {}, ports, 17, seed)


X = np.array([[-1.5, 2.25, 0.5], [3, -4, 1e-3]], np.float32)
RELU = case_of(("Tanh", ["x"], "a"), ("Relu", ["a"], "b"), ("Exp", ["b"], "y"), x=X)


# ---- what it makes ----


def test_every_operator_has_a_rule() -> None:
    """The converters', control flow, and all else that the standard has, but for what is named."""
    standard = {s.name for s in onnx.defs.get_all_schemas() if not s.domain and not s.deprecated}
    others = SEQUENCES | OPTIONALS | TEXTS | RANDOM | {"ImageDecoder", "SequenceMap"}
    assert RULES.keys() >= (SUPPORTED | FINDERS | {"If", "Loop", "Scan"}) - RANDOM
    assert RULES.keys() >= standard - others
    ours = {f"{MICROSOFT}.{name}" for name in SPELLED}
    assert RULES.keys() <= standard | SUPPORTED | ours


@pytest.mark.parametrize("op", sorted(RULES))
def test_a_rule_makes_nodes_that_a_reference_computes(op: str) -> None:
    made = 0
    for i, opset in itertools.product(range(12), sorted({*OPSETS, 28})):
        growth = Growth(f"{op} {i}", opset)
        growth.new("float32", growth.some_shape(2))
        try:
            growth.add(RULES[op](growth))
        except UnfitError:
            continue
        made += 1
        if made == 3:
            return
    raise AssertionError(f"{op}: {made} nodes")


@pytest.mark.parametrize("idiom", [*IDIOMS, *FOUND], ids=lambda idiom: str(idiom.__name__))
def test_an_idiom_makes_several_nodes(idiom) -> None:
    most = 0
    for i in range(12):
        growth = Growth(f"{idiom.__name__} {i}", 17)
        growth.flows = {name: RULES[name] for name in ("If", "Loop", "Scan")}
        try:
            idiom(growth)
        except UnfitError:
            continue
        most = max(most, len(growth.nodes))
    assert most >= 2


def test_loops_run_as_often_as_a_run_finds() -> None:
    found = 0
    for i in range(24):
        growth = Growth(f"often {i}", 17)
        growth.flows = {name: RULES[name] for name in ("If", "Loop", "Scan")}
        with suppress(UnfitError):
            times(growth)
        made = {name: node.op_type for node in growth.nodes for name in node.output}
        loops = [node for node in growth.nodes if node.op_type == "Loop"]
        found += any(made.get(node.input[0]) == "Reshape" for node in loops)
    assert found >= 2


def test_graphs_are_valid_and_varied() -> None:
    cases = [grow(f"7:{i}", Setting()) for i in range(60)]
    for case in cases:
        onnx.checker.check_model(case.model, full_check=True)
    arrays = [a for case in cases for a in (*case.inputs.values(), *case.constants.values())]
    assert {a.ndim for a in arrays} >= {0, 1, 2, 3, 4}
    assert {str(a.dtype) for a in arrays} >= {"float32", "float64", "float16", "int64", "bool"}
    assert any(1 in a.shape for a in arrays)
    assert any(not np.isfinite(a).all() for a in arrays if a.dtype.kind == "f")
    assert len({op for case in cases for op in case.operators}) > 60
    used = [{n for node in case.nodes for n in node.input} for case in cases]
    assert any(used[i].intersection(case.outputs) for i, case in enumerate(cases))
    assert any(set(case.inputs).intersection(case.outputs) for case in cases)


def test_the_same_seed_makes_the_same_graphs() -> None:
    first, second = (grow("3:4", Setting()) for _ in range(2))
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert all(a.tobytes() == second.inputs[n].tobytes() for n, a in first.inputs.items())
    assert grow("3:5", Setting()).model.SerializeToString() != first.model.SerializeToString()
    some = [list(itertools.islice(batches(seed), 5)) for seed in (1, 1, 2)]
    assert some[0] == some[1] != some[2]


def test_a_case_comes_back_from_its_folder(tmp_path: Path) -> None:
    setting = Setting("x86-64-v3", 2, "standard", 99)
    grown = (sizes.fixed(grow(f"3:{number}", setting)) for number in range(4, 99))
    case = next(each for each in grown if not each.finds)  # others declare no shapes of results
    case.save(tmp_path / "case")
    back = Case.load(tmp_path / "case")
    assert back.model.SerializeToString() == case.model.SerializeToString()
    assert (back.seed, back.setting, back.outputs) == (case.seed, case.setting, case.outputs)
    assert all(a.tobytes() == back.inputs[n].tobytes() for n, a in case.inputs.items())


# ---- right and wrong ----


def outputs(case: Case) -> dict[str, np.ndarray]:
    return {n: v.array.copy() for n, v in truths(case, Engine.ORT).items() if n in case.outputs}


def test_an_error_beyond_rounding_is_wrong() -> None:
    right = outputs(RELU)
    assert judge(RELU, right).verdict is Verdict.RIGHT
    wrong = {"y": right["y"] * np.float32(1 + 1e-5)}
    assert judge(RELU, wrong).verdict is Verdict.WRONG
    assert judge(RELU, {"y": right["y"].astype("float64")}).verdict is Verdict.WRONG
    assert judge(RELU, {"y": right["y"][:1]}).verdict is Verdict.WRONG


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_compared_as_such(bad: float) -> None:
    case = case_of(("Relu", ["x"], "y"), x=np.array([1, bad], np.float32))
    right = outputs(case)
    assert judge(case, right).verdict is Verdict.RIGHT
    right["y"][1] = 7
    assert judge(case, right).verdict is Verdict.WRONG


def test_a_sum_that_cancels_is_judged_by_its_condition() -> None:
    """Its last digits depend on the order of additions, which is up to the library."""
    x = np.array([[1e4, 0.1, -1e4, 0.3]], np.float32)
    case = case_of(("ReduceSum", ["x"], "y"), x=x)
    near = {"y": outputs(case)["y"] + np.float32(1e-3)}
    assert judge(case, near).verdict is Verdict.RIGHT
    far = {"y": outputs(case)["y"] + np.float32(0.5)}
    assert judge(case, far).verdict is Verdict.WRONG


def test_sums_of_small_whole_numbers_are_exact() -> None:
    case = case_of(("MatMul", ["x", "x"], "y"), x=np.arange(9, dtype=np.float32).reshape(3, 3))
    off = outputs(case)
    off["y"] = np.nextafter(off["y"], np.float32(np.inf)) + np.float32(2e-5)
    assert judge(case, off).verdict is Verdict.WRONG


def test_one_addition_must_be_rounded() -> None:
    """(x + 1) - 1 is not x."""
    one = np.array([1], np.float32)
    x = np.array([1e-8, 3e-8], np.float32)
    case = case_of(("Add", ["x", "one"], "a"), ("Sub", ["a", "one"], "y"), x=x, one=one)
    assert judge(case, {"y": x}).verdict is Verdict.WRONG


def test_a_product_may_go_unrounded_into_a_sum() -> None:
    """By a fused multiply-add: what is left of x * x - x * x is its rounding."""
    square, away = ("Mul", ["x", "x"], "a"), ("Abs", ["a"], "b")
    case = case_of(square, away, ("Sub", ["a", "b"], "y"), x=X)
    wide = X.astype(np.float64) ** 2
    left = (wide - wide.astype(np.float32)).astype(np.float32)
    assert left.any()
    assert judge(case, {"y": left}).verdict is Verdict.RIGHT
    assert judge(case, {"y": left + np.float32(1e-3)}).verdict is Verdict.WRONG


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [("strict", Verdict.WRONG), ("standard", Verdict.RIGHT)]
)
def test_winograd_mixes_errors_of_neighbours(accuracy: str, verdict: Verdict) -> None:
    x, w = np.full((1, 1, 4, 4), 1.1, np.float32), np.full((1, 1, 3, 3), 0.3, np.float32)
    x[0, 0, 3, 3] = 3e4
    setting = Setting("x86-64-v3", 1, accuracy)
    case = replace(case_of(("Conv", ["x", "w"], "y"), x=x, w=w), setting=setting)
    off = outputs(case)
    off["y"][0, 0, 0, 0] += np.float32(1e-3)  # which reads nothing of what is large
    assert judge(case, off).verdict is verdict


@pytest.mark.parametrize("accuracy", ["strict", "balanced", "standard"])
def test_winograd_mixes_what_is_no_number_with_its_neighbours(accuracy: str) -> None:
    x, w = np.ones((1, 1, 4, 4), np.float32), np.ones((1, 1, 3, 3), np.float32)
    x[0, 0, 3, 3] = np.inf
    setting = Setting("x86-64-v3", 1, accuracy)
    case = replace(case_of(("Conv", ["x", "w"], "y"), x=x, w=w), setting=setting)
    spread = {"y": np.full((1, 1, 2, 2), np.nan, np.float32)}
    verdict = Verdict.WRONG if accuracy == "strict" else Verdict.RIGHT
    assert judge(case, spread).verdict is verdict


def test_a_negative_number_has_whole_powers() -> None:
    two, x = np.array(2, np.float32), np.array([-1e30, -3], np.float32)
    nodes = [("Exp", ["e"], "z"), ("Sub", ["x", "z"], "a"), ("Pow", ["a", "two"], "y")]
    case = case_of(*nodes, x=x, e=np.array([-90, -90], np.float32), two=two)
    right = outputs(case)
    assert judge(case, {"y": right["y"]}).judged == 2
    assert judge(case, {"y": np.full_like(right["y"], np.nan)}).verdict is Verdict.WRONG


def test_a_result_that_rounding_decides_is_not_judged() -> None:
    """A comparison of numbers that only rounding tells apart."""
    nodes = [("Exp", ["x"], "a"), ("Log", ["a"], "b"), ("Less", ["b", "x"], "y")]
    case = case_of(*nodes, x=X)
    judgement = judge(case, {"y": ~outputs(case)["y"]})
    assert judgement.judged < judgement.elements


def test_either_of_two_references_that_disagree_is_right() -> None:
    """Of equal maxima and NaN, ONNX Runtime and onnx's evaluator take different ones."""
    case = case_of(("ArgMax", ["x"], "y"), x=np.array([[1.0], [np.nan], [2.0]], np.float32))
    theirs = [truths(case, engine)["y"].array for engine in Engine]
    assert theirs[0] != theirs[1]
    assert judge(case, {"y": theirs[0]}).verdict is Verdict.RIGHT
    assert judge(case, {"y": theirs[1]}).verdict is Verdict.DISAGREEMENT
    assert judge(case, {"y": theirs[0] + 77}).verdict is Verdict.WRONG


@pytest.mark.parametrize("op", ["ScatterElements", "ScatterND"])
def test_which_of_nan_and_a_number_is_the_least_at_a_place_is_not_judged(op: str) -> None:
    """ONNX Runtime keeps what their order leaves."""
    x, places = np.ones(1, np.float32), np.zeros((2, 1)[: 1 + (op == "ScatterND")], np.int64)
    for reduction, wanted in (("min", False), ("add", True)):
        node = helper.make_node(op, ["x", "i", "u"], ["y"], reduction=reduction)
        assert defined(node, [x, places, np.array([np.nan, 1], np.float32)]) is wanted
        assert defined(node, [x, places, np.ones(2, np.float32)])


@pytest.mark.parametrize("op", ["If", "Loop", "Scan"])
def test_control_flow_means_what_an_engine_makes_of_it(op: str) -> None:
    """It is gone through node by node, and an engine runs it as a whole."""
    compared = 0
    for i in range(60):
        growth = Growth(f"{op} {i}", 17, KINDS)
        growth.new("float32", growth.some_shape(1, 3), constant=0)
        try:
            names = growth.add(RULES[op](growth))
        except UnfitError:
            continue
        node = growth.nodes[-1]
        try:
            theirs = compute(node, [growth.array(n) if n else None for n in reads(node)], 17)
        except NoReferenceError:
            continue
        for name, array in zip(names, theirs, strict=True):
            value = growth.values[name]
            assert (array.dtype, array.shape) == (value.array.dtype, value.array.shape)
            sure, right = elementwise(array, value)
            assert right[sure].all(), f"{op} {i}: {name}"
        compared += 1
    assert compared >= 20


# ---- faults ----


def test_no_reference_where_an_old_operator_is_computed_as_its_new_one() -> None:
    """Of the largest in all of a row, and not in each of its columns."""
    node = helper.make_node("Hardmax", ["x"], ["y"], axis=1)
    args = [np.ones((1, 2, 2), np.float64)]
    assert compute(node, args, 13)[0].sum() == 2
    with pytest.raises(NoReferenceError):
        compute(node, args, 12)
    (found,) = compute(node, [args[0].astype("float32")], 12)
    assert found.sum() == 1


def test_a_broken_kernel_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (fine,) = attempt([RELU])
    assert fine.judgement.verdict is Verdict.RIGHT
    imported = attempt.__globals__["ours"].import_model
    monkeypatch.setattr("tests.fuzz.ours.import_model", lambda *a: broken(imported(*a)))
    (found,) = attempt([RELU])
    assert found.judgement.verdict is Verdict.WRONG
    assert found.judgement.detail.startswith("y[0, 0] is")


def test_an_internal_error_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fuzz.ours.import_model", lambda *a: {}[a[1]])
    (found,) = attempt([RELU])
    assert found.judgement.verdict is Verdict.INTERNAL
    assert found.judgement.detail.startswith("KeyError: Target(")


def test_refused_nodes_are_removed_and_the_rest_tried() -> None:
    nodes = [("Abs", ["x"], "a"), ("Erf", ["x"], "b"), ("Neg", ["b"], "c")]
    made = [helper.make_node(op, i, [o], name=f"n{o}") for op, i, o in nodes]
    x = np.ones((2, 3), np.int64)
    ports = {"a": Port("int64", (2, 3)), "c": Port("int64", (2, 3))}
    (found,) = attempt([Case(tuple(made), {"x": x}, {}, ports, 12)])
    assert found.judgement.verdict is Verdict.RIGHT
    assert found.case.operators == ["Abs"]
    assert found.refusals == (INTEGERS,)


def test_an_undocumented_refusal_is_a_find() -> None:
    assert documented("Erf 'x': an input of int64 is not supported") == INTEGERS
    assert documented("Softmax 'x': it does not feel like it") is None
    assert documented("an input of int64 is not supported\nat all") is None, "one line"
    page = " ".join((ROOT / "docs" / "models.md").read_text().lower().split())
    for limit in DOCUMENTED.values():
        assert limit in page, f"docs/models.md does not speak of {limit!r}"
    sizes = " ".join((ROOT / "docs" / "sizes.md").read_text().lower().split())
    for limit in (*OF_SIZES.values(), *OF_FOUND.values()):
        assert limit in sizes, f"docs/sizes.md does not speak of {limit!r}"


@pytest.fixture(scope="module")
def faulty():
    with Worker("tests.fuzz.faults") as worker:
        yield worker


@pytest.mark.slow
def test_a_crash_and_a_hang_are_found_and_the_others_go_on(
    faulty: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = {
        "1:0": RELU,
        "1:1": case_of(("Tan", ["x"], "y"), seed="1:1", x=X),
        "1:2": case_of(("Abs", ["x"], "y"), seed="1:2", x=X),
        "1:3": case_of(("Sinh", ["x"], "y"), seed="1:3", x=X),
    }
    asked = faulty.ask

    def ask(request, seconds):
        (seed,) = request["grow"]
        cases[seed].save(tmp_path / seed)
        limit = 5 if seed == "1:3" else 300  # it has started by then
        return asked({"case": str(tmp_path / seed), "folder": str(tmp_path / "finds")}, limit)

    monkeypatch.setattr(faulty, "ask", ask)
    found = {s: tried(faulty, [s], Setting(), tmp_path)[0] for s in cases}
    assert {s: o["verdict"] for s, o in found.items()} == {
        "1:0": "wrong",
        "1:1": "crash",
        "1:2": "right",
        "1:3": "hang",
    }
    assert found["1:1"]["detail"].startswith("SIGSEGV")
    assert found["1:3"]["detail"].startswith("not done in 5 s")
    kept = sorted(p.name for p in (tmp_path / "finds").iterdir())
    assert {"1-0", "1-1", "1-3"} <= set(kept), "a crash leaves its case, too"


@pytest.mark.slow
def test_the_search_finds_what_is_broken_and_counts(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(searching, "SECONDS", 20.0)
    tally = search(2, None, 24, tmp_path, 1, program="tests.fuzz.faults")
    assert tally.graphs == 24
    assert tally.builds == 2
    assert tally.verdicts.total() == 24
    assert tally.nodes == tally.operators.total()
    faults = {"Relu", "Tan", "Sinh"}
    assert any(faults.intersection(f.operators) or f.verdict == "crash" for f in tally.finds)
    assert all((f.folder / "model.onnx").exists() for f in tally.finds)


# ---- making it small ----


def test_a_find_is_minimised() -> None:
    """Fails where a Tanh is given something above two: one node, one number."""

    def fails(case: Case) -> bool:
        values = truths(case, Engine.ORT)
        given = [values[n.input[0]].array for n in case.nodes if n.op_type == "Tanh"]
        return any((a > 2).any() for a in given)

    large = case_of(
        ("Abs", ["x"], "a"),
        ("Transpose", ["a"], "b"),
        ("Tanh", ["b"], "c"),
        ("Add", ["c", "b"], "d"),
        ("Exp", ["d"], "y"),
        x=np.linspace(-4, 4, 35, dtype=np.float32).reshape(5, 7),
    )
    assert fails(large)
    small = minimise(large, fails, seconds=30)
    assert fails(small)
    assert small.operators == ["Tanh"]
    assert sum(a.size for a in small.inputs.values()) == 1


def test_a_case_without_what_no_output_needs() -> None:
    case = trimmed(Case(RELU.nodes, RELU.inputs, {}, {"a": Port("float32", (2, 3))}, 17))
    assert case.operators == ["Tanh"]


# ---- named sizes ----


def sized_case() -> Case:
    """The rows of two inputs have a name, which a product sums over."""
    x = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    case = case_of(
        ("Relu", ["x"], "a"), ("Abs", ["z"], "b"), ("MatMul", ["b", "a"], "y"), x=x, z=x.T.copy()
    )
    return replace(case, sizes={"rows": "2..9"}, dims={"x": ("rows", ""), "z": ("", "rows")})


def test_a_share_of_the_graphs_has_named_sizes() -> None:
    cases = [grow(f"7:{i}", Setting()) for i in range(60)]
    named = [case for case in cases if case.sizes]
    assert 5 < len(named) < 30
    for case in named:
        assert sizes.consistent(case)
        assert case.model.graph.input
        onnx.checker.check_model(case.model, full_check=True)
        for each in sizes.ends(case):
            assert sizes.works(case.at(each))
        assert {text.count("..") for text in case.sizes.values()} <= {0, 1}
    assert any(".." in text for case in named for text in case.sizes.values())


def test_it_runs_at_ends_edges_and_random_sizes() -> None:
    case = sized_case()
    rows = [each["rows"] for each in sizes.tried(case)]
    assert {2, 9} <= set(rows)
    assert len(rows) == len(set(rows)) > 3
    fit = case.at({"rows": 6})
    assert fit.inputs["x"].shape == (6, 3)
    assert (fit.inputs["x"][4:] == fit.inputs["x"][:2]).all()
    (fine,) = attempt([case])
    assert fine.judgement.verdict is Verdict.RIGHT
    assert fine.judgement.elements == 9 * len(rows)


def test_a_kernel_that_is_wrong_at_some_sizes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    case = sized_case()
    twice = ours._twice

    def wrong(artifact: object, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {n: a + (inputs["x"].shape[0] == 9) for n, a in twice(artifact, inputs).items()}

    monkeypatch.setattr("tests.fuzz.ours._twice", wrong)
    (found,) = attempt([case])
    assert found.judgement.verdict is Verdict.WRONG
    assert found.judgement.detail.startswith("at rows=9: y[0, 0] is")


def test_a_model_that_does_not_work_at_a_size_is_tried_at_its_own() -> None:
    """The reshape needs four rows; a refusal for others is none."""
    shape = np.array([2, 2, 3])
    node = helper.make_node("Reshape", ["x", "c"], ["y"], name="n")
    x = np.ones((4, 3), np.float32)
    outputs = {"y": Port("float32", (2, 2, 3))}
    case = Case((node,), {"x": x}, {"c": shape}, outputs, 17, "1:0")
    case = replace(case, sizes={"rows": "3..5"}, dims={"x": ("rows", "")})
    (found,) = attempt([case])
    assert found.judgement.verdict is Verdict.RIGHT
    assert (found.case.sizes, found.refusals) == ({}, ())


def test_a_case_with_named_sizes_comes_back_from_its_folder(tmp_path: Path) -> None:
    case = sized_case()
    case.save(tmp_path / "case")
    back = Case.load(tmp_path / "case")
    assert (back.sizes, back.dims) == (case.sizes, case.dims)
    assert back.model.SerializeToString() == case.model.SerializeToString()


def test_a_find_with_named_sizes_is_minimised() -> None:
    """Fails where there are seven rows: one node, and few sizes, seven among them."""

    def fails(case: Case) -> bool:
        return "Abs" in case.operators and any(
            7 in sizes.allowed(case.sizes[name])
            for dims in case.dims.values()
            for name in dims
            if name
        )

    case = sized_case()
    small = minimise(case, fails, seconds=30)
    assert fails(small)
    assert small.operators == ["Abs"]
    assert len(sizes.allowed(small.sizes["rows"])) < 8
    assert sizes.consistent(small)


# ---- the command ----


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr(searching, "BATCH", 3)
    main(["--graphs", "6", "--seed", "11", "--jobs", "1", "--keep", str(tmp_path), "--json"])
    out, err = capsys.readouterr()
    assert err.startswith("seed 11\n")
    counts = json.loads(out)
    assert (counts["seed"], counts["graphs"], counts["builds"]) == (11, 6, 2)
    assert sum(counts["verdicts"].values()) == 6
    RELU.save(tmp_path / "case")
    assert main(["--case", str(tmp_path / "case")]) == 0
    assert capsys.readouterr().out == "right\n"
