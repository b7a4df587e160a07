"""A Relax module of TVM as a graph: the walk over a function's bindings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from luthier.schedules import LuthierError, ModelError, UnsupportedOperator
from luthier.schedules.tvm_late import relax

from ..graph import Graph
from ..messages import one_line
from .arithmetic import TABLE as ARITHMETIC
from .layouts import TABLE as LAYOUTS
from .sorting import TABLE as SORTING
from .translation import Translation, Value

_TABLE = {**ARITHMETIC, **LAYOUTS, **SORTING}


def import_relax(module: Any, outputs: Sequence[str], function: str = "main") -> Graph:
    """The graph of a function of a ``tvm.IRModule``, before all passes.

    It takes and gives tensors of fixed sizes; ``outputs`` names what it gives. Raises ModelError or
    UnsupportedOperator.
    """
    body = module[function]
    try:
        return _translated(body, outputs)
    except LuthierError:
        raise
    except Exception as error:
        raise ModelError(f"the module cannot be translated ({one_line(error)})") from error


def _translated(function: Any, outputs: Sequence[str]) -> Graph:
    t = Translation("main")
    for param in function.params:
        t.source = f"input '{param.name}'"
        t.bound[param] = t.input(str(param.name), t.out(param))
    for block in function.body.blocks:
        for binding in block.bindings:
            t.source = str(binding.var.name)
            _translate_binding(t, binding)
    t.source = "the outputs"
    results = t.fields(function.body.body)
    return t.finish(list(zip(outputs, results, strict=True)))


def _translate_binding(t: Translation, binding: Any) -> None:
    var, expr = binding.var, t.resolve(binding.value)
    if isinstance(expr, relax.Call) and isinstance(var.ty, relax.ShapeType):
        if var.ty.values is None:
            raise ModelError(f"{t.source}: the shape of its result depends on the inputs' values")
        t.aliases[var] = relax.ShapeExpr(var.ty.values)
    elif isinstance(expr, relax.Call):
        t.bound[var] = _translate_call(t, expr)
    elif isinstance(expr, relax.TupleGetItem):
        fields = t.fields(expr.tuple_value)
        if expr.index >= len(fields):
            raise t.unsupported(f"result {expr.index} of it")
        t.bound[var] = fields[expr.index]
    elif isinstance(var.ty, relax.TensorType):
        t.bound[var] = t.value(expr)
    elif isinstance(expr, relax.Tuple) and all(
        isinstance(t.resolve(field).ty, relax.TensorType) for field in expr.fields
    ):
        t.bound[var] = t.fields(expr)
    else:
        t.aliases[var] = expr


def _translate_call(t: Translation, call: Any) -> Value:
    name = getattr(call.op, "name", type(call.op).__name__)
    if name not in _TABLE:
        raise UnsupportedOperator(f"{t.source}: it needs {name}, which is not supported")
    return _TABLE[name](t, call)
