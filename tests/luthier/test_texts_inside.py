"""Texts in branches and loops: what ONNX Runtime makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier import EntryPoint
from luthier.schedules import UnsupportedOperator

ML = "ai.onnx.ml"
STRING, INT64, FLOAT, BOOL = (
    TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
)  # fmt: skip
N = helper.make_node


def info(name: str, kind: int, shape: list[Any] | None = None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def graph(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    **constants: Any,
) -> onnx.GraphProto:
    arrays = [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()]
    return helper.make_graph(nodes, "texts", inputs, outputs, arrays)


def model(made: onnx.GraphProto) -> onnx.ModelProto:
    imports = [helper.make_opsetid("", 21), helper.make_opsetid(ML, 3)]
    return helper.make_model(made, opset_imports=imports, ir_version=10)


def texts(*given: str) -> np.ndarray:
    return np.array(given, object)


def branches() -> onnx.ModelProto:
    """Labels of two lists, rows of two widths, and texts from around, in branches."""
    then = graph(
        [
            N("Gather", ["few", "n"], ["a"]),
            N("StringConcat", ["x", "tail"], ["b"]),
            N("Equal", ["x", "word"], ["c"]),
        ],
        [], [info("a", STRING), info("b", STRING), info("c", BOOL)],
        few=texts("red", "green"), tail=texts("!"), word=texts("Paris"),
    )  # fmt: skip
    inner_then, inner_else = (
        graph([N("Identity", [value], [f"d{i}"])], [], [info(f"d{i}", STRING)])
        for i, value in enumerate(("x", "fixed"))
    )
    otherwise = graph(
        [
            N("Gather", ["more", "n"], ["e"]),
            N("If", ["deep"], ["f"], then_branch=inner_then, else_branch=inner_else),
            N("RegexFullMatch", ["x"], ["g"], pattern="[A-Z].*"),
        ],
        [], [info("e", STRING), info("f", STRING), info("g", BOOL)],
        more=texts("blue", "red", "a longer text than all of the other list"),
        fixed=texts("none", "some", "all"),
    )  # fmt: skip
    return model(
        graph(
            [
                N("If", ["flat"], ["label", "y", "same"], then_branch=then, else_branch=otherwise),
                N("StringConcat", ["y", "label"], ["both"]),
            ],
            [info("flat", BOOL, []), info("deep", BOOL, []), info("n", INT64, []),
             info("x", STRING, [3])],
            [info("label", STRING), info("y", STRING), info("same", BOOL), info("both", STRING)],
        )
    )  # fmt: skip


def loops() -> onnx.ModelProto:
    """A loop carries a label and a text, keeps another of each iteration, and counts matches."""
    body = graph(
        [
            N("Gather", ["x", "i"], ["word"]),
            N("Equal", ["word", "seen"], ["same"]),
            N("Cast", ["same"], ["one"], to=INT64),
            N("Add", ["count", "one"], ["count_next"]),
            N("Where", ["same", "yes", "no"], ["state_next"]),
            N("Identity", ["word"], ["seen_next"]),
            N("StringConcat", ["word", "seen"], ["kept"]),
            N("Identity", ["goes"], ["goes_on"]),
        ],
        [info("i", INT64, []), info("goes", BOOL, []), info("count", INT64, []),
         info("state", STRING, []), info("seen", STRING, [])],
        [info("goes_on", BOOL), info("count_next", INT64), info("state_next", STRING),
         info("seen_next", STRING), info("kept", STRING)],
        yes=texts("yes")[0], no=texts("no")[0],
    )  # fmt: skip
    return model(
        graph(
            [N("Loop", ["times", "", "zero", "unknown", "nothing"],
               ["count", "state", "last", "pairs"], body=body)],
            [info("x", STRING, [4])],
            [info("count", INT64), info("state", STRING), info("last", STRING),
             info("pairs", STRING)],
            times=np.array(4), zero=np.array(0), unknown=texts("unknown")[0],
            nothing=texts("")[0],
        )
    )  # fmt: skip


def scans() -> onnx.ModelProto:
    """Over the second dimension of texts, from the end; the results are their last dimension."""
    body = graph(
        [
            N("StringConcat", ["word", "tail"], ["out"]),
            N("Equal", ["word", "before"], ["same"]),
            N("Identity", ["word"], ["after"]),
            N("LabelEncoder", ["word"], ["class"], domain=ML, keys_strings=["a", "b"],
              values_strings=["first", "second"], default_string="other"),
        ],
        [info("before", STRING, [2]), info("word", STRING, [2])],
        [info("after", STRING), info("out", STRING), info("same", BOOL), info("class", STRING)],
    )  # fmt: skip
    return model(
        graph(
            [N("Scan", ["first", "x"], ["last", "y", "same", "classes"], body=body,
               num_scan_inputs=1, scan_input_axes=[-1], scan_input_directions=[1],
               scan_output_axes=[-1, 0, 1])],
            [info("first", STRING, [2]), info("x", STRING, [2, 3])],
            [info(n, k) for n, k in (("last", STRING), ("y", STRING), ("same", BOOL),
                                     ("classes", STRING))],
            tail=texts("-é")[0],
        )
    )  # fmt: skip


MODELS = {
    "branches": EntryPoint(branches(), bounds={"x": 16}),
    "loops": EntryPoint(loops(), bounds={"x": 16}),
    "scans": EntryPoint(scans(), bounds={"x": 8, "first": 12}),
}
WORDS = ["Paris", "", "a", "b", "東京", "paris"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("texts") / "inside"
    report = luthier.build(MODELS, out, log=None)
    assert not report.problems  # so that each gives what ONNX Runtime does of its sample
    return out


def compare(folder: Path, name: str, inputs: dict[str, Any]) -> None:
    made = MODELS[name].model
    assert isinstance(made, onnx.ModelProto)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in made.graph.output]
    with luthier.load(folder) as first, first.entry(name) as artifact:
        ours = artifact.run(inputs)
    for each, wanted in zip(names, session.run(names, inputs), strict=True):
        got, want = np.asarray(ours[each]), np.asarray(wanted)
        assert got.shape == want.shape, each
        assert got.tolist() == want.tolist(), each


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("deep", [True, False])
def test_branches(folder: Path, flat: bool, deep: bool) -> None:
    for n in range(2 if flat else 3):
        x = np.random.default_rng(n).choice(WORDS, 3).astype(object)
        inputs = {"flat": np.array(flat), "deep": np.array(deep), "n": np.array(n), "x": x}
        compare(folder, "branches", inputs)


@pytest.mark.parametrize("seed", range(4))
def test_loops_and_scans(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    compare(folder, "loops", {"x": rng.choice([*WORDS, "sixteen bytes ab"], 4).astype(object)})
    first, x = rng.choice([*WORDS, "twelve bytes"], 2), rng.choice(WORDS, (2, 3))
    compare(folder, "scans", {"first": first.astype(object), "x": x.astype(object)})


def test_what_grows_without_end_is_refused() -> None:
    body = graph(
        [N("StringConcat", ["a", "x"], ["b"]), N("Identity", ["goes"], ["on"])],
        [info("i", INT64, []), info("goes", BOOL, []), info("a", STRING, [2])],
        [info("on", BOOL), info("b", STRING)],
    )
    made = model(
        graph(
            [N("Loop", ["times", "", "x"], ["y"], body=body)],
            [info("times", INT64, []), info("x", STRING, [2])],
            [info("y", STRING)],
        )
    )
    with pytest.raises(UnsupportedOperator, match="'y': a text that grows from one iteration"):
        luthier.build(made, "nowhere", log=None)
