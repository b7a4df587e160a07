"""Modules that are imported when something of them is first used.

NumPy takes a tenth of a second to import, TVM seconds; and the process that runs candidates forks
for each of them, which takes the longer the more it has imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
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


def late_names(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, by its modules and the names that these have.

    A module is named as it is imported from the package: with a dot before it if it is its own.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(importlib.import_module(homes[name], package), name)
        setattr(sys.modules[package], name, value)  # asked once
        return value

    return find
