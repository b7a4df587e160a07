"""Where the tests of this room find what they share. Each graph that they import is verified."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import luthier.frontend
from luthier.frontend.graph import Graph
from luthier.frontend.graph.verify import verify

sys.path.insert(0, str(Path(__file__).parent))  # the tests share onnx_models.py and the cases


def _verified(make: Callable[..., Graph]) -> Callable[..., Graph]:
    @functools.wraps(make)
    def checked(*args: object) -> Graph:
        graph = make(*args)
        verify(graph)
        return graph

    return checked


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the importer makes, and what each pass makes of it."""
    module = sys.modules[luthier.frontend.import_graph.__module__]
    passes = tuple(replace(each, rewrite=_verified(each.rewrite)) for each in module.PASSES)
    monkeypatch.setattr(module, "PASSES", passes)
    monkeypatch.setattr(module, "to_graph", _verified(module.to_graph))
