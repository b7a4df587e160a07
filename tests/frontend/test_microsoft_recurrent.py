"""LSTM layers of ONNX Runtime's domain: quantised as they run, and with a memory to attend to."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from microsoft_models import agree, cases, single
from onnx import helper
from onnx_models import TARGET, compute, floats, positive, value_info
from sized_models import computed

from luthier.frontend import import_entry, import_model

_WAYS = {"forward": 1, "reverse": 1, "bidirectional": 2}
OTHERS = ["LeakyRelu", "ScaledTanh", "Softsign"]


def lstm(direction: str, batch: int = 3, lengths: list[int] | None = None, **more: Any) -> Any:
    """Of steps that are as large, so that what is rounded hardly depends on the last bit."""
    rows, width, hidden, both = 6, 6, 5, _WAYS[direction]
    rng = np.random.default_rng(0)
    matrices = [rng.integers(0, 256, (both, n, 4 * hidden)).astype(np.uint8)
                for n in (width, hidden)]  # fmt: skip
    ends = [positive(both) * np.float32(0.01), np.full(both, 128, np.uint8)] * 2
    looks = floats(both, 3 * hidden, seed=5) if more.pop("looks", 0) else None
    states = [floats(both, batch, hidden, seed=i) for i in (7, 8)] if more.pop("states", 0) else []
    given = [
        floats(rows, batch, width), *matrices, floats(both, 8 * hidden),
        np.array(lengths, np.int32) if lengths else None, *(states or (None, None)), looks, *ends,
    ]  # fmt: skip
    attrs = {"direction": direction, "hidden_size": hidden, **more}
    known = (1, 2, 3, 8, 9, 10, 11)
    return "DynamicQuantizeLSTM", tuple(given), {"constants": known, "outputs": (0, 1, 2), **attrs}


QUANTISED = {
    "lengths": lstm("forward", lengths=[6, 2, 4]),
    "lengths, the longest shorter": lstm("forward", lengths=[3, 1, 4], states=1),
    "lengths backwards": lstm("reverse", lengths=[6, 2, 4], states=1, opset=11),
    "lengths both ways": lstm("bidirectional", lengths=[1, 6, 5]),
    "peepholes": lstm("forward", looks=1),
    "peepholes both ways": lstm("bidirectional", looks=1, states=1),
    "clipped": lstm("forward", clip=0.4),
    "coupled": lstm("reverse", input_forget=1, looks=1),
    "other activations": lstm(
        "forward", activations=["HardSigmoid", "Relu", "Softsign"],
        activation_alpha=[0.3], activation_beta=[0.4],
    ),
    "others both ways": lstm(
        "bidirectional", activations=["Sigmoid", "Affine", "Elu", "Sigmoid", *OTHERS[1:]],
        activation_alpha=[0.5, 0.7, 0.9], activation_beta=[0.1, 1.1],
    ),
}  # fmt: skip


def attentive(
    direction: str,
    *,
    after: int = 0,
    lengths: list[int] | None = None,
    held: list[int] | None = None,
    **more: Any,
) -> Any:
    rows, batch, width, hidden, both = 4, 2, 3, 5, _WAYS[direction]
    steps, depth, columns = 6, 4, 7
    found = after or depth
    states = [floats(both, batch, hidden, seed=i) for i in (7, 8)] if more.pop("states", 0) else []
    looks = floats(both, 3 * hidden, seed=5) if more.pop("looks", 0) else None
    given = [
        floats(rows, batch, width), floats(both, 4 * hidden, width + found, seed=1),
        floats(both, 4 * hidden, hidden, seed=2) / np.float32(2), floats(both, 8 * hidden, seed=3),
        np.array(lengths, np.int32) if lengths else None, *(states or (None, None)), looks,
        floats(both, hidden, columns, seed=9), floats(both, depth, columns, seed=10),
        floats(both, columns, seed=11), floats(batch, steps, depth, seed=12),
        np.array(held, np.int32) if held else None,
        floats(both, depth + hidden, after, seed=13) if after else None,
    ]  # fmt: skip
    while given[-1] is None:
        given.pop()
    attrs = {"direction": direction, "hidden_size": hidden, "outputs": (0, 1, 2), **more}
    return "AttnLSTM", tuple(given), attrs


ATTENTIVE = {
    "forward": attentive("forward"),
    "with a layer after": attentive("forward", after=6, states=1),
    "of less memory": attentive("forward", held=[6, 2]),
    "backwards": attentive("reverse", after=3, held=[1, 5]),
    "both ways": attentive("bidirectional", after=3, looks=1, states=1),
    "lengths": attentive("forward", lengths=[4, 2], held=[3, 6], states=1),
    "lengths backwards": attentive("reverse", lengths=[1, 3], after=6, opset=10),
    "clipped and coupled": attentive("forward", clip=0.5, input_forget=1),
    "other activations": attentive(
        "forward", activations=OTHERS, activation_alpha=[0.2, 0.9], activation_beta=[1.1]
    ),
}
FAMILIES = {"quantised": QUANTISED, "attentive": ATTENTIVE}


@pytest.mark.parametrize(("op", "arguments", "attrs"), cases(FAMILIES))
def test_an_operator_means_what_onnx_runtime_computes(
    op: str, arguments: tuple[np.ndarray | None, ...], attrs: dict[str, Any]
) -> None:
    agree(*single(op, *arguments, **attrs))


def test_first_states_may_follow_from_shapes_as_pytorch_writes_them() -> None:
    op, arguments, attrs = lstm("bidirectional", states=1)
    proto, given = single(op, *arguments, **attrs)
    for i, name in enumerate(("in5", "in6")):
        given.pop(name)
        proto.graph.input.remove(next(v for v in proto.graph.input if v.name == name))
        shaped = onnx.parser.parse_graph(f"""g (float[r,b,w] in0) => (float[a,c,d] {name}) {{
            two{i} = Constant <value = int64[1] {{2}}> ()
            wide{i} = Constant <value = int64[1] {{5}}> ()
            at{i} = Constant <value = int64 {{1}}> ()
            zero{i} = Constant <value = int64[1] {{0}}> ()
            shape{i} = Shape (in0)
            one{i} = Gather (shape{i}, at{i})
            rows{i} = Unsqueeze (one{i}, zero{i})
            dims{i} = Concat <axis = 0> (two{i}, rows{i}, wide{i})
            {name} = ConstantOfShape <value = float[1] {{0.5}}> (dims{i})
        }}""")
        nodes = [*shaped.node, *proto.graph.node]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
    agree(proto, given)


def test_what_follows_from_a_shape_that_was_found_late_is_known_too() -> None:
    op, arguments, attrs = lstm("forward")
    proto, given = single(op, *arguments, **attrs)
    narrow = proto.graph.input[0]
    narrow.name, narrow.type.tensor_type.shape.dim[2].dim_value = "given0", 5
    shaped = onnx.parser.parse_graph("""g (float[r,b,w] given0) => (float[a,c,d] in0) {
        at = Constant <value = int64[2] {0, 1}> ()
        one = Constant <value = int64[1] {1}> ()
        any = Constant <value = int64[3] {-1, -1, -1}> ()
        none = Constant <value = float[1] {0}> ()
        shape = Shape (given0)
        rows = Gather (shape, at)
        dims = Concat <axis = 0> (rows, one)
        open = Equal (dims, any)
        wanted = Where (open, any, dims)
        zero = Expand (none, wanted)
        both = Concat <axis = 2> (given0, zero)
        turned = Transpose <perm = [1, 0, 2]> (both)
        in0 = Transpose <perm = [1, 0, 2]> (turned)
    }""")
    nodes = [*shaped.node, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    agree(proto, {"given0": given.pop("in0")[..., :5], **given})


@pytest.mark.parametrize(
    "layer",
    [lstm("bidirectional", lengths=[2, 1, 2]), lstm("reverse", states=1)],
    ids=["lengths both ways", "backwards"],
)
def test_a_run_may_find_how_many_steps_there_are(layer: Any) -> None:
    op, (x, *others), attrs = layer
    proto, given = single(op, x, *others, **attrs)
    proto.graph.node[0].input[0] = "some"
    compress = helper.make_node("Compress", ["in0", "mask"], ["some"], axis=0)
    nodes = [compress, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.input.append(value_info("mask", np.ones(len(x), np.bool_)))
    (program,) = import_entry(proto, TARGET).variants
    for mask in (np.arange(len(x)) % 2 == 1, np.arange(len(x)) > 0):
        fixed, short = single(op, x[mask], *others, **attrs)
        wanted = compute(import_model(fixed, TARGET), short)
        ours = computed(program, {}, given | {"mask": mask})
        for name, array in wanted.items():
            np.testing.assert_allclose(ours[name], array, 1e-5, 1e-6, err_msg=name)
