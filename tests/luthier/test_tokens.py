"""Tokens and hashes of texts, as ONNX Runtime has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import luthier
from luthier import EntryPoint
from luthier.schedules import ModelError

MICROSOFT = "com.microsoft"
STRING = TensorProto.STRING
WIDTH = 24


def model(shape: list[Any], op: str = "Tokenizer", **attrs: Any) -> onnx.ModelProto:
    kind = STRING if op == "Tokenizer" else TensorProto.UINT32
    if not attrs.get("positive", 1):
        kind = TensorProto.INT32
    graph = helper.make_graph(
        [helper.make_node(op, ["x"], ["y"], "the_node", domain=MICROSOFT, **attrs)],
        "tokens",
        [helper.make_tensor_value_info("x", STRING, shape)],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def tokenizer(shape: list[Any], **attrs: Any) -> onnx.ModelProto:
    return model(shape, **{"mark": 0, "mincharnum": 1, "pad_value": "#", **attrs})


MODELS = {
    "letters": tokenizer(["n"], separators=[""], mark=1),
    "letters_by_a_pattern": tokenizer(["n"], tokenexp="."),
    "words": tokenizer(["n"], separators=[" "]),
    "words_of_three": tokenizer(["n"], separators=[" ", "-+"], mincharnum=3, mark=1),
    "between_several": tokenizer([2, 3], separators=["ab|a", "b", "[,;] ?"], pad_value=""),
    "a_pattern": tokenizer(["n"], tokenexp="[a-zé]+|[0-9]{2}|東"),
    "a_pattern_of_two": tokenizer([2, 3], tokenexp="[a-z]*", mincharnum=2, mark=1,
                                  pad_value="longer than any of the texts"),
    "hashes": model(["n"], "MurmurHash3", seed=42),
    "hashes_with_a_sign": model(["n"], "MurmurHash3", positive=0),
}  # fmt: skip
WORDS = ["", " ", "a", "ab", "the end", "a-b--c-", "12345", "東京 x1", "Köln, abba; cab", "  a  b",
         "x" * WIDTH, "é" * (WIDTH // 2), "aab,ba;b", "-", "a b c d e f g h i j k l"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tokens") / "tokens"
    entries = {
        name: EntryPoint(
            made, bounds={"x": WIDTH}, shapes={"n": range(1, 20)} if _open(made) else None
        )
        for name, made in MODELS.items()
    }
    report = luthier.build(entries, out, log=None)
    assert not report.problems
    return out


def _open(made: onnx.ModelProto) -> bool:
    return any(d.dim_param for d in made.graph.input[0].type.tensor_type.shape.dim)


def theirs(made: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"x": x})[0])


def given(made: onnx.ModelProto, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = ((1, 7, 19)[seed % 3],) if _open(made) else (2, 3)
    if seed == 3:
        return np.full(shape if not _open(made) else 3, "", object)
    made_up = ["".join(rng.choice(list("ab ,-1é東")) for _ in range(rng.integers(0, 9)))
               for _ in range(9)]  # fmt: skip
    return rng.choice(np.array([*WORDS, *made_up], object), shape)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", MODELS)
def test_they_are_those_of_onnx_runtime(folder: Path, name: str, seed: int) -> None:
    x = given(MODELS[name], seed)
    wanted = theirs(MODELS[name], x)
    with luthier.load(folder) as first, first.entry(name) as artifact:
        (found,) = artifact(x)
    assert found.shape == wanted.shape
    assert found.tolist() == wanted.tolist()


REFUSED = {
    "nothing to look for": ({}, "separators or a token's pattern"),
    "both": ({"separators": [" "], "tokenexp": "a"}, "separators or a token's pattern"),
    "no letters": ({"tokenexp": "a", "mincharnum": 0}, "separators or a token's pattern"),
    "edges": ({"tokenexp": r"\bab"}, "edges of texts and words"),
    "an edge in a choice": ({"separators": ["(a|b$)+"]}, "edges of texts and words"),
    "a separator that is nothing": ({"separators": ["a*"]}, "that nothing is, too"),
    "a wrong pattern": ({"tokenexp": "("}, "the pattern"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_taken_is_refused_in_one_line(name: str) -> None:
    attrs, said = REFUSED[name]
    with pytest.raises(ModelError, match=said) as refused:
        luthier.build(tokenizer([3], **attrs), "nowhere", log=None)
    assert "\n" not in str(refused.value)
    assert "the_node" in str(refused.value)


def test_texts_of_three_dimensions_are_refused() -> None:
    with pytest.raises(ModelError, match="its input has 3 dimensions"):
        luthier.build(tokenizer([1, 2, 3], tokenexp="a"), "nowhere", log=None)
