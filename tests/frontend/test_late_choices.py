"""The best few of each of several lists, of what is above a threshold, and these joined: runs find
one size, however many lists there are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx_models import TARGET, expected
from sized_models import computed

from luthier.frontend import import_entry
from luthier.frontend.onnx.late_choices import with_late_choices

HEAD = '<ir_version: 8, opset_import: ["": 17]>\n'
CLASSES = 3
NUMBERS = """
  zero = Constant <value = int64[1] {0}> ()
  number = Constant <value = int64 {0}> ()
  minus = Constant <value = int64[1] {-1}> ()
"""
COUNT = """
  shape<c> = Shape (some<c>)
  single<c> = Gather (shape<c>, number)
  several<c> = Unsqueeze (single<c>, zero)
  both<c> = Concat <axis = 0> (most, several<c>)
  least<c> = ReduceMin <keepdims = 0> (both<c>)
  k<c> = Reshape (least<c>, minus)
"""
# As torchvision's SSD has it, class by class.
CLASS = """
  class<c> = Constant <value = int64 {<c>}> ()
  row<c> = Gather <axis = 1> (x, class<c>)
  mask<c> = Greater (row<c>, limit)
  at<c> = NonZero (mask<c>)
  places<c> = Transpose <perm = [1, 0]> (at<c>)
  some<c> = GatherND (row<c>, places<c>)
  again<c> = NonZero (mask<c>)
  there<c> = Transpose <perm = [1, 0]> (again<c>)
  of_some<c> = GatherND (boxes, there<c>)
  <count>
  best<c>, order<c> = TopK (some<c>, k<c>)
  boxes<c> = Gather <axis = 0> (of_some<c>, order<c>)
  as<c> = Shape (best<c>)
  label<c> = ConstantOfShape <value = int64[1] {<c>}> (as<c>)
"""
JOINED = """
  score = Concat <axis = 0> (best0, best1, best2)
  label = Concat <axis = 0> (label0, label1, label2)
  box = Concat <axis = 0> (boxes0, boxes1, boxes2)
"""
TYPES = {"score": "float[a]", "label": "int64[b]", "box": "float[c,4]"}


def written(
    one: str = CLASS,
    joined: str = JOINED,
    count: str = COUNT,
    most: int = 4,
    limit: str = "float {0.5}",
    outputs: Mapping[str, str] = TYPES,
    dtype: str = "float",
) -> onnx.ModelProto:
    gives = ", ".join(f"{kind} {name}" for name, kind in outputs.items())
    body = "".join(one.replace("<count>", count).replace("<c>", str(c)) for c in range(CLASSES))
    constants = f"{NUMBERS}  most = Constant <value = int64[1] {{{most}}}> ()\n"
    constants += f"  limit = Constant <value = {limit}> ()\n"
    takes = f"{dtype}[9,{CLASSES}] x, float[9,4] boxes"
    return onnx.parser.parse_model(
        f"{HEAD} small ({takes}) => ({gives}) {{{constants}{body}{joined}}}"
    )


def finds(proto: onnx.ModelProto) -> int:
    """How many lists it looks through."""
    for number, node in enumerate(proto.graph.node):
        node.name = f"node {number}"
    with_late_choices(proto)
    onnx.checker.check_model(proto)
    assert len({node.name for node in proto.graph.node}) == len(proto.graph.node)
    return sum(node.op_type == "NonZero" for node in proto.graph.node)


def images(dtype: type = np.float32) -> list[dict[str, np.ndarray]]:
    """With no box at all, some of some classes, equal ones, and as many as there can be."""
    spread = np.random.default_rng(0)
    boxes = spread.random((9, 4), np.float32)
    scores = [
        np.zeros((9, 3)),
        np.ones((9, 3)),
        spread.random((9, 3)),
        spread.integers(0, 3, (9, 3)) / 2,
        np.where(np.arange(27).reshape(9, 3) == 13, 0.7, 0.2),
    ]
    if np.issubdtype(dtype, np.floating):
        odd = np.array([np.nan, np.inf, -np.inf, 0.5, 0.6, 1, 0.5, np.nan, 7])
        scores.append(odd[:, None] * [1, 1, -1])
    return [{"x": x.astype(dtype), "boxes": boxes} for x in scores]


def same(proto: onnx.ModelProto, rewritten: onnx.ModelProto, dtype: type = np.float32) -> None:
    for inputs in images(dtype):
        wanted, ours = expected(proto, inputs), expected(rewritten, inputs)
        for name, array in wanted.items():
            np.testing.assert_array_equal(ours[name], array, err_msg=name)


def copied(proto: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(proto.SerializeToString())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"most": 1},
        {"most": 9},
        {"most": 0},
        {"most": 20},
        {"count": "k<c> = Shape (some<c>)"},
        {"count": "n<c> = Shape (some<c>)  k<c> = Min (n<c>, most)"},
        {"limit": "float[1] {0.25}"},
        {"one": CLASS.replace("Greater", "GreaterOrEqual")},
    ],
    ids=str,
)
def test_one_size_is_found(changes: Mapping[str, str]) -> None:
    proto = written(**changes)  # type: ignore[arg-type]
    late = copied(proto)
    assert finds(late) == 1
    same(proto, late)


def test_scores_that_are_whole_numbers() -> None:
    kinds = {**TYPES, "score": "int32[a]"}
    proto = written(limit="int32 {0}", dtype="int32", outputs=kinds)
    late = copied(proto)
    assert finds(late) == 1
    same(proto, late, np.int32)


def test_it_is_imported_with_one_size() -> None:
    proto = written()
    (program,) = import_entry(proto, TARGET, {}).variants
    assert len(program.found) == 1
    for inputs in images():
        ours = computed(program, {}, inputs)
        for name, array in expected(proto, inputs).items():
            np.testing.assert_array_equal(ours[name], array)


OTHERS = {
    "the number of those above is used": written(
        joined=JOINED + "  n = Add (shape0, zero)\n", outputs={**TYPES, "n": "int64[1]"}
    ),
    "places among those above are used": written(
        joined=JOINED + "  p = Add (order0, zero)\n", outputs={**TYPES, "p": "int64[d]"}
    ),
    "one list is used by itself": written(
        joined=JOINED + "  p = Neg (best1)\n", outputs={**TYPES, "p": "float[d]"}
    ),
    "how many boxes there are of one is used": written(
        joined=JOINED + "  p = Shape (boxes1)\n", outputs={**TYPES, "p": "int64[2]"}
    ),
    "a list is an output": written(outputs={**TYPES, "best2": "float[d]"}),
    "the mask is of other scores": written(
        one=CLASS.replace("Greater (row<c>", "Greater (other<c>").replace(
            "  mask<c>", "  other<c> = Neg (row<c>)\n  mask<c>"
        ),
        limit="float {-0.5}",
    ),
    "more than there are may be wanted": written(
        count="n<c> = Shape (some<c>)  m<c> = Add (n<c>, minus)  k<c> = Max (m<c>, zero)"
    ),
    "the worst are wanted": written(one=CLASS.replace("TopK (", "TopK <largest = 0> (")),
    "something else is joined to them": written(
        joined=JOINED.replace("(best0, best1, best2)", "(best0, minus_one, best1, best2)").replace(
            "  score", "  minus_one = Constant <value = float[1] {-1}> ()\n  score"
        ),
    ),
    "no number is less than what is above": written(
        one=CLASS.replace("Greater", "GreaterOrEqual"), limit="float {-inf}"
    ),
}


@pytest.mark.parametrize("proto", OTHERS.values(), ids=OTHERS)
def test_what_needs_each_list_by_itself_is_left(proto: onnx.ModelProto) -> None:
    left = copied(proto)
    assert finds(left) == 2 * CLASSES
    same(proto, left)
