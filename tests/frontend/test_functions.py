"""Functions of the model's own, and operators that the standard spells by others."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, FunctionProto, NodeProto, defs, helper, numpy_helper
from onnx_models import TARGET, Arrays, agree, case, compute, floats, model

from luthier.frontend import import_model
from luthier.frontend.onnx.function_size import MOST_NODES
from luthier.frontend.onnx.functions import all_spelled
from luthier.schedules import ModelError

N = helper.make_node
X = floats(2, 3)


def function(
    name: str,
    inputs: Sequence[str],
    nodes: Sequence[NodeProto],
    domain: str = "my",
    opset: int = 18,
    **attributes: object,
) -> FunctionProto:
    """With the result 'y'; an attribute that is None has no default."""
    made = helper.make_function(
        domain,
        name,
        inputs,
        ["y"],
        nodes,
        [helper.make_opsetid(d, 1) for d in ("my", "other")] + [helper.make_opsetid("", opset)],
        [a for a, v in attributes.items() if v is None],
    )
    given = {a: v for a, v in attributes.items() if v is not None}
    made.attribute_proto.extend(helper.make_attribute(a, v) for a, v in given.items())
    return made


def referring(op: str, name: str, to: str, kind: int = AttributeProto.FLOAT) -> NodeProto:
    """A node from 'x' to 'y' whose attribute is the function's attribute ``to``."""
    node = N(op, ["x"], ["y"])
    node.attribute.add(name=name, ref_attr_name=to, type=kind)
    return node


def calls(
    nodes: Sequence[NodeProto],
    made: Sequence[FunctionProto],
    inputs: Arrays | None = None,
    constants: Arrays | None = None,
) -> onnx.ModelProto:
    proto = model([], inputs or {"x": X}, ["y"], constants)
    proto.graph.node.extend(nodes)
    proto.functions.extend(made)
    proto.opset_import.extend(helper.make_opsetid(d, 1) for d in ("my", "other"))
    return proto


CLIP = function("clip", ["x", "low", "high"], [N("Clip", ["x", "low", "high"], ["y"])])
ELU = function("elu", ["x"], [referring("Elu", "alpha", "steepness")], steepness=0.5)
FREE = function("free", ["x"], [referring("Elu", "alpha", "steepness")], steepness=None)
OTHER = function("elu", ["x"], [referring("Elu", "alpha", "steepness")], "other", steepness=3.0)
TWICE = function(
    "twice",
    ["x"],
    [N("elu", ["x"], ["t"], domain="my"), N("elu", ["t"], ["y"], domain="other", steepness=2.0)],
)
SAME = function("same", ["y"], [])
MASK = function(
    "masked",
    ["x"],
    [
        N("Constant", [], ["mask"], value=numpy_helper.from_array(np.tri(3, dtype=np.float32))),
        N("MatMul", ["x", "mask"], ["y"]),
    ],
)
LARGE = function(
    "large",
    ["x"],
    [
        N("Constant", [], ["w"], value=numpy_helper.from_array(floats(3, 800))),
        N("MatMul", ["x", "w"], ["y"]),
    ],
)
STANDARD = function("standard", ["x"], [referring("Celu", "alpha", "steepness")], steepness=2.0)
HALF = {"half": np.float32(0.5)}


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (N("clip", ["x", "", "half"], ["y"], domain="my"), HALF),
        (N("clip", ["x", "half", ""], ["y"], domain="my"), HALF),
        (N("clip", ["x", "half"], ["y"], domain="my"), HALF),
        (N("elu", ["x"], ["y"], domain="my"), {}),
        (N("elu", ["x"], ["y"], domain="my", steepness=2.0), {}),
        (N("elu", ["x"], ["y"], domain="other"), {}),
        (N("free", ["x"], ["y"], domain="my"), {}),
        (N("free", ["x"], ["y"], domain="my", steepness=2.0), {}),
        (N("twice", ["x"], ["y"], domain="my"), {}),
        (N("masked", ["x"], ["y"], domain="my"), {}),
        (N("large", ["x"], ["y"], domain="my"), {}),
        (N("standard", ["x"], ["y"], domain="my"), {}),
    ],
    ids=lambda v: v.op_type + str(list(v.input)) if isinstance(v, NodeProto) else "",
)
def test_a_call_computes_what_the_function_says(node: NodeProto, constants: Arrays) -> None:
    known = [CLIP, ELU, FREE, OTHER, TWICE, MASK, LARGE, STANDARD]
    agree(calls([node], known, constants=constants), {"x": X})


def test_a_function_may_give_back_its_argument() -> None:
    program = import_model(calls([N("same", ["x"], ["y"], domain="my")], [SAME]), TARGET)
    np.testing.assert_array_equal(compute(program, {"x": X})["y"], X)


def test_two_calls_of_one_function_do_not_mix_their_values() -> None:
    body = [N("Neg", ["x"], ["t"]), N("Exp", ["t"], ["y"])]
    nodes = [
        N("f", ["x"], ["t"], domain="my"),
        N("f", ["t"], ["1/t"], domain="my"),
        N("Add", ["t", "1/t"], ["y"]),
    ]
    agree(calls(nodes, [function("f", ["x"], body)]), {"x": X})


def test_a_node_in_a_function_is_named_after_its_call() -> None:
    inner = function("inner", ["x"], [N("TfIdf", ["x"], ["y"], name="det")])
    outer = function("outer", ["x"], [N("inner", ["x"], ["y"], domain="my")])
    node = N("outer", ["x"], ["y"], domain="my", name="head")
    assert "'head/inner/det'" in refusal(calls([node], [inner, outer]))


QUERY, TRIANGLE = floats(1, 2, 4, 8), np.tri(4, dtype=bool)


@pytest.mark.parametrize(
    "attention",
    [
        case("Attention", QUERY, QUERY, QUERY, TRIANGLE, constants=(3,), opset=23, note="bool"),
        case(
            "Attention",
            *[QUERY] * 3,
            np.where(TRIANGLE, 0, -1e4).astype(np.float32),
            constants=(3,),
            opset=23,
            note="float",
        ),
        case("Attention", *[QUERY] * 3, None, QUERY, QUERY, opset=23, outputs=3, note="past"),
        case("Attention", *[QUERY] * 3, TRIANGLE, opset=23, note="mask at run time"),
    ],
    ids=str,
)
def test_an_operator_that_types_decide_is_spelled_by_others(attention: object) -> None:
    agree(attention.model, attention.inputs)  # type: ignore[attr-defined]


# What is refused.


def refusal(proto: onnx.ModelProto) -> str:
    with pytest.raises(ModelError) as refused:
        import_model(proto, TARGET)
    return str(refused.value)


def bomb(levels: int, calls_each: int = 2, weight: int = 0) -> onnx.ModelProto:
    """Functions of which each calls the next."""
    made = []
    for i in range(levels):
        names = ["x", *(f"t{k}" for k in range(calls_each - 1)), "y"]
        last = [N("Neg", ["x"], ["y"], doc_string="*" * weight)]
        body = [N(f"f{i + 1}", [a], [b], domain="my") for a, b in itertools.pairwise(names)]
        made.append(function(f"f{i}", ["x"], last if i == levels - 1 else body))
    return calls([N("f0", ["x"], ["y"], domain="my")], made)


@pytest.mark.parametrize(
    ("levels", "each", "weight", "said"),
    [
        (
            30,
            2,
            0,
            "expand to 536870912 nodes, and more than 100000 are refused: the file holds 60",
        ),
        (50, 1000, 0, r"expand to 1e\+147 nodes"),
        (16, 2, 100_000, "expand to 32[0-9]{8} bytes"),
        (90, 1, 0, "call each other more than 64 deep"),
        (9000, 1, 0, "call each other more than 64 deep"),
    ],
)
def test_functions_that_grow_beyond_bounds(levels: int, each: int, weight: int, said: str) -> None:
    proto = bomb(levels, each, weight)
    start = time.process_time()
    with pytest.raises(ModelError, match=said):
        import_model(proto, TARGET)
    assert time.process_time() - start < 5


def test_functions_that_grow_within_bounds() -> None:
    agree(bomb(7, 2), {"x": X})
    assert MOST_NODES >= 2**16


def test_a_function_that_calls_itself() -> None:
    one = function("one", ["x"], [N("two", ["x"], ["y"], domain="my")])
    two = function("two", ["x"], [N("one", ["x"], ["y"], domain="my")])
    said = refusal(calls([N("one", ["x"], ["y"], domain="my")], [one, two]))
    assert said == "the model's function 'one' calls itself"


def test_more_arguments_than_a_function_has() -> None:
    said = refusal(calls([N("elu", ["x", "x"], ["y"], domain="my", name="n")], [ELU]))
    assert said == "elu 'n': the function has 1 inputs, not 2"
    said = refusal(calls([N("elu", ["x"], ["y", "z"], domain="my", name="n")], [ELU]))
    assert said == "elu 'n': the function has 1 outputs, not 2"


def test_a_function_of_another_operator_set() -> None:
    """It is used where its operators mean the same."""
    node = N("f", ["x"], ["y"], domain="my")
    agree(calls([node], [function("f", ["x"], [N("Neg", ["x"], ["y"])], opset=13)]), {"x": X})
    old = function("f", ["x"], [N("ReduceMax", ["x"], ["y"], axes=[0])], opset=13)
    assert "'f' uses ReduceMax of operator set 13, which differs" in refusal(calls([node], [old]))


def test_an_expanded_model_is_read_again_unchanged() -> None:
    """Reading does not change the model that was given."""
    proto = calls([N("twice", ["x"], ["y"], domain="my")], [ELU, OTHER, TWICE])
    before = proto.SerializeToString()
    first = compute(import_model(proto, TARGET), {"x": X})["y"]
    assert proto.SerializeToString() == before
    np.testing.assert_array_equal(first, compute(import_model(proto, TARGET), {"x": X})["y"])


@pytest.mark.parametrize("opset", [9, 18])
@pytest.mark.parametrize("domains", [{}, {"ai.onnx.preview.training": 1}, {"unknown": 1}])
def test_what_onnx_spells_is_known_of_all_domains_of_a_model(
    opset: int, domains: dict[str, int]
) -> None:
    proto = model([helper.make_node("Relu", ["x"], ["y"])], {"x": floats(2)}, ["y"], opset=opset)
    proto.opset_import.extend(helper.make_opsetid(d, v) for d, v in domains.items())
    wanted = set()
    for domain, version in {"": opset, **domains}.items():
        for name in {s.name for s in defs.get_all_schemas() if s.domain == domain}:
            with contextlib.suppress(defs.SchemaError):
                schema = defs.get_schema(name, version, domain)
                if schema.has_function or schema.has_context_dependent_function:
                    wanted.add(f"{domain}.{name}" if domain else name)
    assert all_spelled(proto) == wanted
    assert wanted
