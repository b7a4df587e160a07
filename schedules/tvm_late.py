"""TVM, imported where it is first used: what counts, describes or searches works without it.

``tirx.Select`` below means ``tvm.tirx.Select``, looked up when it is needed.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Late(ModuleType):
    """A module by its name alone, until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, found)  # asked once
        return found


def late(name: str) -> Any:
    """The module of that name."""
    return _Late(name)


def load() -> None:
    """Import all of it now, where later would be at somebody's expense."""
    importlib.import_module("tvm.relax")


tvm, ir, relax, tirx = late("tvm"), late("tvm.ir"), late("tvm.relax"), late("tvm.tirx")
