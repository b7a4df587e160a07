"""The output of the footprint's processes, and its table. Not how much anything needs."""

from __future__ import annotations

from dataclasses import fields

import pytest

from bench import footprint
from bench.footprint import Footprint, Needs, measured, table
from bench.models import DIGITS

OURS = Needs(peak=2_000_000, held=1_000_000, ready=0.5, start=1.25, code=40_000)
PEER = Needs(peak=12_000_000, held=11_000_000, ready=8.0, start=10.0, code=36_600_000)


@pytest.fixture(autouse=True)
def one_start(monkeypatch):
    monkeypatch.setattr(footprint, "STARTS", 1)


def test_both_engines_are_measured_in_processes_of_their_own():
    found = measured("digits", DIGITS, threads=2)
    assert found.model == "digits"
    assert found.peer
    for needs in (found.ours, found.peer):
        assert needs.peak > 0
        assert needs.held > 0
        assert 0 < needs.ready < needs.start
    assert found.planned < 1e6
    assert 10_000 < found.ours.code < 1e6 < found.peer.code


def test_a_peer_that_is_not_installed_fails(tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('no onnxruntime here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert measured("digits", DIGITS, threads=1).peer is None


def test_a_table_in_megabytes_and_milliseconds():
    lines = table(
        [Footprint("one", 1_500_000, OURS, PEER), Footprint("two", 0, OURS, None)]
    ).splitlines()
    assert lines[2].split(" | ")[1:11] == "1.5 2.0 12.0 1.0 11.0 0.5 8.0 1.2 10.0 0.0".split()
    assert lines[3].count("fails") == len(fields(Needs))
