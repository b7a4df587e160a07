"""Entry points and states from the models' files to the library, beside ONNX Runtime."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier
from luthier import EntryPoint

sys.path.append(str(Path(__file__).parent.parent / "frontend"))

import state_models

STATES = state_models.STATES
PAST = 40


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """prefill.onnx, decode.onnx and elman.onnx."""
    folder = tmp_path_factory.mktemp("files")
    onnx.save(state_models.decoder(), folder / "prefill.onnx")
    onnx.save(state_models.decoder(1), folder / "decode.onnx")
    onnx.save(state_models.elman(), folder / "elman.onnx")
    return folder


@pytest.fixture(scope="module")
def folder(files: Path) -> Path:
    points = {
        "prefill": EntryPoint(
            files / "prefill.onnx",
            shapes={"tokens": range(1, 17), "past": 0},
            state=STATES,
        ),
        "decode": EntryPoint(files / "decode.onnx", shapes={"past": range(PAST + 1)}, state="auto"),
    }
    report = luthier.build(points, files / "small", log=None)
    assert (report.name, report.problems) == ("small", ())
    assert report.reference.startswith("onnxruntime")
    return files / "small"


class Cached:
    """The decoder in ONNX Runtime, which is fed the cache by hand."""

    def __init__(self, files: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.sessions = {
            name: onnxruntime.InferenceSession(files / f"{name}.onnx", options)
            for name in ("prefill", "decode")
        }
        self.cache = {n: np.zeros((1, 2, 0, 8), np.float32) for n in STATES}

    def at(self, ids: np.ndarray) -> np.ndarray:
        past = next(iter(self.cache.values())).shape[2]
        return np.arange(past, past + ids.shape[1])[None]

    def run(self, entry: str, ids: np.ndarray) -> np.ndarray:
        names = ["logits", *STATES.values()]
        given = {"ids": ids, "at": self.at(ids), **self.cache}
        logits, *after = self.sessions[entry].run(names, given)
        self.cache = dict(zip(STATES, after, strict=True))
        return logits


@pytest.fixture
def artifact(folder: Path) -> Iterator[luthier.Artifact]:
    with luthier.load(folder) as loaded:
        yield loaded


@pytest.mark.parametrize("tokens", [1, 2, 7, 16])
def test_a_decoder_of_two_entry_points(
    files: Path, artifact: luthier.Artifact, tokens: int
) -> None:
    rng, right = np.random.default_rng(tokens), Cached(files)
    decode = artifact.entry("decode")
    assert [port.name for port in decode.inputs] == ["ids", "at"]

    def check(entry: luthier.Artifact, name: str, ids: np.ndarray) -> None:
        at = right.at(ids)
        logits = entry.run({"ids": ids, "at": at})["logits"]
        np.testing.assert_allclose(logits, right.run(name, ids), rtol=1e-3, atol=1e-4)

    check(artifact, "prefill", rng.integers(0, 31, (1, tokens)))
    for _ in range(10):
        check(decode, "decode", rng.integers(0, 31, (1, 1)))
    held = decode.state.read()
    assert held.keys() == right.cache.keys()
    for name, array in right.cache.items():
        np.testing.assert_allclose(held[name], array, rtol=1e-3, atol=1e-4)
    assert artifact.state.lengths == dict.fromkeys(STATES, tokens + 10)


def test_a_sequence_goes_on_where_another_was(files: Path, artifact: luthier.Artifact) -> None:
    """A cache that was computed elsewhere is written, and its continuation is the same."""
    rng, right = np.random.default_rng(0), Cached(files)
    right.run("prefill", rng.integers(0, 31, (1, 9)))
    decode = artifact.entry("decode")
    decode.state.write(right.cache)
    ids = rng.integers(0, 31, (1, 1))
    logits = decode.run({"ids": ids, "at": right.at(ids)})["logits"]
    np.testing.assert_allclose(logits, right.run("decode", ids), rtol=1e-3, atol=1e-4)


def test_a_prompt_in_chunks(files: Path, tmp_path: Path) -> None:
    """Where tokens and the past are open, a causal mask moves with the past."""
    shapes = {"tokens": range(1, 9), "past": range(PAST + 1)}
    luthier.build(
        files / "prefill.onnx", tmp_path / "chunks", shapes=shapes, state="auto", log=None
    )
    rng, right = np.random.default_rng(5), Cached(files)
    with luthier.load(tmp_path / "chunks") as artifact:
        for tokens in (5, 3, 1, 8, 2):
            ids = rng.integers(0, 31, (1, tokens))
            logits = artifact.run({"ids": ids, "at": right.at(ids)})["logits"]
            np.testing.assert_allclose(logits, right.run("prefill", ids), rtol=1e-3, atol=1e-4)


def test_the_first_chunk_begins_a_sequence(artifact: luthier.Artifact) -> None:
    inputs = {"ids": np.zeros((1, 2), np.int64), "at": np.zeros((1, 2), np.int64)}
    artifact.run(inputs)
    with pytest.raises(luthier.InputError, match="'past', which is how much states hold, is 2"):
        artifact.run(inputs)
    artifact.state.reset()
    artifact.run(inputs)


def test_equal_weights_are_stored_once(files: Path, folder: Path, tmp_path: Path) -> None:
    """Where schedules are equal, packed ones are, too."""

    def weight_bytes(out: Path) -> int:
        found: int = json.loads((out / "manifest.json").read_text())["weight_bytes"]
        return found

    point = EntryPoint(files / "decode.onnx", shapes={"past": range(PAST + 1)}, state="auto")
    luthier.build({"one": point}, tmp_path / "one", log=None)
    luthier.build({"one": point, "other": point}, tmp_path / "two", log=None)
    assert weight_bytes(tmp_path / "two") == weight_bytes(tmp_path / "one")


def test_a_recurrent_cell(files: Path, tmp_path: Path) -> None:
    report = luthier.build(files / "elman.onnx", tmp_path / "elman", state="auto", log=None)
    assert report.problems == ()
    session = onnxruntime.InferenceSession(files / "elman.onnx")
    h, rng = np.zeros((1, 8), np.float32), np.random.default_rng(1)
    with luthier.load(tmp_path / "elman") as cell:
        for _ in range(10):
            x = rng.standard_normal((1, 5)).astype(np.float32)
            y, h = session.run(["y", "h_out"], {"x": x, "h_in": h})
            np.testing.assert_allclose(cell.run({"x": x})["y"], y, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(cell.state.read()["h_in"], h, rtol=1e-3, atol=1e-4)


def test_states_that_change_places(tmp_path: Path) -> None:
    luthier.build(state_models.swapped(), tmp_path / "swapped", state="auto", log=None)
    a, b = np.arange(4, dtype=np.float32), np.full(4, 9, np.float32)
    with luthier.load(tmp_path / "swapped") as artifact:
        artifact.state.write({"a_in": a, "b_in": b})
        for _ in range(3):
            found = artifact.run({"x": np.ones(4, np.float32)})
            assert np.array_equal(found["was"], a)
            assert np.array_equal(found["y"], a + 1)
            a, b = b, a
            held = artifact.state.read()
            assert np.array_equal(held["a_in"], a)
            assert np.array_equal(held["b_in"], b)


@pytest.mark.parametrize("shape", ["0", "0,3", "2,0"])
def test_a_state_of_no_elements_is_written_and_read(tmp_path: Path, shape: str) -> None:
    kind = f"float[{shape}]"
    text = f"""<ir_version: 8, opset_import: ["": 18]>
    none ({kind} x, {kind} past_0, float[2] z) => ({kind} present_0, float[2] y) {{
      present_0 = Add (past_0, x)
      y = Neg (z)
    }}"""
    luthier.build(onnx.parser.parse_model(text), tmp_path / "none", state="auto", log=None)
    empty = np.zeros([int(each) for each in shape.split(",")], np.float32)
    with luthier.load(tmp_path / "none") as artifact:
        artifact.state.write({"past_0": empty})
        found = artifact.run({"x": empty, "z": np.ones(2, np.float32)})
        assert np.array_equal(found["y"], [-1, -1])
        assert artifact.state.read()["past_0"].shape == empty.shape
        artifact.state.reset()


@pytest.mark.parametrize("shape", ["2,past,0", "0,past,3"])
def test_a_state_that_grows_and_never_has_elements_is_refused(tmp_path: Path, shape: str) -> None:
    new, whole = shape.replace("past", "1"), shape.replace("past", "all")
    text = f"""<ir_version: 8, opset_import: ["": 18]>
    none (float[{new}] x, float[{shape}] past_0) => (float[{whole}] present_0) {{
      present_0 = Concat <axis = 1> (past_0, x)
    }}"""
    with pytest.raises(luthier.UnsupportedOperator, match=r"'past_0' has the shape .* never has"):
        luthier.build(
            onnx.parser.parse_model(text),
            tmp_path / "none",
            state="auto",
            log=None,
            shapes={"past": range(5)},
        )


COUNTING = """
<ir_version: 8, opset_import: ["": 18]>
counting (float[1,2] x, float[past,2] past_0) => (float[1,2] y, float[all,2] present_0) {
  axes = Constant <value = int64[1] {0}> ()
  zero = Constant <value = int64 {0}> ()
  table = Constant <value = float[6,2] {0, 1, 20, 21, 40, 41, 60, 61, 80, 81, 100, 101}> ()
  shape = Shape (past_0)
  place = Gather (shape, zero)
  row = Gather (table, place)
  present_0 = Concat <axis = 0> (past_0, x)
  sum = ReduceSum (present_0, axes)
  y = Add (sum, row)
}
"""


def test_a_model_may_count_the_place_of_what_is_new(tmp_path: Path) -> None:
    proto, shapes = onnx.parser.parse_model(COUNTING), {"past": range(6)}
    report = luthier.build(proto, tmp_path / "out", log=None, shapes=shapes, state="auto")
    assert report.problems == ()
    with luthier.load(tmp_path / "out") as artifact:
        for place in range(6):
            (y,) = artifact(np.ones((1, 2), np.float32))
            assert y.tolist() == [[21 * place + 1, 21 * place + 2]]


def test_a_check_compares_states(files: Path, folder: Path) -> None:
    report = luthier.check(files / "elman.onnx", state={"h_in": "h_out"}, log=None)
    assert report.ok
    assert [output.name for output in report.outputs] == ["y", "h_out"]
    kept = luthier.check(folder)
    assert (kept.ok, kept.runs, kept.problems) == (True, 2, ())
    names = ["logits", *STATES.values()]
    wanted = [(entry, name) for entry in ("prefill", "decode") for name in names]
    assert [(output.entry, output.name) for output in kept.outputs] == wanted


class TestBench:
    def test_runs_begin_at_the_fill_that_was_asked_for(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held: list[set[int]] = []
        call = luthier.Artifact.__call__

        def counted(self: luthier.Artifact, *inputs: object) -> Any:
            held.append(set(self.state.lengths.values()))
            return call(self, *inputs)

        monkeypatch.setattr(luthier.Artifact, "__call__", counted)
        report = luthier.bench(folder, entry="decode", seconds=0.05, at={"past": (7, 30)})
        assert held == sorted(held, reverse=True)
        assert {7} in held
        assert {30} in held
        assert all(
            held.count({each}) >= at.runs for each, at in zip((30, 7), report.at, strict=True)
        )
        assert [each.sizes for each in report.at] == ["past=30", "past=7"]
        assert report.entry == "decode"
        for each in report.at:
            assert each.tokens_per_s == pytest.approx(1e3 / each.median)
        assert report.gflop is None

    def test_a_prompt_of_the_sample(self, cli: Any, folder: Path) -> None:
        done = cli("bench", folder, "--seconds", 0.05, "--kernels", "--json")
        assert done.code == 0, done.err
        report = json.loads(done.out)
        assert (report["entry"], report["sizes"]) == ("prefill", "tokens=16, past=0")
        assert report["tokens_per_s"] == pytest.approx(16e3 / report["median"])
        assert report["kernels"]

    def test_another_entry_point_is_timed_on_its_own_sample(self, cli: Any, folder: Path) -> None:
        done = cli("bench", folder, "--seconds", 0.05, "--entry", "decode")
        assert done.code == 0, done.err
        assert done.out.startswith(f"past={PAST}: median ")
        assert " tokens/s\n" in done.out
        assert "GFLOP a run" in done.out

    def test_a_state_that_keeps_its_type_has_no_tokens(self, files: Path, tmp_path: Path) -> None:
        luthier.build(files / "elman.onnx", tmp_path / "elman", state="auto", log=None)
        report = luthier.bench(tmp_path / "elman", seconds=0.05)
        assert report.tokens_per_s is None
        assert report.at == ()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--entry", "other"), "no entry point is called 'other'; there are ['prefill', "),
            (
                ("--at", "past=1"),
                "the model is not for past=1; its sizes are: tokens=1..16, past=0",
            ),
            (("--entry", "decode", "--at", "past=41"), "the model is not for past=41"),
        ],
    )
    def test_what_is_refused(
        self, cli: Any, folder: Path, options: tuple[str, ...], message: str
    ) -> None:
        done = cli("bench", folder, *options)
        assert done.code == 2
        assert message in done.err


class TestArguments:
    @pytest.mark.parametrize(
        ("models", "more", "message"),
        [
            ({}, {}, "no entry points are given"),
            ({"a-b": "m.onnx"}, {}, "'a-b' cannot be the name of an entry point"),
            ({"a": "m.onnx"}, {"shapes": {"x": (1,)}}, "are said of each entry point"),
            ({"a": "m.onnx"}, {"state": "auto"}, "are said of each entry point"),
            ({"a": 3}, {}, "the entry point 'a' must be a path or an onnx.ModelProto"),
            ({"a": EntryPoint("m.onnx", state="all")}, {}, "must be 'auto', or a mapping"),
            ({"a": EntryPoint("m.onnx", shapes=3)}, {}, "the shapes of the entry point 'a'"),
        ],
    )
    def test_entry_points(
        self, tmp_path: Path, models: Any, more: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(luthier.UsageError, match=message):
            luthier.build(models, tmp_path / "out", **more)

    def test_a_state(self, files: Path, tmp_path: Path) -> None:
        with pytest.raises(luthier.UsageError, match="state must be 'auto', or a mapping"):
            luthier.build(files / "elman.onnx", tmp_path / "out", state=["h_in"])


class TestCommandLine:
    def test_entry_points(self, cli: Any, files: Path, tmp_path: Path) -> None:
        cell = files / "elman.onnx"
        done = cli(
            *("build", "-o", tmp_path / "cells", "--no-log", "--json"),
            *("--entry", f"slow={cell}", "--entry", f"quick={cell}"),
            *("--state", "slow:h_in=h_out", "--state", "quick:auto"),
        )
        assert done.code == 0, done.err
        assert json.loads(done.out)["name"] == "cells"
        header = (tmp_path / "cells" / "model.h").read_text()
        for function in ("luthier_cells", "luthier_cells_slow", "luthier_cells_quick"):
            assert f"const luthier_model *{function}(void);" in header
        with luthier.load(tmp_path / "cells") as first:
            assert first.entries == ("slow", "quick")
            assert [note.name for note in first.entry("quick").state.notes] == ["h_in"]

    def test_an_option_without_a_name_is_of_all(
        self, cli: Any, files: Path, tmp_path: Path
    ) -> None:
        cell = files / "elman.onnx"
        done = cli(
            *("build", "-o", tmp_path / "cells", "--no-log", "--state", "auto"),
            *("--entry", f"slow={cell}", "--entry", f"quick={cell}", "--output", "slow:h_out"),
            *("--output", "slow:y", "--output", "quick:h_out"),
        )
        assert done.code == 0, done.err
        with luthier.load(tmp_path / "cells") as first, first.entry("quick") as quick:
            assert [port.name for port in first.outputs] == ["y"]
            assert quick.outputs == ()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "give a MODEL, or entry points with --entry NAME=FILE"),
            (["m.onnx", "--entry", "a=m.onnx"], "give a MODEL, or entry points"),
            (["--entry", "a"], "'a' is not an entry point such as decode=decode.onnx"),
            (["--entry", "a-b=m.onnx"], "is not an entry point such as"),
            (["--entry", "a=m.onnx", "--entry", "a=m.onnx"], "'a' is there twice"),
            (["--entry", "a=m.onnx", "--trials", "3", "--no-log"], "--no-log and --trials exclude"),
            (["--entry", "a=m.onnx", "--state", "auto", "--state", "x=y"], "exclude each other"),
            (["m.onnx", "--state", "x"], "'x' is not a state such as past_0=present_0"),
            (["m.onnx", "--state", "x=y", "--state", "x=z"], "'x' is a state twice"),
        ],
    )
    def test_what_is_refused(
        self, cli: Any, tmp_path: Path, arguments: list[str], message: str
    ) -> None:
        done = cli("build", "-o", tmp_path / "out", *arguments)
        assert done.code == 2
        assert message in done.err
