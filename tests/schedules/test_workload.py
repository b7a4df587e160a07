"""A workload is readable, canonical, and nothing a stranger writes gets past its reader."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from workloads import EPILOGUES, conv, matmul, unary

from luthier.schedules import LogError, Tensor, Workload, node
from luthier.schedules.ir.dtype import ACCEPTED

CONV = conv((1, 14, 14, 64), 64, (3, 3), pads=(1, 1, 1, 1), after="residual")


@pytest.mark.parametrize("after", EPILOGUES)
def test_json_reads_back_as_the_same_workload(after):
    for workload in (conv((2, 9, 9, 8), 8, (3, 3), after=after), matmul((3, 4), (4, 5))):
        again = Workload.from_json(json.loads(json.dumps(workload.to_json())))
        assert again == workload
        assert again.key == workload.key
        assert hash(again) == hash(workload)


def test_json_is_readable():
    data = CONV.to_json()
    assert data["inputs"] == [
        "float32[1,14,14,64]",
        "const float32[64,3,3,64]",
        "const float32[64]",
        "float32[1,14,14,64]",
    ]
    assert data["nodes"][0] == {
        "op": "conv2d",
        "args": [0, 1],
        "out": "float32[1,14,14,64]",
        "attrs": {"dilations": [1, 1], "groups": 1, "pads": [1, 1, 1, 1], "strides": [1, 1]},
    }
    assert str(CONV) == (
        "conv2d+add+add+relu(float32[1,14,14,64], float32[64,3,3,64]) -> float32[1,14,14,64]"
    )


def test_the_key_never_changes():
    """Records of all teams are found by it: a new key loses them."""
    assert CONV.key == "9ddcb7be53beb74a"
    assert unary("relu", (4096,)).key == "4bd248783c7248c0"


def test_the_key_depends_on_everything_but_the_order_of_attributes():
    tensor = Tensor((2, 3))
    one = node("clip", (0,), tensor, min=0.0, max=6.0)
    assert one == node("clip", (0,), tensor, max=6.0, min=0.0)

    def workload(shape=(2, 3), dtype="float32", constant=False, **attrs):
        out = Tensor(shape, dtype)
        limits = {"min": 0.0, "max": 6.0, **attrs}
        return Workload((out,), (constant,), (node("clip", (0,), out, **limits),))

    different = [
        workload(),
        workload(shape=(3, 2)),
        workload(dtype="float64"),
        workload(constant=True),
        workload(max=1.0),
        workload(other=1),
        Workload((tensor,), (False,), (one, node("relu", (1,), tensor))),
    ]
    assert len({w.key for w in different}) == len(different)
    assert workload().key == Workload((tensor,), (False,), (one,)).key


def test_tensor_types_read_back():
    for dtype, element in ACCEPTED.items():
        for shape in ((), (1,), (7, 0, 3), (1, 64, 56, 56)):
            tensor = Tensor(shape, dtype)
            assert Tensor.parse(str(tensor)) == tensor
            assert tensor.nbytes == tensor.size * element.bytes
    assert str(Tensor((1, 64))) == "float32[1,64]"


NO_TENSORS = """
    float32 float32[ float32] float32[1 float32[1,] float32[,1] float32[1,,2] float32[-1]
    float32[1.5] float32[1e3] float32[x] float32[1]] float32[[1] float8[1] [1] Float32[1]
    float32[1_0] float32[+1] float32[٣] float32[0x1] float32[1]x float32(1) const
""".split()


@pytest.mark.parametrize(
    "text", [*NO_TENSORS, "", "float32[ 1]", "float32 [1]", f"int8[{'9' * 99}]"]
)
def test_an_invalid_tensor_type_is_refused(text):
    with pytest.raises(LogError, match="is not a tensor type such as") as caught:
        Tensor.parse(text)
    assert "\n" not in str(caught.value)


def relu(**changes: Any) -> dict[str, Any]:
    return {
        "inputs": ["float32[4]"],
        "nodes": [{"op": "relu", "args": [0], "out": "float32[4]", **changes}],
    }


HOSTILE: list[Any] = [
    None,
    [],
    "conv2d",
    3,
    {},
    {"inputs": []},
    {"inputs": None, "nodes": []},
    {"inputs": ["float32[4]"], "nodes": []},
    {"inputs": ["float32[4]"], "nodes": None},
    {"inputs": ["float32[4]"], "nodes": {"op": "relu"}},
    {"inputs": ["float32[4]"], "nodes": ["relu"]},
    {"inputs": ["const const float32[4]"], "nodes": relu()["nodes"]},
    {"inputs": [["float32[4]"]], "nodes": relu()["nodes"]},
    {"inputs": [4], "nodes": relu()["nodes"]},
    relu(args=[1]),
    relu(args=[-1]),
    relu(args=["0"]),
    relu(args=[0.5]),
    relu(args=[0.0]),
    relu(args=[True]),
    relu(args=[1e999]),
    relu(args=[float("nan")]),
    relu(args=[[0]]),
    relu(args=0),
    relu(args=None),
    relu(out="float32[-4]"),
    relu(out=None),
    relu(out=["float32[4]"]),
    relu(op=None),
    relu(op=["relu"]),
    relu(attrs=[]),
    relu(attrs=None),
    relu(attrs="alpha"),
    relu(attrs={"alpha": None}),
    relu(attrs={"alpha": {"beta": 1}}),
    relu(attrs={"alpha": [[None]]}),
    relu(surprise=1),
    {**relu(), "surprise": 1},
]


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data)[:70])
def test_hostile_workloads_are_refused(data):
    with pytest.raises(LogError) as caught:
        Workload.from_json(data)
    assert "\n" not in str(caught.value)


def test_too_deep_an_attribute_is_refused():
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(LogError):
        Workload.from_json(relu(attrs={"alpha": deep}))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["op", "args", "out", "attrs", "inputs"]), inner)
    ),
    max_leaves=12,
)


@given(JSON)
def test_arbitrary_json_is_refused_or_reads_back(value):
    for data in (
        value,
        relu(args=value),
        relu(attrs=value),
        relu(out=value),
        {**relu(), "inputs": value},
        {**relu(), "nodes": value},
    ):
        try:
            workload = Workload.from_json(data)
        except LogError:
            continue
        assert Workload.from_json(workload.to_json()).key == workload.key
