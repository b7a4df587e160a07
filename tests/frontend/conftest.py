"""Where the tests of this room find what they share.

Each graph that they import is verified, and each program that one becomes.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

import luthier.frontend
from luthier.frontend.graph import Graph
from luthier.frontend.graph.verify import verify as verify_graph
from luthier.frontend.program import Program
from luthier.frontend.program.verify import verify as verify_program

sys.path.insert(0, str(Path(__file__).parent))  # the tests share onnx_models.py and the cases


P = ParamSpec("P")
T = TypeVar("T", Graph, Program)


def _verified(make: Callable[P, T], verify: Callable[[T], None]) -> Callable[P, T]:
    @functools.wraps(make)
    def checked(*args: P.args, **named: P.kwargs) -> T:
        made = make(*args, **named)
        verify(made)
        return made

    return checked


@pytest.fixture(autouse=True)
def verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the importer makes, what each pass makes of it, and the program at the end."""
    module = sys.modules[luthier.frontend.import_graph.__module__]
    for name in ("PASSES", "OPEN_PASSES"):
        passes = getattr(module, name)
        watched = (replace(p, rewrite=_verified(p.rewrite, verify_graph)) for p in passes)
        monkeypatch.setattr(module, name, tuple(watched))
    monkeypatch.setattr(module, "to_graph", _verified(module.to_graph, verify_graph))
    for name in ("lower", "join_depthwise"):
        monkeypatch.setattr(module, name, _verified(getattr(module, name), verify_program))
