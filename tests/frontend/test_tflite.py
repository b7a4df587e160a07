"""Models of TensorFlow Lite compute what its interpreter computed, and damaged files do no harm."""

from __future__ import annotations

import random
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx_models import TARGET
from sized_models import computed

import luthier
from luthier.deploy.texts import texts_of
from luthier.frontend import Program, import_entries, read_model
from luthier.frontend.tflite.model import decoded
from luthier.frontend.tflite.reader import OPERATORS, read_tflite
from luthier.schedules import LuthierError, ModelError, UnsupportedOperator
from luthier.schedules.ir.dtype import DTYPES
from luthier.schedules.ops.texts import rows

FOLDER = Path(__file__).parent / "tflite_models"  # make.py there writes them
MODELS = sorted(path.stem for path in FOLDER.glob("*.tflite"))


def runs(name: str) -> list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """What the interpreter was given, and what it gave, in one run after the other."""
    found: list[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]] = []
    with np.load(FOLDER / f"{name}.npz") as arrays:
        for key in arrays:
            title, _, number = key.partition("@")
            while len(found) <= int(number or 0):
                found.append(({}, {}))
            is_output = title.startswith("out_")
            found[int(number or 0)][is_output][title.removeprefix("out_")] = arrays[key]
    return found


def text_rows(texts: np.ndarray, width: int) -> np.ndarray:
    """As a library takes them."""
    return rows([text.encode() for text in texts.flat], (*texts.shape, width))


def as_given(program: Program) -> tuple[Program, dict[str, np.ndarray]]:
    """With states as inputs and outputs, and what they hold at first."""
    states = program.states
    inputs = (*program.inputs, *((s.name, s.before) for s in states))
    outputs = (*program.outputs, *((s.becomes, s.after) for s in states))
    types = {state.name: program.type(state.before) for state in states}
    held = {name: np.zeros(t.shape, DTYPES[t.dtype].numpy) for name, t in types.items()}
    return replace(program, inputs=inputs, outputs=outputs, states=()), held


@pytest.mark.parametrize("name", MODELS)
def test_models(name: str) -> None:
    every = runs(name)
    shapes = {n: a.shape for n, a in every[0][0].items()}
    read = read_model(FOLDER / f"{name}.tflite", shapes)
    (entry,) = import_entries({"model": read}, TARGET).values()
    (whole,) = entry.variants
    program, held = as_given(whole)
    for inputs, wanted in every:
        words = {n: text_rows(a, read.widths[n]) for n, a in inputs.items() if a.dtype.kind == "U"}
        got = computed(program, {}, inputs | words | held)
        held = {state.name: got.pop(state.becomes) for state in whole.states}
        assert got.keys() == wanted.keys()
        for each, value in wanted.items():
            if value.dtype.kind == "U":
                listed = np.array(read.labels.get(each, ()))
                told = listed[got[each]] if listed.size else texts_of(got[each])
                np.testing.assert_array_equal(told, value)
                continue
            assert got[each].dtype == value.dtype, each
            assert got[each].shape == value.shape, each
            if value.dtype.kind == "f":
                np.testing.assert_allclose(got[each], value, 1e-5, 1e-5, err_msg=each)
                continue
            # TensorFlow rounds products of scales to 31 bits, and layers add up to some steps.
            differ = np.abs(got[each].astype(np.int64) - value.astype(np.int64))
            steps = 4 if "int8" in name else 0
            assert differ.max(initial=0) <= steps, each
            assert (differ > 1).mean() <= 0.08, each


def test_operators_are_tried() -> None:
    """Each is in one of the models, but for those that TensorFlow's converter hardly writes."""
    models = (decoded((FOLDER / f"{name}.tflite").read_bytes(), name) for name in MODELS)
    assert OPERATORS.keys() - {each.kind for model in models for each in model.reached()} == set()


def test_the_page_lists_the_operators() -> None:
    text = (Path(__file__).parents[2] / "docs" / "tflite.md").read_text()
    listed = text.partition("## Which operators")[2]
    custom = {kind for kind in OPERATORS if kind.startswith("custom")}
    assert set(re.findall(r"`([A-Z][A-Z0-9_]+)`", listed)) == OPERATORS.keys() - custom
    assert all(f"`{kind.split(chr(39))[1]}`" in listed for kind in custom)


SIGNATURES = FOLDER / "several" / "signatures.tflite"


def test_an_entry_point_takes_the_signature_of_its_name(tmp_path: Path) -> None:
    """Variables are states that they share."""
    luthier.build({"add": SIGNATURES, "scale": SIGNATURES}, tmp_path / "out", log=None)
    x = np.array([1, 2], np.float32)
    with luthier.load(tmp_path / "out") as library:
        add, scale = (library.entry(name) for name in ("add", "scale"))
        assert [add(x)[0].tolist() for _ in range(2)] == [[1, 2], [2, 4]]
        assert scale.run({"factor": x})["found"].tolist() == [2, 8]
        assert add(x)[0].tolist() == [3, 6]


def test_without_a_name_a_file_is_its_first_graph() -> None:
    for entry in ("", "run", "add"):
        read = read_model(SIGNATURES, entry=entry)
        assert [each.name for each in read.proto.graph.input] == ["x", "sum"]
        assert dict(read.states) == {"sum": "sum_next"}
    assert read_model(SIGNATURES, entry="scale").proto.graph.input[0].name == "factor"


def test_open_sizes_have_names() -> None:
    read = read_model(FOLDER / "rows.tflite", {"batch": range(1, 5), "x_2": 7})
    assert read.open is not None
    assert [symbol.name for symbol in read.open.symbols] == ["batch"]


@pytest.mark.parametrize(
    "name",
    [
        "classifier_int8",
        "detections",
        "keeping",
        "layers",
        "mediapipe",
        "simple",
        "sparse",
        "texts",
    ],
)
@pytest.mark.filterwarnings("ignore::luthier.schedules.ModelWarning")
def test_damaged_files_are_refused_or_read(name: str) -> None:
    data, rng = (FOLDER / f"{name}.tflite").read_bytes(), random.Random(name)
    for number in range(200):
        damaged = bytearray(data)
        if number % 3:
            for _ in range(rng.randrange(1, 4)):
                at = rng.choice(
                    [rng.randrange(len(data)), rng.randrange(len(data) - 900, len(data))]
                )
                damaged[at] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        else:
            del damaged[rng.randrange(8, len(data)) :]
        with suppress(LuthierError):
            read_tflite(bytes(damaged), "it")


def calling_itself() -> bytes:
    """A file whose branches are the graph that they are in."""
    data = bytearray((FOLDER / "deciding.tflite").read_bytes())
    model = decoded(bytes(data), "it")
    for operation in model.reached():
        if operation.kind == "IF" and operation.graph and operation.options is not None:
            for field in range(2):
                at = operation.options.place(field)
                if at is not None:
                    data[at : at + 4] = operation.graph.to_bytes(4, "little")
    return bytes(data)


def test_graphs_that_call_themselves_are_refused() -> None:
    with pytest.raises(ModelError, match="its graphs call one another too deeply, or in a circle"):
        read_tflite(calling_itself(), "it")


def test_unknown_operators_are_counted() -> None:
    data = (FOLDER / "classifier.tflite").read_bytes()
    known = dict(OPERATORS)
    try:
        del OPERATORS["DEPTHWISE_CONV_2D"], OPERATORS["ADD"]
        with pytest.raises(
            UnsupportedOperator, match=r"2 operators .* DEPTHWISE_CONV_2D \(2 nodes\)"
        ) as got:
            read_tflite(data, "it")
    finally:
        OPERATORS.update(known)
    assert set(got.value.operators) == {"DEPTHWISE_CONV_2D", "ADD"}


def test_another_format_is_not_taken_for_one(tmp_path: Path) -> None:
    path = tmp_path / "some.tflite"
    path.write_bytes(b"\x14\0\0\0TFL4" + bytes(100))
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_model(path)
