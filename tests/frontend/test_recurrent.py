"""Recurrent layers of ONNX: all attributes, states, lengths of sequences, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from cases_recurrent import ACTIVATIONS, DIRECTIONS, GATES, NUMBER, drawn, recurrent
from onnx import helper, numpy_helper
from onnx_models import TARGET, Case, agree, compute, expected, floats, model
from sized_models import opened

from luthier.frontend import import_entry, import_graph, import_model
from luthier.frontend.program import at as fixed
from luthier.schedules import ModelError, UnsupportedOperator


@pytest.mark.parametrize("seed", range(80))
def test_random_layers_agree(seed: int) -> None:
    made = drawn(seed)
    agree(made.model, made.inputs)


@pytest.mark.parametrize("seed", range(0, 80, 16))
def test_kernels_of_random_layers_agree(seed: int) -> None:
    made = drawn(seed)
    agree(made.model, made.inputs, kernels=True)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_agrees(op: str, name: str) -> None:
    alphas, betas = ([0.4] * (NUMBER[op] * count) for count in ACTIVATIONS[name])
    numbers = {"activation_alpha": alphas, "activation_beta": betas}
    numbers = {key: values for key, values in numbers.items() if values}
    names = [name] * NUMBER[op]  # of few steps: ONNX Runtime overflows in a Softplus of 90
    made = recurrent(op, (2, 2, 3, 5), has="bh", activations=names, **numbers)
    agree(made.model, made.inputs)


def activations(made: Case) -> tuple[tuple[str, float, float], ...]:
    (node,) = (op.node for op in import_graph(made.model).ops if op.node.op == "recurrent")
    return node.attr("activations")


def test_activations_have_the_numbers_of_the_operators_of_their_names() -> None:
    """As the standard says. ONNX Runtime takes 0 for some."""
    for name, numbers in (("LeakyRelu", (0.01, 0)), ("ThresholdedRelu", (1, 0)), ("elu", (1, 0))):
        made = recurrent("RNN", activations=[name])
        assert activations(made) == ((name.lower(), *numbers),)
    made = recurrent("GRU", activations=["HARDSIGMOID", "Affine"])
    assert activations(made) == (("hardsigmoid", 0.2, 0.5), ("affine", 1, 0))


def test_alphas_and_betas_are_for_those_that_take_them() -> None:
    names = ["Sigmoid", "LeakyRelu", "ScaledTanh"]
    made = recurrent("LSTM", activations=names, activation_alpha=[0.3, 0.7], activation_beta=[0.4])
    alpha, other, beta = (float(np.float32(n)) for n in (0.3, 0.7, 0.4))
    wanted = (("sigmoid", 0, 0), ("leakyrelu", alpha, 0), ("scaledtanh", other, beta))
    assert activations(made) == wanted
    agree(made.model, made.inputs)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_batch_may_come_first(op: str, direction: str) -> None:
    """No engine computes it: it is the same with dimensions in another order."""
    has = "bhcl"
    first = recurrent(op, has=has, direction=direction, layout=1)
    usual = recurrent(op, has=has, direction=direction)
    inputs = {**first.inputs, "in0": first.inputs["in0"].transpose(1, 0, 2)}
    states = [n for n in ("in5", "in6") if n in inputs]
    inputs |= {n: first.inputs[n].transpose(1, 0, 2) for n in states}
    ours = compute(import_model(first.model, TARGET), first.inputs)
    want = expected(usual.model, inputs)
    orders = {"out0": (2, 0, 1, 3), "out1": (1, 0, 2), "out2": (1, 0, 2)}
    for name, array in want.items():
        np.testing.assert_allclose(ours[name], array.transpose(orders[name]), 1e-4, 1e-5)


@pytest.mark.parametrize("op", GATES)
def test_half_precision_is_computed_in_float32(op: str) -> None:
    made = recurrent(op, has="bh", dtype="float16")
    wide = tuple(None if a is None else a.astype(np.float32) for a in made.arguments)
    exact = Case(op, wide, made.attrs, made.constants, made.outputs)
    ours = compute(import_model(made.model, TARGET), made.inputs)
    for name, want in expected(exact.model, exact.inputs).items():
        assert ours[name].dtype == np.float16
        np.testing.assert_allclose(ours[name], want, 1e-3, 1e-3)


@pytest.mark.parametrize("op", GATES)
def test_double_precision_is_one(op: str) -> None:
    made = recurrent(op, has="bhl", dtype="float64", direction="bidirectional")
    single = recurrent(op, has="bhl", direction="bidirectional")
    ours = compute(import_model(made.model, TARGET), made.inputs, kernels=True)
    for name, want in expected(single.model, single.inputs).items():
        assert ours[name].dtype == np.float64
        np.testing.assert_allclose(ours[name], want, 1e-4, 1e-5)


def results(made: Case, *names: str) -> list[str]:
    """A model that leaves out the other results, and what its one layer gives."""
    proto = made.model
    kept = [o for o in proto.graph.output if o.name in names]
    del proto.graph.output[:]
    proto.graph.output.extend(kept)
    agree(proto, made.inputs)
    graph = import_graph(proto)
    (node,) = (op.node for op in graph.ops if op.node.op == "recurrent")
    return list(node.attr("gives"))


def test_a_layer_gives_what_is_read() -> None:
    made = recurrent("LSTM", has="bhcp")
    assert results(made, "out0") == ["sequence"]
    assert results(made, "out1") == ["hidden"]
    assert results(made, "out1", "out2") == ["hidden", "cell"]
    assert results(made, "out0", "out2") == ["sequence", "cell"]
    assert results(made, "out0", "out1", "out2") == ["sequence", "cell"]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", GATES)
def test_h_at_the_end_is_a_part_of_all_steps(op: str, direction: str) -> None:
    """Unless sequences end earlier, each at its own place."""
    whole = recurrent(op, (3, 2, 3, 5), has="bh", direction=direction)
    assert results(whole, "out0", "out1") == ["sequence"]
    ends = recurrent(op, (3, 2, 3, 5), has="bl", lengths=(1, 3), direction=direction)
    assert results(ends, "out0", "out1") == ["sequence", "hidden"]


def test_known_lengths_of_all_steps_are_none() -> None:
    made = recurrent("GRU", (4, 2, 3, 5), lengths=(4, 4), constants=(1, 2, 3, 4))
    graph = import_graph(made.model)
    (node,) = (op.node for op in graph.ops if op.node.op == "recurrent")
    assert node.attr("operands") == ("gates", "weights")
    shorter = recurrent("GRU", (4, 2, 3, 5), lengths=(4, 3), constants=(1, 2, 3, 4))
    agree(shorter.model, shorter.inputs)


@pytest.mark.parametrize("has", ["bhc", "bhcl"])
def test_both_states_may_begin_as_one(has: str) -> None:
    """As exporters write the zeros of a batch that is open."""
    made = recurrent("LSTM", has=has)
    proto, inputs = made.model, dict(made.inputs)
    (layer,) = proto.graph.node
    unread = layer.input[6]
    layer.input[6] = layer.input[5]
    kept = [info for info in proto.graph.input if info.name != unread]
    del proto.graph.input[:], inputs[unread]
    proto.graph.input.extend(kept)
    agree(proto, inputs, kernels=True)


def test_states_that_are_zeros_are_none() -> None:
    made = recurrent("LSTM", has="bhc", constants=(1, 2, 3, 5, 6))
    proto = made.model
    for tensor in proto.graph.initializer[-2:]:
        zeros = np.zeros(tuple(tensor.dims), np.float32)
        tensor.CopyFrom(numpy_helper.from_array(zeros, tensor.name))
    agree(proto, made.inputs)
    graph = import_graph(proto)
    (node,) = (op.node for op in graph.ops if op.node.op == "recurrent")
    assert node.attr("operands") == ("gates", "weights")


def test_layers_follow_each_other_without_copies() -> None:
    """One product and one layer for each, if a batch is one sequence."""
    constants = {}
    nodes = []
    for i in range(3):
        constants |= {f"w{i}": floats(1, 20, 5, seed=i), f"r{i}": floats(1, 20, 5, seed=9 + i)}
        nodes += [
            helper.make_node(
                "LSTM", [f"x{i}", f"w{i}", f"r{i}"], [f"y{i}", f"h{i}", ""], hidden_size=5
            ),
            helper.make_node("Squeeze", [f"y{i}", "one"], [f"x{i + 1}"]),
        ]
    x = floats(6, 1, 5)
    proto = model(nodes, {"x0": x}, ["x3"], {**constants, "one": np.array([1])})
    program = agree(proto, {"x0": x})
    names = [[n.op for n in call.workload.nodes] for call in program.calls]
    assert names == [["matmul"], ["recurrent"]] * 3


# ---- sizes ----


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_steps_and_batches_may_be_open(op: str, direction: str) -> None:
    made = recurrent(op, has="bhc", direction=direction, seed=3)
    names = ["" if a is None else f"in{i}" for i, a in enumerate(made.arguments)]
    outputs = [f"out{i}" for i in range(made.outputs)]
    d = 2 if direction == "bidirectional" else 1
    state = (d, "batch", 5), "float32"
    inputs = {"in0": (("steps", "batch", 3), "float32")}
    inputs |= {n: state for n in names[5:]}
    proto = opened(
        [helper.make_node(op, names, outputs, **made.attrs)],
        inputs,
        dict.fromkeys(outputs, "float32"),
        {n: a for n, a in zip(names, made.arguments, strict=True) if n in ("in1", "in2", "in3")},
    )
    entry = import_entry(proto, TARGET, {"steps": range(0, 40), "batch": range(1, 9)})
    assert len(entry.variants) <= 3
    for steps, batch in ((0, 2), (1, 1), (2, 8), (39, 3)):
        at = recurrent(op, (steps or 1, batch, 3, 5), "bhc", direction=direction, seed=3)
        given = {**at.inputs, "in0": at.inputs["in0"][:steps]}
        program = entry.variant({"steps": steps, "batch": batch})
        ours = compute(fixed(program, {"steps": steps, "batch": batch}), given)
        if steps:
            want = expected(at.model, at.inputs)
            for name, array in want.items():
                np.testing.assert_allclose(ours[name], array, 1e-4, 1e-5)
        else:
            assert ours["out0"].shape == (0, d, batch, 5)
            np.testing.assert_array_equal(ours["out1"], np.zeros((d, batch, 5)))


# ---- what is wrong ----


def broken(
    op: str = "LSTM", which: int | None = None, array: np.ndarray | None = None, **attrs
) -> Case:
    made = recurrent(op, has="bhcpl", **attrs)
    arguments = list(made.arguments)
    if which is not None:
        arguments[which] = array
    return Case(op, tuple(arguments), made.attrs, made.constants, made.outputs)


REFUSED = {
    "recurrent weights": (broken(which=2, array=floats(1, 20, 6)), "its (recurrent )?weights are"),
    "weights": (broken(which=1, array=floats(1, 20, 4)), "its weights are"),
    "biases": (broken(which=3, array=floats(1, 20)), r"its biases are float32\[1,20\]"),
    "a state": (broken(which=5, array=floats(2, 2, 5)), "its initial state are"),
    "a cell": (broken(which=6, array=floats(1, 2, 4)), "its initial cell state are"),
    "peepholes": (broken(which=7, array=floats(1, 20)), "its peepholes are"),
    "lengths": (broken(which=4, array=np.array([1, 2, 3], np.int32)), "its lengths of sequences"),
    "long lengths": (broken(which=4, array=np.array([1, 2], np.int64)), "is not valid ONNX"),
    "an input": (broken(which=0, array=floats(4, 2)), "must have rank 3"),
    "whole numbers": (broken(which=0, array=np.ones((4, 2, 3), np.int32)), "is not valid ONNX"),
    "units": (broken(hidden_size=7), "its hidden_size is 7"),
    "a direction": (broken(direction="sideways"), "there is no direction 'sideways'"),
    "a bound": (broken(clip=-1.0), "its clip is -1.0"),
    "few activations": (broken(activations=["Tanh"]), "it names 1 activations, and needs 3"),
    "an activation": (broken(activations=["Gelu"] * 3), "the activation 'gelu' is not supported"),
    "numbers": (
        broken("RNN", activations=["Affine"], activation_alpha=[float("nan")]),
        "are not finite",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused(name: str) -> None:
    made, said = REFUSED[name]
    with pytest.raises((ModelError, UnsupportedOperator), match=said) as refused:
        import_model(made.model, TARGET)
    assert "\n" not in str(refused.value)


def test_known_lengths_that_no_sequence_has_are_refused() -> None:
    made = recurrent("RNN", (4, 2, 3, 5), lengths=(4, 5), constants=(1, 2, 3, 4))
    with pytest.raises(
        ModelError, match="its lengths of sequences are 4 to 5, and there are 4 steps"
    ):
        import_model(made.model, TARGET)
