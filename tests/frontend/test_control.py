"""Control flow that is decided while a model runs: its program computes what the model does."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import onnx
import pytest
from control_models import (
    BODY,
    KEEPING,
    MODELS,
    NEGATED,
    STEP,
    N,
    W,
    X,
    branch,
    graph,
    loop,
    looping,
    number,
    runs,
    scan,
)  # fmt: skip
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx_models import TARGET, Arrays, compute, expected, model

from luthier.frontend import Program, import_graph, import_model, read_model
from luthier.frontend.program import Call, Loop
from luthier.frontend.program.verify import verify
from luthier.schedules import LuthierError, ModelError, ModelWarning, UnsupportedOperator


def follow(made: onnx.ModelProto, runs: list[Arrays]) -> Program:
    """Check that the model's program computes what the model does."""
    program = import_model(made, TARGET)
    verify(program)
    names = {i.name for i in made.graph.input}
    for run in runs:
        inputs = {name: array for name, array in run.items() if name in names}
        ours = compute(program, inputs)
        theirs = expected(made, inputs)
        assert list(ours) == list(theirs)
        for name, want in theirs.items():
            array = ours[name]
            assert (array.shape, array.dtype) == (want.shape, want.dtype), name
            np.testing.assert_allclose(array, want, 1e-5, 1e-5, err_msg=name)
    return program


def kinds(program: Program) -> list[str]:
    return [type(step).__name__ for step in program.steps]


@pytest.mark.parametrize("name", MODELS)
def test_a_program_does_what_its_model_does(name: str) -> None:
    made, some = MODELS[name]
    follow(made, list(some))


def refusal(made: onnx.ModelProto, kind: type[LuthierError] = UnsupportedOperator) -> str:
    with pytest.raises(kind) as refused:
        import_model(made, TARGET)
    assert "\n" not in str(refused.value)
    return str(refused.value)


class TestWhatIsKnownBefore:
    def test_a_loop_that_never_runs_is_not_there(self) -> None:
        for inputs in (("zero", ""), ("", "no"), ("below", "flag")):
            made = looping([loop(BODY, *inputs, "x", outputs=["p"]), N("Neg", ["p"], ["y"])])
            constants = {"zero": number(0), "below": number(-2), "no": np.array(False)}
            made.graph.initializer.extend(
                numpy_helper.from_array(a, n) for n, a in constants.items()
            )
            assert kinds(follow(made, list(runs(1)))) == ["Call"]

    def test_what_decides_a_branch_after_a_loop(self) -> None:
        nodes = [
            loop(BODY, "n", "", "x", outputs=["p"]),
            N("Shape", ["p"], ["shape"]),
            N("Gather", ["shape", "zero"], ["rows"]),
            N("Greater", ["rows", "zero"], ["flag2"]),
            N("If", ["flag2"], ["y"], then_branch=NEGATED, else_branch=graph([], [], ["x"])),
        ]
        made = looping(nodes)
        made.graph.initializer.append(numpy_helper.from_array(number(0), "zero"))
        assert "Branch" not in kinds(follow(made, list(runs(2))))

    def test_what_a_loop_does_not_change_is_known_inside(self) -> None:
        """A carried weight is one of the matrix product."""
        step = [N("MatMul", ["h", "v"], ["next"]), N("Identity", ["v"], ["u"])]
        body = graph(
            [*step, N("Identity", ["c"], ["go"])], ["i", "c", "h", "v"], ["go", "next", "u"]
        )
        made = looping([loop(body, "n", "", "x", "w", outputs=["y", "z"])], ["y", "z"])
        program = follow(made, list(runs(2)))
        (repeated,) = program.steps
        assert isinstance(repeated, Loop)
        assert len(repeated.carried) == 1
        (call,) = program.calls
        assert call.workload.constants[1]

    def test_a_branch_in_a_loop_that_is_decided(self) -> None:
        inner = N(
            "If",
            ["true"],
            ["next"],
            then_branch=graph([N("Neg", ["h"], ["o"])], [], ["o"]),
            else_branch=NEGATED,
        )
        body = graph([inner, N("Identity", ["c"], ["go"])], ["i", "c", "h"], ["go", "next"])
        (repeated,) = follow(looping([loop(body, "n", "true", "x")]), list(runs(2))).steps
        assert isinstance(repeated, Loop)
        assert all(isinstance(step, Call) for step in repeated.body.statements)

    def test_equal_weights_of_two_bodies_are_one_constant(self) -> None:
        step = [N("MatMul", ["h", "v"], ["next"]), N("Identity", ["c"], ["go"])]
        bodies = [graph(b, ["i", "c", "h"], ["go", "next"], v=W) for b in (step, step)]
        nodes = [
            loop(bodies[0], "n", "", "x", outputs=["p"]),
            loop(bodies[1], "n", "", "p"),
        ]
        program = follow(looping(nodes), list(runs(2)))
        weights = [a for a in program.constants.values() if a.shape == W.shape]
        assert len(weights) == 1

    def test_values_of_inputs_decide(self) -> None:
        made = looping([loop(KEEPING, "n", "flag", "x", outputs=["y", "k", "m", "z"])], ["y", "k"])
        assert "give a bound, such as --bound found_k=1024" in refusal(made)
        read = read_model(made, values={"n": 4, "flag": True})
        assert compute(import_model(read, TARGET), {"x": X})["k"].shape == (4, 2, 3)


class TestNames:
    def test_a_body_has_names_of_its_own(self) -> None:
        """Of its inputs, nodes and weights, which are those of others around it."""
        body = graph(
            [N("Mul", ["x", "w"], ["p"]), N("Identity", ["c"], ["n"])],
            ["i", "c", "x"],
            ["n", "p"],
            w=np.float32(0.25),
        )
        body.output[0].type.tensor_type.elem_type = TensorProto.BOOL
        nodes = [N("Add", ["x", "half"], ["p"]), loop(body, "n", "", "p", outputs=["q"])]
        made = looping([*nodes, N("Add", ["q", "p"], ["r"]), N("MatMul", ["r", "w"], ["y"])])
        (run,) = runs(3)
        p = run["x"] + np.float32(0.5)
        ours = compute(import_model(made, TARGET), run)["y"]
        np.testing.assert_allclose(ours, (p / 64 + p) @ W, 1e-5, 1e-5)

    def test_a_scan_of_a_value_whose_name_its_body_has(self) -> None:
        body = graph([N("Add", ["a", "x"], ["b"])], ["a", "x"], ["b"])
        node = N("Scan", ["s", "x"], ["y"], num_scan_inputs=1, body=body)
        follow(model([node], {"s": X[0], "x": X}, ["y"]), [{"s": X[0], "x": X}])

    @pytest.mark.parametrize("times", [1, 2])
    def test_functions_with_bodies(self, times: int) -> None:
        """A body's names are not those of who calls; the body calls others."""
        square, standard = N("Mul", ["a", "a"], ["b"]), helper.make_opsetid("", 18)
        inner = helper.make_function("my", "scale", ["a"], ["b"], [square], [standard])
        body = graph(
            [
                N("scale", ["h"], ["x"], domain="my"),
                N("Add", ["x", "start"], ["next"]),
                N("Identity", ["c"], ["go"]),
            ],
            ["i", "c", "h"],
            ["go", "next"],
        )
        outer = helper.make_function(
            "my",
            "repeat",
            ["start", "n"],
            ["end"],
            [loop(body, "n", "", "start", outputs=["end"])],
            [standard, helper.make_opsetid("my", 1)],
        )
        nodes = [N("repeat", ["x", "n"], ["p0"], domain="my")]
        nodes += [N("repeat", [f"p{i - 1}", "n"], [f"p{i}"], domain="my") for i in range(1, times)]
        made = model([], {"x": X, "n": number(2)}, ["y"])
        made.graph.node.extend([*nodes, N("Identity", [f"p{times - 1}"], ["y"])])
        made.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
        made.functions.extend([inner, outer])
        made.opset_import.add(domain="my", version=1)
        follow(made, [{"x": X / 2, "n": number(2)}])


class TestWhatIsRefused:
    def test_results_of_other_shapes(self) -> None:
        rows = graph([N("ReduceMax", ["x"], ["o"], keepdims=0)], [], ["o"])
        said = refusal(looping([branch(rows, NEGATED)]))
        assert said.startswith("If 'y': its result 'y' is float32[] in one branch and float32[2,3]")

    def test_a_carried_value_that_changes_its_shape(self) -> None:
        body = graph(
            [N("Concat", ["h", "h"], ["next"], axis=0), N("Identity", ["c"], ["go"])],
            ["i", "c", "h"],
            ["go", "next"],
        )
        said = refusal(looping([loop(body, "three", "", "x")]))
        assert "Loop 'to y': its value 'h' is float32[" in said
        assert said.endswith("after an iteration, which is not supported")

    def test_a_carried_value_that_changes_its_type(self) -> None:
        body = graph(
            [N("Cast", ["h"], ["next"], to=TensorProto.DOUBLE), N("Identity", ["c"], ["go"])],
            ["i", "c", "h"],
            ["go", "next"],
        )
        assert "float64[2,3] after an iteration" in refusal(looping([loop(body, "n", "", "x")]))

    def test_what_is_kept_of_who_knows_how_many_iterations(self) -> None:
        made = looping([loop(KEEPING, "n", "", "x", outputs=["y", "k", "m", "z"])], ["y", "k"])
        assert "Loop 'to y': data decide how large its result is" in refusal(made)
        follow(looping([loop(KEEPING, "n", "", "x", outputs=["y", "k", "m", "z"])]), list(runs(2)))

    def test_a_loop_that_nothing_ends(self) -> None:
        assert refusal(looping([loop(BODY, "", "", "x")]), ModelError).endswith("nothing ends it")

    def test_numbers_that_decide_nothing(self) -> None:
        said = refusal(looping([loop(BODY, "x", "", "x")]), ModelError)
        assert said == "Loop 'to y': what decides it is float32[2,3], not one int64"
        said = refusal(looping([loop(BODY, "n", "x", "x")]), ModelError)
        assert said == "Loop 'to y': what decides it is float32[2,3], not one bool"

    def test_operators_of_all_parts_at_once(self) -> None:
        det = graph([N("TfIdf", ["x"], ["o"])], [], ["o"])
        unique = graph([N("StringNormalizer", ["x"], ["o"])], [], ["o"])
        said = refusal(looping([N("TopK", ["x", "n"], ["t", "s"]), branch(det, unique)]))
        assert "TfIdf (1 node, 'o')" in said
        assert "StringNormalizer (1 node, 'o')" in said

    def test_a_graph_of_straight_nodes_is_wanted(self) -> None:
        with pytest.raises(UnsupportedOperator, match=r"Loop \(1 node, 'to y'\)"):
            import_graph(looping([loop(BODY, "n", "", "x")]))

    def test_another_shape_than_the_model_declares(self) -> None:
        made = looping([loop(BODY, "n", "", "x")])
        made.graph.output[0].CopyFrom(
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [7, "rows"])
        )
        with pytest.warns(ModelWarning, match=r"has the shape \[2, 3\], but the model declares"):
            program = import_model(made, TARGET)
        assert [program.values[value].shape for _, value in program.outputs] == [(2, 3)]

    @pytest.mark.parametrize(
        ("node", "said"),
        [
            (loop(BODY, "n", ""), "its body does not take what it is given"),
            (loop(BODY, "n", "", "x", outputs=["y", "z"]), "its body does not take"),
            (loop(BODY, "n", "", "nothing"), "nothing before it gives its input 'nothing'"),
            (N("Loop", ["n", "", "x"], ["y"], name="to y"), "it lacks the attribute 'body'"),
            (N("If", ["flag"], ["y"], then_branch=NEGATED), "lacks the attribute 'else_branch'"),
            (branch(NEGATED, graph([], [], [])), "its branches do not give its results"),
            (branch(NEGATED, graph([], [], ["zz"])), "nothing before it gives"),
            (branch(NEGATED, graph([N("Neg", ["b"], ["b"])], [], ["b"])), "input 'b'"),
            (N("Scan", ["x"], ["y"], num_scan_inputs=1), "it lacks the attribute 'body'"),
            (N("Scan", ["x"], ["y"], num_scan_inputs=5, body=BODY), "does not take"),
        ],
    )
    def test_what_is_not_onnx(self, node: onnx.NodeProto, said: str) -> None:
        made = looping([])
        made.graph.node.append(node)
        assert said in refusal(made, ModelError)

    def test_a_value_twice(self) -> None:
        twice = graph([N("Neg", ["x"], ["o"]), N("Abs", ["x"], ["o"])], [], ["o"])
        assert "'o' a second time" in refusal(looping([branch(NEGATED, twice)]), ModelError)
        taken = graph([*STEP, N("Identity", ["c"], ["h"])], ["i", "c", "h"], ["h", "next"])
        assert "'h' a second time" in refusal(looping([loop(taken, "n", "", "x")]), ModelError)

    @pytest.mark.parametrize(
        ("nodes", "said"),
        [
            ([N("SequenceAt", ["x", "one"], ["y"])], "a sequence that is not known"),
            ([N("SequenceEmpty", [], ["e"]), N("Neg", ["e"], ["y"])], "the sequence 'e' is not"),
            (
                [N("SequenceConstruct", ["x"], ["e"]), N("SequenceAt", ["e", "three"], ["y"])],
                "the place 3 is outside of a sequence of 1",
            ),
            (
                [N("SequenceEmpty", [], ["e"]), N("ConcatFromSequence", ["e"], ["y"], axis=0)],
                "there is nothing in the sequence",
            ),
            (
                [N("SplitToSequence", ["x", "n"], ["s"]), N("SequenceAt", ["s", "one"], ["y"])],
                "data decide how many tensors the sequence 's' has",
            ),
            (
                [N("SequenceConstruct", ["x"], ["e"]), loop(BODY, "n", "", "e")],
                "data decide how many tensors the sequence 'y' has",
            ),
        ],
    )
    def test_sequences_of_other_uses(self, nodes: list[onnx.NodeProto], said: str) -> None:
        made = looping([])
        made.graph.node.extend(nodes)
        assert said in refusal(made, ModelError)

    def test_scans_that_do_not_fit(self) -> None:
        said = refusal(scan(scan_output_axes=[0, 3]), ModelError)
        assert said == "Scan 'y': the axis 3 is outside of 3 dimensions"
        made = scan()
        made.graph.input[1].type.tensor_type.shape.dim[0].dim_value = 5
        assert "it scans 4 and 5 elements at once" in refusal(made, ModelError)
        said = refusal(scan(scan_output_directions=[1]), ModelError)
        assert said == "Scan 'y': its 'scan_output_directions' are 1, not 2"

    def test_graphs_in_graphs_beyond_bounds(self) -> None:
        inner = NEGATED
        for _ in range(17):
            inner = graph([branch(inner, NEGATED, "o")], [], ["o"])
        said = refusal(looping([branch(inner, NEGATED)]), ModelError)
        assert said == "the model's graphs are nested more than 16 deep"

    def test_more_control_flow_than_a_build_can_take(self) -> None:
        nodes = [branch(NEGATED, NEGATED, f"y{i}") for i in range(1001)]
        made = looping([])
        made.graph.node.extend([*nodes, N("Sum", [f"y{i}" for i in range(1001)], ["y"])])
        assert "1001 nodes of control flow are not supported" in refusal(made)

    def test_constants_that_grow_in_each_of_many_branches(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from luthier.frontend.control import whole

        monkeypatch.setattr(whole, "_ROOM", 1 << 10)
        monkeypatch.setattr(whole, "_TIMES", 1)
        size = np.array([40, 40, 3])
        bodies = [
            graph(
                [
                    N("Constant", [], ["k"], value_floats=[float(i), 1.0, 2.0]),
                    N("Expand", ["k", "size"], ["e"]),
                    N("ReduceSum", ["e"], ["r"], keepdims=0),
                    N("Concat", [*["e"] * 30], ["f"], axis=0),
                    N("Mul", ["f", "x0"], ["g"]),
                    N("ReduceMax", ["g"], ["o"], keepdims=0),
                ],
                [],
                ["o"],
            )
            for i in range(2)
        ]
        made = looping([N("ReduceMax", ["x"], ["x0"], keepdims=0), branch(*bodies)])
        made.graph.initializer.append(numpy_helper.from_array(size, "size"))
        assert "takes too much memory" in refusal(made, ModelError)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(MODELS)), seed=st.integers(0, 2**32), count=st.integers(1, 4))
@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
def test_damaged_models_never_raise_anything_but_our_errors(
    name: str, seed: int, count: int
) -> None:
    data = bytearray(MODELS[name][0].SerializeToString())
    generator = np.random.default_rng(seed)
    for _ in range(count):
        data[generator.integers(len(data))] = generator.integers(256)
    made = onnx.ModelProto()
    with suppress(DecodeError, LuthierError):
        made.ParseFromString(bytes(data))
        import_model(made, TARGET)
