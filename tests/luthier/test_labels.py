"""Labels that are texts: numbers in the library, texts in Python, and told by C and C++."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import luthier
from luthier.deploy import read_manifest
from luthier.frontend import read_model
from luthier.schedules import UnsupportedOperator

ML = "ai.onnx.ml"
STRING, INT64, FLOAT = TensorProto.STRING, TensorProto.INT64, TensorProto.FLOAT
NAMES = ["setosa", 'a "quoted" \\ name??/', "größer"]
X = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)


def model(nodes: list[onnx.NodeProto], outputs: dict[str, int], **constants: object):
    graph = helper.make_graph(
        nodes,
        "flowers",
        [helper.make_tensor_value_info("x", FLOAT, [7, 4])],
        [helper.make_tensor_value_info(n, kind, None) for n, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 3)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


def flowers(label: str = "label") -> onnx.NodeProto:
    weights = np.random.default_rng(1).standard_normal(12)
    return helper.make_node(
        "LinearClassifier", ["x"], [label, "scores"], domain=ML, classlabels_strings=NAMES,
        coefficients=weights.tolist(), intercepts=[0.1, 0.2, 0.3], post_transform="SOFTMAX",
    )  # fmt: skip


def theirs(proto: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"x": X})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labels") / "flowers"
    proto = model([flowers()], {"label": STRING, "scores": FLOAT})
    luthier.build(proto, out, log=None)
    return out


def test_python_gives_texts(folder: Path) -> None:
    wanted, scores = theirs(model([flowers()], {"label": STRING, "scores": FLOAT}))
    with luthier.load(folder) as artifact:
        assert artifact.outputs[0].labels == tuple(NAMES)
        assert artifact.outputs[1].labels == ()
        found = artifact.run({"x": X})
        numbers = artifact.run({"x": X}, texts=False)["label"]
        called = artifact(X)
    assert found["label"].tolist() == called[0].tolist() == wanted.tolist()
    assert [NAMES[n] for n in numbers] == wanted.tolist()
    np.testing.assert_allclose(found["scores"], scores, 1e-5)
    assert luthier.check(folder).ok


def test_the_manifest_and_the_header_tell_them(folder: Path) -> None:
    assert read_manifest(folder).outputs[0].labels == tuple(NAMES)
    header = (folder / "model.h").read_text()
    assert "numbers of 0 'setosa', 1 'a" in header


PROGRAM = """
#include <flowers.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    const luthier_model *model = luthier_flowers();
    for (int64_t i = -2; i < 5; i++) {
        const char *text = luthier_output_label(model, 0, i);
        printf("%s\\n", text ? text : "-");
    }
    int none = luthier_output_label(model, 1, 0) == NULL;
    none += luthier_output_label(model, 2, 0) == NULL;
    none += luthier_output_label(model, (size_t)-1, INT64_MIN) == NULL;
    none += luthier_output_label(NULL, 0, 0) == NULL;
    return none != 4;
}
"""
IN_CPP = """
#include <flowers.h>
#include <luthier.hpp>
#include <cstdio>

int main()
{
    luthier::Model model(luthier_flowers());
    std::printf("%s\\n", model.label(0, 2));
    return model.label(0, 3) != nullptr;
}
"""


@pytest.mark.parametrize(
    ("compiler", "name", "source", "said"),
    [
        ("cc", "main.c", PROGRAM, ["-", "-", *NAMES, "-", "-"]),
        ("c++ -std=c++17", "main.cpp", IN_CPP, NAMES[2:]),
    ],
)
def test_c_and_cpp_programs_give_texts(
    folder: Path, tmp_path: Path, compiler: str, name: str, source: str, said: list[str]
) -> None:
    (tmp_path / name).write_text(source)
    links = [f"-I{folder}", f"-L{folder}", "-lflowers", f"-Wl,-rpath,{folder}", "-o", "main"]
    command = [*compiler.split(), "-Wall", "-Wextra", "-Werror", name, *links]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == said


def encoder(source: str, result: str, **attrs: object) -> onnx.NodeProto:
    return helper.make_node("LabelEncoder", [source], [result], domain=ML, **attrs)


def argmax() -> list[onnx.NodeProto]:
    return [flowers(), helper.make_node("ArgMax", ["scores"], ["best"], axis=1)]


WAYS = {
    "chosen of a list": (
        [
            *argmax(),
            helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["some"], domain=ML),
            helper.make_node("Reshape", ["some", "shape"], ["y"]),
        ],
        {"names": np.array(["b", "a", "b"], object), "shape": np.array([-1])},
    ),
    "of numbers": (
        [
            *argmax(),
            encoder("best", "y", keys_int64s=[0, 2], values_strings=["u", "v"],
                    default_string="w"),
        ],
        {},
    ),
    "beside others": (
        [flowers(), helper.make_node("Concat", ["label", "names"], ["y"], axis=0)],
        {"names": np.array(["b", "größte"], object)},
    ),
    "of texts": (
        [
            flowers(),
            encoder("label", "y", keys_strings=[*NAMES[::-1], "x"],
                    values_strings=["u", "v", "w", "x"]),
        ],
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_texts_move(way: str, tmp_path: Path) -> None:
    nodes, constants = WAYS[way]
    proto = model(nodes, {"y": STRING}, **constants)
    luthier.build(proto, tmp_path / "out", log=None)
    with luthier.load(tmp_path / "out") as artifact:
        (found,) = artifact(X)
    (wanted,) = theirs(proto)
    assert found.tolist() == wanted.tolist()


def test_texts_become_numbers() -> None:
    nodes = [flowers(), encoder("label", "y", keys_strings=NAMES, values_int64s=[5, 6, 7])]
    proto = model(nodes, {"y": INT64})
    assert read_model(proto).labels == {}


def test_what_else_is_done_with_texts_is_refused() -> None:
    nodes = [flowers(), helper.make_node("Hardmax", ["label"], ["y"])]
    with pytest.raises(UnsupportedOperator, match="Hardmax 'y': texts are not supported here"):
        luthier.build(model(nodes, {"y": FLOAT}), "nowhere", log=None)
