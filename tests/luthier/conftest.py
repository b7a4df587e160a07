"""A small model, its artifact, and the command line in this process."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

import luthier
from luthier.autotune.measure import builders
from luthier.cli import main

sys.path.insert(0, str(Path(__file__).parent))  # the tests share scale_model.py

from scale_model import scale_model


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Runs ``luthier`` with arguments; what libraries print below Python is caught, too."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers, hook = [signal.getsignal(n) for n in numbers], sys.unraisablehook
    for thread in threading.enumerate():  # of an earlier test: commands leave out modules it needs
        if thread.name == "import of xgboost":
            thread.join()

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err)

    yield run
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


@pytest.fixture(scope="session")
def proto() -> onnx.ModelProto:
    return scale_model()


@pytest.fixture(scope="session")
def model(proto: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model's file."""
    path = tmp_path_factory.mktemp("model") / "scale.onnx"
    onnx.save(proto, path)
    return path


@pytest.fixture(scope="session")
def artifact_folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model, built with default schedules for two threads; tests must not change it."""
    folder = tmp_path_factory.mktemp("built") / "scale"
    luthier.build(model, folder, log=None, threads=2)
    return folder


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Inputs of the small model."""
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((2, 8)).astype(np.float32),
        "shift": rng.standard_normal(5).astype(np.float32),
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a working folder of its own, where the default log is looked for.

    What ships with Luthier for this kind of machine has no say.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("luthier.records.sources._shipped", lambda workloads: [])
    return tmp_path


@pytest.fixture(autouse=True)
def short_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Candidates are built by one process, which starts when it is asked for the first, and whole
    models are timed for a tenth of a second.

    That process imports TVM, which takes longer than most sessions here. Several that start
    beforehand are tested with the measurer, and wherever the command has a process of its own.
    """
    monkeypatch.setattr(builders, "available_cores", lambda: 1)
    monkeypatch.setattr(builders.Builders, "start", lambda self: None)
    monkeypatch.setattr("luthier.tuning.timed.SECONDS", 0.1)
