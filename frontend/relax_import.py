"""ONNX to Relax through TVM's importer, and Relax to the graph."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Mapping
from typing import Any

import onnx
from tvm import relax
from tvm.relax.frontend.onnx import onnx_frontend

from luthier.schedules import LuthierError, ModelError, UnsupportedOperator

from . import relax_math, relax_movement, relax_nn
from .graph import Array, Graph
from .messages import one_line
from .translation import translate

TABLE = {**relax_math.TABLE, **relax_movement.TABLE, **relax_nn.TABLE}


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """Remembers which of the model's nodes a Relax variable came from."""

    def __init__(self) -> None:
        super().__init__(None, None, keep_params_in_input=False, sanitize=False)
        self.labels: dict[str, str] = {}
        self.label = "the model's inputs"

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        self.label = attrs["tvm_custom"]["name"]
        result = super()._convert_operator(op_name, inputs, attrs, opset)
        if isinstance(result, relax.Call):
            result = self.bb.emit(result)
        if isinstance(result, relax.Var):
            self.labels.setdefault(result.name, self.label)
        return result


def to_graph(model: onnx.ModelProto, weights: Mapping[str, Array]) -> Graph:
    """The graph of a model with fixed sizes, whose nodes are named.

    Graph inputs that ``weights`` names are constants. Raises ModelError or UnsupportedOperator.
    """
    importer = _Importer()
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    try:
        # The importer prints what it fails on; the error below says it.
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importer.from_onnx(model.graph, opset)
    except Exception as error:
        raise UnsupportedOperator(
            f"{importer.label}: TVM's importer cannot convert it ({one_line(error)})"
        ) from error
    try:
        return translate(
            model.graph.name,
            module["main"],
            [i.name for i in model.graph.input],
            [o.name for o in model.graph.output],
            weights,
            importer.labels,
            TABLE,
        )
    except LuthierError:
        raise
    except Exception as error:
        raise ModelError(f"the model cannot be translated ({one_line(error)})") from error
