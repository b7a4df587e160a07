"""Texts as inputs, values and outputs: what ONNX Runtime makes of them, in Python and in C."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier import EntryPoint
from luthier.deploy import read_manifest
from luthier.inputs.texts import random_texts
from luthier.schedules import InputError, ModelError, UnsupportedOperator

ML = "ai.onnx.ml"
STRING, INT64, FLOAT, BOOL = (
    TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT, TensorProto.BOOL
)  # fmt: skip
N = helper.make_node
CITIES = ["Köln", "Paris", "", "東京", "New York"]
KINDS = ["red", "green", "blue"]


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, int],
    opset: int = 21,
    **constants: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "texts",
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def table_model() -> onnx.ModelProto:
    """As skl2onnx writes a pipeline: categories of two columns, and scaled numbers, to a class."""
    columns = {"city": (STRING, ["rows", 1]), "kind": (STRING, ["rows", 1]),
               "size": (FLOAT, ["rows", 3])}  # fmt: skip
    rng = np.random.default_rng(0)
    nodes = [
        N("Concat", ["city", "kind"], ["both"], axis=1),
        N("ArrayFeatureExtractor", ["both", "zero"], ["first"], domain=ML),
        N("ArrayFeatureExtractor", ["both", "one"], ["second"], domain=ML),
        N("OneHotEncoder", ["first"], ["a"], domain=ML, cats_strings=CITIES, zeros=1),
        N("OneHotEncoder", ["second"], ["b"], domain=ML, cats_strings=KINDS, zeros=1),
        N("LabelEncoder", ["kind"], ["c"], domain=ML, keys_strings=KINDS,
          values_floats=[0.5, 1.5, 2.5], default_float=-1.0),
        N("Concat", ["a", "b"], ["hot"], axis=2),
        N("Reshape", ["hot", "flat"], ["flattened"]),
        N("Scaler", ["size"], ["scaled"], domain=ML, offset=[1.0, 2.0, 3.0], scale=[0.5, 2.0, 1.0]),
        N("Concat", ["flattened", "c", "scaled"], ["features"], axis=1),
        N("LinearClassifier", ["features"], ["label", "scores"], domain=ML,
          classlabels_strings=["no", "maybe", "yes"], post_transform="SOFTMAX",
          coefficients=rng.standard_normal(36).tolist(), intercepts=[0.1, 0.2, 0.3]),
    ]  # fmt: skip
    return model(nodes, columns, {"label": STRING, "scores": FLOAT}, 18,
                 flat=np.array([-1, 8]), zero=np.array([0]), one=np.array([1]))  # fmt: skip


def moving_model() -> onnx.ModelProto:
    nodes = [
        N("Transpose", ["x"], ["turned"]),
        N("Gather", ["turned", "places"], ["gathered"], axis=-1),
        N("Reshape", ["gathered", "shape"], ["reshaped"]),
        N("Slice", ["reshaped", "begin", "end", "last"], ["sliced"]),
        N("Unsqueeze", ["sliced", "last"], ["more"]),
        N("Squeeze", ["more", "last"], ["less"]),
        N("Concat", ["less", "listed"], ["joined"], axis=-1),
        N("Equal", ["joined", "word"], ["same"]),
        N("Where", ["same", "long", "joined"], ["chosen"]),
        N("Expand", ["chosen", "wide"], ["expanded"]),
        N("Tile", ["expanded", "twice"], ["y"]),
        N("Split", ["y"], ["left", "right"], axis=-1, num_outputs=2),
        N("GatherElements", ["x", "elements"], ["some"], axis=1),
        N("Shape", ["some"], ["sizes"]),
        N("Cast", ["some"], ["cast"], to=STRING),
    ]
    return model(
        nodes, {"x": (STRING, [2, 3])},
        {"y": STRING, "left": STRING, "right": STRING, "same": BOOL, "cast": STRING,
         "sizes": INT64},
        places=np.array([1, -2, 0]), shape=np.array([0, -1]), begin=np.array([0]),
        end=np.array([2]), last=np.array([-1]), listed=np.array([["a", "bb"]] * 3, object),
        word=np.array("a", object), long=np.array("longer than all others é", object),
        wide=np.array([2, 1, 1]), twice=np.array([1, 2, 1]), elements=np.array([[0, 2], [1, -1]]),
    )  # fmt: skip


def words_model() -> onnx.ModelProto:
    pattern = r"(?i)[a-z]+(-\d{2,3})?|東.*"
    nodes = [
        N("StringConcat", ["x", "tail"], ["joined"]),
        N("RegexFullMatch", ["x"], ["matches"], pattern=pattern),
        N("StringSplit", ["joined"], ["parts", "counts"], delimiter="-"),
        N("StringSplit", ["x"], ["words", "number"], maxsplit=2),
        N("LabelEncoder", ["x"], ["named"], domain=ML, keys_strings=CITIES[:2],
          values_strings=["u", "v"], default_string="other"),
    ]  # fmt: skip
    return model(
        nodes, {"x": (STRING, ["n"])},
        {"joined": STRING, "matches": BOOL, "parts": STRING, "counts": INT64, "words": STRING,
         "number": INT64, "named": STRING},
        tail=np.array("-é", object),
    )  # fmt: skip


def normalised_model() -> onnx.ModelProto:
    said = {"stopwords": ["THE", "ä", "b"], "case_change_action": "UPPER", "locale": "C.UTF-8"}
    nodes = [
        N("StringNormalizer", ["x"], ["y"], is_case_sensitive=1, **said),
        N("TfIdfVectorizer", ["x"], ["z"], mode="TF", min_gram_length=1, max_gram_length=2,
          max_skip_count=0, ngram_counts=[0, 3], ngram_indexes=[0, 1, 2, 3, 4],
          pool_strings=["a", "b", "the", "a", "b", "b", "ä"]),
    ]  # fmt: skip
    return model(nodes, {"x": (STRING, [6])}, {"y": STRING, "z": FLOAT}, 18)


def numbers_model() -> onnx.ModelProto:
    nodes = [
        *(N("Cast", ["x"], [f"y{kind}"], to=kind) for kind in (FLOAT, TensorProto.DOUBLE)),
        N("Cast", ["n"], ["z"], to=STRING),
    ]
    outputs = {f"y{FLOAT}": FLOAT, f"y{TensorProto.DOUBLE}": TensorProto.DOUBLE, "z": STRING}
    return model(nodes, {"x": (STRING, [3]), "n": (TensorProto.INT32, [2])}, outputs)


MODELS = {
    "table": EntryPoint(table_model(), shapes={"rows": range(1, 41)}, bounds={"city": 24}),
    "moving": EntryPoint(moving_model(), bounds={"x": 9}),
    "words": EntryPoint(words_model(), shapes={"n": range(1, 33)}, bounds={"x": 32}),
    "normalised": normalised_model(),
    "numbers": numbers_model(),
}
WORDS = ["the", "a", "b", "ä", "the end", "", " a  b c d ", "a-b--c-", "-", "x-12", "X-1", "東京 x",
         "Köln", "Paris", "red", "blue", "New York"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("texts") / "texts"
    report = luthier.build(MODELS, out, log=None)
    assert not report.problems  # so that each gives what ONNX Runtime does of its sample
    return out


def proto_of(name: str) -> onnx.ModelProto:
    made = MODELS[name]
    return made.model if isinstance(made, EntryPoint) else made


def theirs(name: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    made = proto_of(name)
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in made.graph.output]
    return dict(zip(names, session.run(names, inputs), strict=True))


def drawn(shape: tuple[int, ...], seed: int, width: int) -> np.ndarray:
    """Words, and random texts that are empty, as long as they may be, and between."""
    rng = np.random.default_rng(seed)
    made = random_texts(table_model(), (*shape, width), rng)
    texts = np.char.decode(made.view(f"S{width}"), "utf-8").reshape(shape).astype(object)
    known = rng.choice([w for w in WORDS if len(w.encode()) <= width], shape)
    return np.where(rng.random(shape) < 0.5, known.astype(object), texts)


def same(ours: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    for name, want in wanted.items():
        got = ours[name]
        assert got.shape == want.shape, name
        if want.dtype == object:
            assert got.dtype.kind == "U"
            assert got.tolist() == want.tolist(), name
        elif want.dtype.kind == "f":
            np.testing.assert_allclose(got, want, 1e-5, 1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(got, want, name)


@pytest.mark.parametrize("seed", range(4))
def test_a_table_with_categories(folder: Path, seed: int) -> None:
    rows = (1, 7, 40, 13)[seed]
    sizes = np.random.default_rng(seed).standard_normal((rows, 3)).astype(np.float32)
    city, kind = drawn((rows, 1), seed, 24), drawn((rows, 1), seed + 9, 64)
    inputs = {"city": city, "kind": kind, "size": sizes}
    with luthier.load(folder) as first, first.entry("table") as artifact:
        same(artifact.run(inputs), theirs("table", inputs))
        numbers = artifact.run(inputs, texts=False)["label"]
        assert numbers.dtype == np.int64
        label, scores = artifact(city.astype(str), kind.tolist(), sizes)
    same({"label": label, "scores": scores}, theirs("table", inputs))


@pytest.mark.parametrize("seed", range(6))
def test_texts_are_moved_and_computed(folder: Path, seed: int) -> None:
    with luthier.load(folder) as first:
        for name, x in {
            "moving": drawn((2, 3), seed, 9),
            "words": drawn(((1, 2, 32, 5, 8, 3)[seed],), seed, 32),
            "normalised": np.asarray(
                np.random.default_rng(seed).choice(["The", "THE", "a", "b", "ä", "Ä"], 6), object
            ),
        }.items():
            with first.entry(name) as artifact:
                same(artifact.run({"x": x}), theirs(name, {"x": x}))


def test_words_that_are_all_left_out_leave_an_empty_text(folder: Path) -> None:
    x = np.array(["THE", "b", "ä"] * 2, object)
    with luthier.load(folder) as first, first.entry("normalised") as artifact:
        found = artifact.run({"x": x})
    assert found["y"].tolist() == [""]
    same(found, theirs("normalised", {"x": x}))


def test_numbers_are_read_and_written(folder: Path) -> None:
    numbers = np.array([-(1 << 31), 7], np.int32)
    with luthier.load(folder) as first, first.entry("numbers") as artifact:
        for x in (["1.5", "-2e-3", "16777217.1"], ["NaN", "INF", "-INF"], ["0.1", "1e-45", "1e38"]):
            inputs = {"x": np.array(x, object), "n": numbers}
            same(artifact.run(inputs), theirs("numbers", inputs))


HOSTILE = {
    "too long": ([["x" * 25]], "a text of 25 bytes.*room for 24.*--bound city=25"),
    "too long in bytes": ([["é" * 13]], "a text of 26 bytes"),
    "a zero byte": ([["a\0b"]], "which has a zero byte"),
    "a last zero byte": ([["a\0"]], "which has a zero byte"),
    "half a letter": ([["\ud800"]], "which UTF-8 cannot encode"),
    "bytes that are not a text": ([[b"\xff"]], "which are not UTF-8"),
    "a number": ([[3]], "a int among its texts"),
    "nothing": ([[None]], "a NoneType among its texts"),
    "numbers": (np.zeros((1, 1)), "is float64, not texts"),
    "rows of other lengths": ([["a"], ["a", "b"]], "not an array of texts|among its texts|shape"),
    "one dimension": (["a"], "has the shape"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_text_is_refused_in_one_line(folder: Path, name: str) -> None:
    city, said = HOSTILE[name]
    inputs = {"city": city, "kind": [["red"]], "size": np.zeros((1, 3), np.float32)}
    with (
        luthier.load(folder) as first,
        first.entry("table") as artifact,
        pytest.raises(InputError, match=said) as refused,
    ):
        artifact.run(inputs)
    assert "\n" not in str(refused.value)


def test_the_manifest_and_the_header_tell_them(folder: Path) -> None:
    city = read_manifest(folder).entries[0].inputs[0]
    assert (city.type, city.text, city.width) == ("text[rows,1,24]", True, 24)
    header = (folder / "model.h").read_text()
    assert "0: 'city' text[rows,1,24], 960 bytes at most, of 24 for a text" in header


def test_a_check_speaks_with_the_reference_in_texts() -> None:
    report = luthier.check(words_model(), shapes={"n": 5}, log=None)
    assert report.ok
    assert report.reference.startswith("onnxruntime")


PROGRAM = """
#include <texts.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    const luthier_model *model = luthier_texts_words();
    luthier_instance *instance = NULL;
    luthier_error error;
    if (luthier_create(model, NULL, &instance, &error) != LUTHIER_OK)
        return puts(error.message), 1;
    if (model->inputs[0].dtype != LUTHIER_TEXT || model->inputs[0].shape[1] != 32)
        return 2;
    int64_t n = 3;
    if (luthier_set_sizes(instance, &n, 1, &error) != LUTHIER_OK)
        return puts(error.message), 3;
    char x[3][32] = {"Paris", "x-12"};
    memcpy(x[2], "full row of thirty-two bytes 678", 32);
    memcpy(x[1] + 5, "rubbish", 7); /* after the end */
    char joined[3][35], parts[3 * 18 * 35], words[3 * 3 * 32];
    bool matches[3];
    int64_t counts[3], number[3], named[3];
    luthier_input in = {x, sizeof x};
    luthier_output out[] = {{joined, sizeof joined}, {matches, sizeof matches},
                            {parts, sizeof parts},   {counts, sizeof counts},
                            {words, sizeof words},   {number, sizeof number},
                            {named, sizeof named}};
    if (luthier_run(instance, &in, 1, out, 7, &error) != LUTHIER_OK)
        return puts(error.message), 4;
    for (int i = 0; i < 3; i++)
        printf("%.35s %d %d %d %s\\n", joined[i], matches[i], (int)counts[i], (int)number[i],
               luthier_output_label(model, 6, named[i]));
    luthier_destroy(instance);
    return 0;
}
"""


def test_a_c_program_gives_and_takes_texts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(PROGRAM.replace("<stdio", "<stdbool.h>\n#include <stdio"))
    links = [f"-I{folder}", f"-L{folder}", "-ltexts", f"-Wl,-rpath,{folder}", "-o", "main"]
    command = ["cc", "-Wall", "-Wextra", "-Werror", "main.c", *links]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Paris-é 1 2 1 v",
        "x-12-é 1 3 1 other",
        "full row of thirty-two bytes 678-é 0 3 3 other",
    ]


REFUSED = {
    "an operator that has no texts": (
        [N("Hardmax", ["x"], ["y"])], "Hardmax 'y': texts are not supported here"
    ),
    "a pattern": (
        [N("RegexFullMatch", ["x"], ["y"], pattern=r"\C")], r"pattern.*a single byte.*not supp"
    ),
    "a cast of no whole numbers": (
        [N("Cast", ["n"], ["y"], to=STRING)], "not known to be whole numbers"
    ),
    "a comparison with numbers": ([N("Equal", ["x", "n"], ["y"])], "an input 1 that is not a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_supported_is_refused_by_name(name: str) -> None:
    nodes, said = REFUSED[name]
    made = model(nodes, {"x": (STRING, [3]), "n": (FLOAT, [3])}, {"y": BOOL})
    with pytest.raises(UnsupportedOperator, match=said):
        luthier.build(made, "nowhere", log=None)


def test_a_bound_is_of_an_input_of_texts() -> None:
    with pytest.raises(ModelError, match="have 1 bytes at most, and from 2 to 65536"):
        luthier.build(moving_model(), "nowhere", log=None, bounds={"x": 1})


def keeping(*, wide: bool = False) -> onnx.ModelProto:
    """What it keeps is the last word that was to be kept, or else a word of its own."""
    nodes = [
        N("Where", ["flag", "word", "kept"], ["last"]),
        N("StringConcat", ["last", "mark"], ["marked"]),
        N("Equal", ["last", "none"], ["is_none"]),
        N("Where", ["is_none", "first", "word" if not wide else "marked"], ["y"]),
    ]
    texts = {"word": (STRING, [2]), "flag": (BOOL, [2]), "kept": (STRING, [2])}
    made = model(nodes, texts, {"y": STRING, "marked" if wide else "last": STRING}, mark="!",
                 first="first", none="")  # fmt: skip
    return made


def test_a_text_that_is_a_state(tmp_path: Path) -> None:
    """Words are narrower than what keeps them; of those that become too wide it says so."""
    state = {"kept": "last"}
    luthier.build(keeping(), tmp_path / "out", log=None, state=state, bounds={"kept": 80})
    session = onnxruntime.InferenceSession(
        keeping().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    kept = np.array(["", ""], object)
    with luthier.load(tmp_path / "out") as library:
        for word, flag in (("a", True), ("ä" * 9, False), ("long " * 12, True), ("", False)):
            words, flags = np.array([word, "other"], object), np.array([flag, not flag])
            given = {"word": words, "flag": flags}
            y, kept = session.run(None, {**given, "kept": kept})
            assert library.run(given)["y"].tolist() == y.tolist()
        library.state.reset()
        assert library.run({**given, "flag": np.array([False] * 2)})["y"].tolist() == ["first"] * 2
    with pytest.raises(ModelError, match="'kept' have 64 bytes at most, and become ones of"):
        luthier.build(keeping(wide=True), tmp_path / "wide", log=None, state={"kept": "marked"})
