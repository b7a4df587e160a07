"""A Relax module of TVM as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.schedules import LuthierError, ModelError

from ..graph import Graph
from ..messages import one_line
from .arithmetic import TABLE as ARITHMETIC
from .importer import translate
from .layouts import TABLE as LAYOUTS


def import_relax(module: Any, outputs: Sequence[str], function: str = "main") -> Graph:
    """The graph of a function of a ``tvm.IRModule``, before all passes.

    It takes and gives tensors of fixed sizes; ``outputs`` names what it gives. Raises ModelError or
    UnsupportedOperator.
    """
    body = module[function]
    inputs = [str(param.name) for param in body.params]
    try:
        return translate(body, inputs, outputs, {**ARITHMETIC, **LAYOUTS})
    except LuthierError:
        raise
    except Exception as error:
        raise ModelError(f"the module cannot be translated ({one_line(error)})") from error
