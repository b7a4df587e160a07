"""Nodes and tensors that break the standard's rules are refused before anything relies on these."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from google.protobuf.message import Message
from onnx import AttributeProto, TensorProto, helper, numpy_helper
from onnx_models import TARGET, floats, model

from luthier.frontend import import_model, read_model
from luthier.frontend.onnx.node_rules import check_nodes
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator

N = helper.make_node


def refusal(made: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as refused:
        import_model(read_model(made), TARGET)
    message = str(refused.value)
    assert message.isprintable()
    return message


def one(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """``y`` of a model with the inputs ``x`` and ``z``."""
    made = model([N("Relu", ["x"], ["y"])], {"x": floats(2, 3), "z": floats(2, 3)}, ["y"])
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    return made


def texts(*inputs: str, outputs: tuple[str, ...] = ("y",), **attrs: object) -> onnx.ModelProto:
    """A LabelEncoder, which is rewritten before onnx's checker sees it."""
    node = N("LabelEncoder", inputs, outputs, domain="ai.onnx.ml", **attrs)
    x = helper.make_tensor_value_info("x", TensorProto.STRING, [2])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, [2])
    graph = helper.make_graph([node], "texts", [x], [y])
    sets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 4)]
    return helper.make_model(graph, opset_imports=sets, ir_version=9)


ENCODED = {"keys_strings": ["a", "b"], "values_int64s": [1, 2]}
SHORT = TensorProto(data_type=TensorProto.INT64, dims=[3], raw_data=bytes(16))
LISTED = TensorProto(data_type=TensorProto.INT64, dims=[3], int64_data=[1, 2])
WORDS = TensorProto(data_type=TensorProto.STRING, dims=[3], string_data=[b"a"])


def unknown_kind() -> onnx.ModelProto:
    made = one(N("Relu", ["x"], ["y"]))
    made.graph.node[0].attribute.add(name="alpha", f=1.0)
    return made


def opset(version: int, domain: str = "ai.onnx.ml") -> onnx.ModelProto:
    made = one(N("Relu", ["x"], ["y"]))
    made.opset_import.add(domain=domain, version=version)
    return made


def inner(node: onnx.NodeProto) -> onnx.ModelProto:
    """Such a node in a branch, which gives ``v``."""
    info = helper.make_tensor_value_info("v", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "branch", [], [info])
    made = one(N("If", ["c"], ["y"], then_branch=graph, else_branch=graph))
    made.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    return made


BROKEN = {
    "no output": (one(N("Relu", ["x"], [])), "it has no outputs"),
    "no input": (one(N("Mod", [], ["y"])), "it has 0 inputs, and the operator 2"),
    "many inputs": (one(N("Relu", ["x", "z"], ["y"])), "has 2 inputs, and the operator 1"),
    "few of several": (one(N("Clip", [], ["y"])), "has 0 inputs, and the operator 1 to 3"),
    "left out": (one(N("Add", ["x", ""], ["y"])), "its input 1 is left out"),
    "unknown value": (one(N("Relu", ["w"], ["y"])), "gives its input 'w'"),
    "one another": (one(N("Relu", ["w"], ["y"]), N("Neg", ["y"], ["w"])), "its input 'w'"),
    "twice": (one(N("Relu", ["x"], ["y"]), N("Neg", ["x"], ["y"])), "'y' a second time"),
    "nobody's output": (one(N("Relu", ["x"], ["v"])), "computes no value 'y', which is its output"),
    "unknown kind": (unknown_kind(), "its attribute 'alpha' is of no known kind"),
    "other kind": (one(N("Elu", ["x"], ["y"], alpha=[1])), "'alpha' is not of the kind FLOAT"),
    "no element type": (one(N("Cast", ["x"], ["y"], to=0)), "its attribute 'to' is 0, which is no"),
    "lacks one": (one(N("Cast", ["x"], ["y"])), "it lacks the attribute 'to'"),
    "no such set": (opset(2**40), "there is no version 1099511627776 of the operators of 'ai.onnx"),
    "set below all": (opset(-1), "there is no version -1"),
    "inside": (inner(N("Relu", ["x", "x"], ["v"])), "has 2 inputs, and the operator 1"),
    "inside, unknown": (inner(N("Relu", ["w"], ["v"])), "gives its input 'w'"),
    "texts, unknown": (texts("x", "w", **ENCODED), "LabelEncoder 'y'"),
    "texts, no output": (texts("x", outputs=(), **ENCODED), "it has no outputs"),
    "texts, kind": (texts("x", **{**ENCODED, "values_int64s": 1}), "not of the kind INTS"),
    "texts, short": (texts("x", keys_strings=["a"], values_tensor=SHORT), "does not fit its shape"),
    "texts, listed": (texts("x", keys_strings=["a"], values_tensor=LISTED), "does not fit its"),
    "texts, words": (texts("x", keys_tensor=WORDS, values_int64s=[1]), "does not fit its shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_what_breaks_a_rule_is_refused_by_name(kind: str) -> None:
    made, said = BROKEN[kind]
    assert said in refusal(made)


def test_two_attributes_of_one_name() -> None:
    made = one(N("Elu", ["x"], ["y"], alpha=1.0))
    made.graph.node[0].attribute.add(name="alpha", f=2.0, type=AttributeProto.FLOAT)
    assert "it has two attributes 'alpha'" in refusal(made)


FUNCTION = """
<ir_version: 10, opset_import: ["": 18, "own": 1]>
outer (float[2,3] x) => (float[2,3] y) { y = own.f (x) }
<domain: "own", opset_import: ["": 18]> f (a) => (b) { b = Relu (%s) }
"""


def test_functions_are_looked_into() -> None:
    assert import_model(onnx.parser.parse_model(FUNCTION % "a"), TARGET)
    assert "its input 'q'" in refusal(onnx.parser.parse_model(FUNCTION % "q"))
    assert "has 2 inputs" in refusal(onnx.parser.parse_model(FUNCTION % "a, a"))


def test_operators_of_the_model_s_own_go_by_its_functions() -> None:
    """Though the standard has one of the name."""
    text = FUNCTION.replace("own.f", "own.Relu").replace(" f (a)", " Relu (a, c)")
    made = onnx.parser.parse_model(text.replace("own.Relu (x)", "own.Relu (x, x)") % "a")
    check_nodes(made)


def test_any_other_flag_than_1_keeps_no_dimension() -> None:
    """As onnx's inference has it."""
    for op in ("ArgMax", "ReduceMax"):
        made = one(N(op, ["x"], ["y"], keepdims=3, **({"axis": 1} if op == "ArgMax" else {})))
        made.graph.output[0].type.Clear()
        made.graph.output[0].type.tensor_type.elem_type = 7 if op == "ArgMax" else 1
        program = import_model(made, TARGET)
        assert len(program.values[program.outputs[0][1]].shape) == (1 if op == "ArgMax" else 0)


@pytest.mark.parametrize("sizes", [(2, 2**61), (0, 2**62), (2**31 - 1, 2**31 - 1)])
def test_shapes_beyond_all_memory_are_refused(sizes: tuple[int, ...]) -> None:
    made = one(N("Relu", ["x"], ["y"]))
    for info in made.graph.input:
        del info.type.tensor_type.shape.dim[:]
        for size in sizes:
            info.type.tensor_type.shape.dim.add().dim_value = size
    assert "large" in refusal(made) or "elements" in refusal(made)


def test_a_table_of_places_has_bounds() -> None:
    made = one(N("Pad", ["x", "pads"], ["y"]))
    made.graph.input.append(helper.make_tensor_value_info("pads", TensorProto.INT64, [4]))
    made.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2**31 - 1])
    )
    with pytest.raises(UnsupportedOperator, match="Pad 'y': to count to 2147483647"):
        import_model(made, TARGET)


# ---- at random ----

NUMBERS = (0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, float("nan"), float("inf"), 1e38, 1e-40)
TEXTS = ("", "x", "y", "é", "nearest", "linear", "SAME_UPPER", "...", "ij->", "bogus")


def places(message: Message) -> list[tuple[Message, object]]:
    """Each field that is set, of this message and those inside."""
    found: list[tuple[Message, object]] = []
    for slot, value in message.ListFields():
        if slot.name == "doc_string":
            continue
        found.append((message, slot))
        if slot.message_type:
            for inside in [value] if isinstance(value, Message) else value:
                found += places(inside)
    return found


def other(rng: random.Random, value: object) -> object:
    if isinstance(value, bool | int):
        return rng.choice(NUMBERS)
    if isinstance(value, float):
        return rng.choice(FLOATS)
    text = rng.choice(TEXTS)
    return text.encode() if isinstance(value, bytes) else text


def change(rng: random.Random, message: Message, slot: object) -> None:
    """Take out, repeat or replace what is in a field."""
    name, value = slot.name, getattr(message, slot.name)
    if isinstance(value, Message):
        message.ClearField(name)
    elif not isinstance(value, int | float | str | bytes):  # repeated
        place = rng.randrange(len(value))
        if slot.message_type and rng.random() < 0.5:
            value.add().CopyFrom(value[place])
        elif slot.message_type or rng.random() < 0.3:
            del value[place]
        else:
            value[place] = other(rng, value[place])
    elif name == "raw_data" and rng.random() < 0.7:
        data = bytearray(value)
        data[rng.randrange(len(data))] = rng.randrange(256)
        message.raw_data = bytes(data)
    else:
        setattr(message, name, other(rng, value))


def mutable() -> list[onnx.ModelProto]:
    """Models of many kinds of nodes, small."""
    sizes = numpy_helper.from_array(np.array([3, 2]), "s")
    reshaped = one(N("Reshape", ["x", "s"], ["v"]), N("TopK", ["v", "k"], ["y", ""], axis=0))
    reshaped.graph.initializer.extend([sizes, numpy_helper.from_array(np.array([1]), "k")])
    image = model(
        [
            N("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
            N("MaxPool", ["c"], ["p"], kernel_shape=[2, 2], ceil_mode=1),
            N("Resize", ["p", "", "scales"], ["y"], mode="linear"),
        ],
        {"x": floats(1, 2, 6, 6)},
        ["y"],
        {"w": floats(3, 2, 3, 3), "scales": np.array([1, 1, 2, 2], np.float32)},
    )
    einsum = one(N("Einsum", ["x", "z"], ["y"], equation="ij,kj->ik"))
    return [
        reshaped,
        image,
        einsum,
        inner(N("Slice", ["x", "s", "s"], ["v"])),
        inner(N("Gelu", ["x"], ["v"], approximate="tanh")),
        texts("x", **ENCODED),
        texts("x", keys_strings=["a"], values_tensor=numpy_helper.from_array(np.array([7]))),
        onnx.parser.parse_model(FUNCTION % "a"),
        one(N("LSTM", ["x", "z", "z"], ["y", "h"], hidden_size=3)),
        one(N("GridSample", ["x", "z"], ["y"], mode="cubic"), N("Trilu", ["x"], ["t"], upper=0)),
    ]


@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
@pytest.mark.parametrize("number", range(10))
def test_changed_models_are_refused_or_read(number: int) -> None:
    """Whatever of a model is changed: nothing is raised but our errors, and no process ends."""
    rng = random.Random(number)
    for _ in range(60):
        made = mutable()[number]
        for _ in range(rng.choice((1, 1, 2, 3))):
            message, slot = rng.choice(places(made.graph))
            with suppress(ValueError, TypeError, IndexError):
                change(rng, message, slot)
        with suppress(LuthierError):
            import_model(read_model(made), TARGET)


def test_files_of_changed_models_have_messages_of_a_line(tmp_path: Path) -> None:
    rng, path = random.Random(3), tmp_path / "changed.onnx"
    for _ in range(40):
        data = bytearray(mutable()[1].SerializeToString())
        for _ in range(3):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        said = ""
        try:
            import_model(path, TARGET)
        except LuthierError as error:
            said = str(error)
        assert said.isprintable()
