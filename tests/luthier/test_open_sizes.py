"""Models with open sizes from the file to the library, on the command line and in Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest

import luthier
from luthier.building.tried import checked, tried
from luthier.frontend import Entry, import_entry
from luthier.records.runs import combinations, counts, runs
from luthier.schedules import target
from luthier.schedules.errors import UsageError
from luthier.schedules.ir.symbol import Symbol

TEXT = """
<ir_version: 8, opset_import: ["": 18]>
mixer (float[batch,tokens,16] x, int64[batch,tokens] kinds) => (float[batch,tokens,16] y) {
  table = Constant <value = float[3,16] {%s}> ()
  words = Gather (table, kinds)
  z = Add (x, words)
  columns = Transpose <perm = [0, 2, 1]> (z)
  scores = MatMul (z, columns)
  shares = Softmax (scores)
  y = MatMul (shares, z)
}
"""
OPEN = ("--shape", "batch=1,2", "--shape", "tokens=1..40")
SHAPES = {"batch": (1, 2), "tokens": range(1, 41)}
HOST = target.host(threads=1)


@pytest.fixture(scope="module")
def mixer() -> onnx.ModelProto:
    return onnx.parser.parse_model(TEXT % ", ".join(str(i / 48) for i in range(48)))


@pytest.fixture(scope="module")
def path(mixer: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("open") / "mixer.onnx"
    onnx.save(mixer, path)
    return path


@pytest.fixture(scope="module")
def folder(path: Path) -> Path:
    folder = path.parent / "mixer"
    luthier.build(path, folder, log=None, shapes=SHAPES, threads=1)
    return folder


@pytest.fixture(scope="module")
def entry(mixer: onnx.ModelProto) -> Entry:
    return import_entry(mixer, HOST, SHAPES)


def inputs(batch: int, tokens: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([batch, tokens])
    x = rng.standard_normal((batch, tokens, 16)).astype(np.float32)
    return {"x": x, "kinds": rng.integers(0, 3, (batch, tokens))}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("tokens", [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 39, 40])
def test_the_library_is_right_at_each_size(
    mixer: onnx.ModelProto, folder: Path, batch: int, tokens: int
) -> None:
    given = inputs(batch, tokens)
    session = onnxruntime.InferenceSession(mixer.SerializeToString())
    (wanted,) = session.run(None, given)
    with luthier.load(folder) as artifact:
        np.testing.assert_allclose(artifact.run(given)["y"], wanted, 1e-4, 1e-5)


def test_sizes_that_nothing_was_built_for_are_refused(folder: Path) -> None:
    with luthier.load(folder) as artifact:
        for batch, tokens in ((3, 1), (1, 41)):
            with pytest.raises(luthier.InputError, match="impossible size"):
                artifact.run(inputs(batch, tokens))
        assert [str(size) for size in artifact.sizes] == ["batch=1,2", "tokens=1..40"]


def test_run_takes_any_of_the_sizes(cli, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", **inputs(2, 5))
    done = cli("run", folder, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.code == 0, done.err
    assert "y: float32[2,5,16]" in done.out


def test_the_sample_is_checked_again(cli, folder: Path) -> None:
    assert cli("check", folder).code == 0


def test_check_tells_the_sizes_that_it_tried(cli, path: Path) -> None:
    done = cli("check", path, *OPEN, "--threads", 1, "--no-log", "--json")
    report = json.loads(done.out)
    assert done.code == 0
    assert report["ok"]
    sizes = [each["sizes"] for each in report["sizes"]]
    assert report["runs"] == len(sizes) == len(set(sizes))
    assert {"batch=2, tokens=1", "batch=2, tokens=40", "batch=1, tokens=40"} <= set(sizes)
    assert all(each["within"] for each in report["sizes"])


def test_a_wrong_library_is_told_by_its_sizes(cli, path: Path, monkeypatch) -> None:
    def wrong(
        self: luthier.Artifact, given: dict[str, np.ndarray], **asked: bool
    ) -> dict[str, np.ndarray]:
        found = right(self, given, **asked)
        return {n: a + (a.shape[1] == 17) for n, a in found.items()}

    right = luthier.Artifact.run
    monkeypatch.setattr(luthier.Artifact, "run", wrong)
    done = cli("check", path, "--shape", "batch=1", "--shape", "tokens=9..40", "--no-log")
    assert done.code == 9
    assert "DIFFERS at tokens=17: by 1" in done.out
    assert done.out.count("DIFFERS at") == 1


def test_tuned_sizes_count_in_the_build(cli, path: Path, tmp_path: Path) -> None:
    log, at = tmp_path / "log.db", ("--at", "batch=1", "--at", "tokens=40,7")
    some = (path, *OPEN, "--threads", 1, "--log", log)
    done = cli("tune", *some, *at, "--trials", 6, "--untimed", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["sizes"] == ["batch=1, tokens=40", "batch=1, tokens=7"]
    tuned = [str(kernel["workload"]) for kernel in report["kernels"]]
    assert any("1,40,16" in kernel for kernel in tuned)
    assert any("1,7,16" in kernel for kernel in tuned)
    done = cli("build", *some, *at, "-o", tmp_path / "built", "--json")
    report = json.loads(done.out)
    assert report["from_records"] > 0
    assert report["kernels"] == report["from_records"] + report["from_defaults"]
    why = luthier.explain(path, log=log, threads=1, shapes=SHAPES, at={"batch": 1, "tokens": 7})
    assert {kernel.sizes for kernel in why} == {("batch=1, tokens=7",)}


def test_bench_at_sizes(cli, folder: Path) -> None:
    options = ("--seconds", 0.05, "--threads", 1, "--kernels")
    done = cli("bench", folder, *options, "--at", "tokens=7,33", "--json")
    report = json.loads(done.out)
    assert [each["sizes"] for each in report["at"]] == ["batch=2, tokens=33", "batch=2, tokens=7"]
    assert report["gflop"] is None
    assert all(kernel["milliseconds"] > 0 for kernel in report["kernels"])
    largest = luthier.bench(folder, seconds=0.05, threads=1, at={"tokens": 40, "batch": 2})
    assert largest.gflop
    assert largest.sizes == "batch=2, tokens=40"


@pytest.mark.parametrize(
    ("at", "message"),
    [
        (
            {"token": 4},
            "'token' is not a size that the model leaves open; these are: batch=1,2, tok",
        ),
        ({"tokens": (4, 41)}, "the model is not for tokens=41; its sizes are: batch=1,2, tokens="),
        ({"tokens": range(1, 41), "batch": (1, 2)}, "these are 80 choices of sizes, above 64"),
    ],
)
def test_sizes_that_the_model_does_not_have(
    path: Path, tmp_path: Path, folder: Path, at: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        luthier.tune(path, log=tmp_path / "log.db", trials=1, shapes=SHAPES, at=at)
    with pytest.raises(UsageError, match=message):
        luthier.bench(folder, at=at)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("tokens=1..", "is not a shape such as x=1,3,224,224, nor sizes such as tokens=1..512"),
        ("tokens=1...4", "nor sizes such as tokens=1..512"),
        ("tokens=4,,5", "nor sizes such as tokens=1..512"),
        ("x=1,t!,3", "nor sizes such as tokens=1..512"),
    ],
)
def test_options_that_say_no_sizes(cli, path: Path, tmp_path: Path, option: str, message) -> None:
    done = cli("build", path, "-o", tmp_path / "out", "--shape", option)
    assert done.code == 2
    assert message in " ".join(done.err.split())


def test_names_for_dimensions_on_the_command_line(cli, path: Path, tmp_path: Path) -> None:
    shapes = ("--shape", "x=1,2*half,16", "--shape", "kinds=1,2*half", "--shape", "half=1..4")
    done = cli("build", path, "-o", tmp_path / "out", *shapes, "--no-log", "--threads", 1)
    assert done.code == 0, done.err
    with luthier.load(tmp_path / "out") as artifact:
        assert artifact.run(inputs(1, 6))["y"].shape == (1, 6, 16)
        with pytest.raises(luthier.InputError):
            artifact.run(inputs(1, 5))


def test_a_value_for_an_input_of_open_sizes(path: Path, tmp_path: Path) -> None:
    luthier.build(path, tmp_path / "out", log=None, shapes=SHAPES, values={"kinds": 1}, threads=1)
    with luthier.load(tmp_path / "out") as artifact:
        assert [port.name for port in artifact.inputs] == ["x"]
        assert artifact.run({"x": inputs(2, 9)["x"]})["y"].shape == (2, 9, 16)


def test_an_operator_of_tvm_has_a_kernel_for_each_size(tmp_path: Path) -> None:
    text = """
    <ir_version: 8, opset_import: ["": 18]>
    whole (int32[rows,4] x, int32[4,3] w) => (int32[rows,3] y) { y = MatMul (x, w) }
    """
    proto = onnx.parser.parse_model(text)
    luthier.build(proto, tmp_path / "out", log=None, shapes={"rows": range(1, 5)}, threads=1)
    w = np.arange(12, dtype=np.int32).reshape(4, 3)
    with luthier.load(tmp_path / "out") as artifact:
        for rows in (1, 4, 3):
            x = np.arange(4 * rows, dtype=np.int32).reshape(rows, 4)
            assert (artifact(x, w)[0] == x @ w).all()


def test_runs_stand_for_all_sizes(entry: Entry) -> None:
    some = [run.text for run in runs(entry)]
    assert {"batch=2, tokens=40", "batch=1, tokens=6"} <= set(some)
    chosen = runs(entry, {"tokens": (40, 8)})
    assert [run.text for run in chosen] == ["batch=2, tokens=40", "batch=2, tokens=8"]
    assert counts(chosen).total() == sum(len(run.variant.calls) for run in chosen)
    assert runs(Entry.of(chosen[0].program))[0].text == ""


def test_trials_begin_with_the_largest_sizes(entry: Entry, monkeypatch) -> None:
    assert tried(entry)[0].text == "batch=2, tokens=40"
    monkeypatch.setattr("luthier.building.tried._CHEAP", 2e4)
    assert tried(entry)[0].text != "batch=2, tokens=40"


def test_checks_cost_a_bounded_time(entry: Entry, monkeypatch) -> None:
    assert 15 < len(checked(entry, 3)) <= 40
    monkeypatch.setattr("luthier.building.tried._ALL", 1.0)
    assert len(checked(entry, 3)) == 1


def test_combinations_begin_with_the_largest() -> None:
    symbols = (Symbol("batch", 1, 8), Symbol.of("tokens", (4, 9)))
    assert combinations(symbols, {"batch": (1, 2)}) == [
        {"batch": 2, "tokens": 9},
        {"batch": 1, "tokens": 9},
    ]
