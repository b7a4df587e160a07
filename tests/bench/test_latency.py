"""The benchmark itself: turns, failures, differing outputs, pages. Not how fast anything is."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import luthier
from bench import results, turns
from bench.models import DIGITS
from bench.turns import Entry, Row, measure


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench") / "digits"
    luthier.build(DIGITS, folder, log=None)
    return folder


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(turns, "SECONDS", 0.001)


def test_engines_take_turns(artifact):
    entries = [Entry("luthier", "luthier", artifact), Entry("peer", "onnxruntime", DIGITS)]
    row = measure("digits", DIGITS, 1, entries, rounds=2)
    assert {label: len(times) for label, times in row.turns.items()} == {"luthier": 2, "peer": 2}
    assert all(t > 0 for times in row.turns.values() for t in times)
    assert row.failures == {}


def test_a_peer_that_fails_is_reported_and_the_others_go_on(artifact, tmp_path):
    entries = [
        Entry("luthier", "luthier", artifact),
        Entry("peer", "onnxruntime", tmp_path / "none.onnx"),
    ]
    row = measure("digits", DIGITS, 1, entries, rounds=2)
    assert list(row.turns) == ["luthier"]
    assert "none.onnx" in row.failures["peer"]


def test_nothing_is_timed_without_luthier(tmp_path):
    with pytest.raises(ValueError, match="luthier fails"):
        measure("digits", DIGITS, 1, [Entry("luthier", "luthier", tmp_path)], rounds=1)


def test_an_engine_that_is_not_installed_fails_as_others_do(artifact, tmp_path, monkeypatch):
    (tmp_path / "openvino.py").write_text("raise ModuleNotFoundError('no openvino here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    entries = [Entry("luthier", "luthier", artifact), Entry("peer", "openvino", DIGITS)]
    row = measure("digits", DIGITS, 1, entries, rounds=2)
    assert row.failures == {"peer": "ModuleNotFoundError: no openvino here"}


@pytest.fixture
def other(tmp_path):
    """Digits with other weights."""
    model = onnx.load(DIGITS)
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor) + np.float32(0.1)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    onnx.save(model, tmp_path / "other.onnx")
    return tmp_path / "other.onnx"


def test_outputs_that_differ_from_the_first_peers_are_an_error(artifact, other):
    entries = [Entry("luthier", "luthier", artifact), Entry("peer", "onnxruntime", other)]
    with pytest.raises(ValueError, match="'scores' of luthier differs from peer's"):
        measure("digits", DIGITS, 1, entries, rounds=1)


def test_a_later_peer_with_other_outputs_fails(artifact, other):
    entries = [
        Entry("luthier", "luthier", artifact),
        Entry("peer", "onnxruntime", DIGITS),
        Entry("wrong", "onnxruntime", other),
    ]
    row = measure("digits", DIGITS, 1, entries, rounds=2)
    assert list(row.turns) == ["luthier", "peer"]
    assert row.failures == {"wrong": "differs in 'scores'"}


ROW = Row("m", 2, {"luthier": [1e-3, 2e-3, 1e-3], "peer": [2e-3, 2e-3, 3e-3]}, {"other": "no"})


def test_a_ratio_is_taken_turn_by_turn():
    assert ROW.ratios("peer", "luthier") == (1.5, 2.0, 2.5)
    assert ROW.milliseconds("luthier") == 1.0


def test_one_turn_is_its_own_spread():
    once = Row("m", 2, {"luthier": [1e-3], "peer": [2e-3]}, {})
    assert once.ratios("peer", "luthier") == (2.0, 2.0, 2.0)


def test_a_table_replaces_the_one_before_it(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- t -->\nold\n<!-- /t -->\nafter\n")
    results.replace(page, "t", r"new \1")
    assert page.read_text() == "before\n<!-- t -->\nnew \\1\n<!-- /t -->\nafter\n"
    with pytest.raises(ValueError, match="no place for 'u'"):
        results.replace(page, "u", "")


@pytest.mark.parametrize("section", ["latency", "tuned", "kernels", "footprint"])
def test_results_have_a_place_for_every_table(section, tmp_path):
    page = tmp_path / "RESULTS.md"
    page.write_text(results.RESULTS.read_text())
    results.replace(page, section, "new")
    assert f"<!-- {section} -->\nnew\n<!-- /{section} -->" in page.read_text()
