"""A small artifact that many tests share; they must not change it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share small_models.py

from sanitized import Sanitized
from small_models import SmallModel, two_inputs

from luthier.deploy import Sample, SampleNote


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Sanitized:
    own = tmp_path_factory.getbasetemp()
    return Sanitized(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.fixture(scope="session")
def small() -> SmallModel:
    return two_inputs()


@pytest.fixture(scope="session")
def artifact_folder(small: SmallModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small") / "artifact"
    sample = Sample({"x": small.program.constants[2]}, {}, SampleNote("nobody", {}))
    small.build(folder, finish=lambda _: {"run": sample})
    return folder
