"""TVM, imported where it is first used: what counts, describes or searches works without it.

``tirx.Select`` below means ``tvm.tirx.Select``, looked up when it is needed.
"""

from __future__ import annotations

import importlib

from .late import late


def load() -> None:
    """Import all of it now, where later would be at somebody's expense."""
    importlib.import_module("tvm.relax")


tvm, ir, relax, tirx = late("tvm"), late("tvm.ir"), late("tvm.relax"), late("tvm.tirx")
