"""ONNX to Relax through TVM's importer, and Relax to the graph."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import helper
from tvm.relax.frontend.onnx import onnx_frontend

from luthier.schedules import LuthierError, ModelError, UnsupportedOperator
from luthier.schedules.tvm_late import relax

from . import (
    onnx_arg,
    onnx_einsum,
    onnx_half,
    onnx_math,
    onnx_movement,
    onnx_nn,
    onnx_reduce,
    onnx_resize,
    onnx_types,
    relax_conv,
    relax_fallback,
    relax_math,
    relax_movement,
    relax_nn,
)
from .declared import check_inferred
from .graph import Array, Graph
from .messages import one_line
from .onnx_node import OnnxNode
from .translation import translate

CONVERTERS = {
    **onnx_arg.CONVERTERS,
    **onnx_einsum.CONVERTERS,
    **onnx_math.CONVERTERS,
    **onnx_movement.CONVERTERS,
    **onnx_nn.CONVERTERS,
    **onnx_reduce.CONVERTERS,
    **onnx_resize.CONVERTERS,
}
PADDED = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")
TABLE = {
    **relax_conv.TABLE,
    **relax_fallback.TABLE,
    **relax_math.TABLE,
    **relax_movement.TABLE,
    **relax_nn.TABLE,
}


_SINGLE = (int, float, bytes, Message)


class _Importer(onnx_frontend.ONNXGraphImporter):  # type: ignore[misc]
    """Uses our own converters first, and remembers which node a Relax variable came from."""

    def __init__(self) -> None:
        super().__init__(None, None, keep_params_in_input=False, sanitize=False)
        self.labels: dict[Any, str] = {}
        self.label = "the model's inputs"

    def _check_for_unsupported_ops(self, graph: Any) -> None:
        """``outline`` did, which knows our own converters."""

    def _convert_operator(self, op_name: str, inputs: Any, attrs: Any, opset: int) -> Any:
        about = attrs.pop("tvm_custom")
        self.label = about["name"]
        for i, value in enumerate(inputs):
            if isinstance(value, relax.ShapeExpr):
                inputs[i] = relax.const(np.asarray([int(d) for d in value.values], np.int64))
        halves = op_name in onnx_half.SEVERAL_STEPS and onnx_half.widen(self.bb, inputs)
        node = OnnxNode(self.bb, self.label, list(inputs), attrs, about["num_outputs"], opset)
        onnx_types.check(op_name, node)
        if op_name == "GridSample":
            inputs[1] = onnx_nn.grid_as_image(node)
        if op_name in PADDED:
            attrs = onnx_nn.explicit_padding(op_name, node)
        if op_name in CONVERTERS:
            result = self.bb.normalize(CONVERTERS[op_name](node))
        else:
            attrs["tvm_custom"] = about
            result = super()._convert_operator(op_name, inputs, attrs, opset)
        if halves:
            result = onnx_half.narrow(self.bb, result)
        if isinstance(result, relax.Call):
            result = self.bb.emit(result)
        for value in result.fields if isinstance(result, relax.Tuple) else [result]:
            if isinstance(value, relax.Var):
                self.labels.setdefault(value, self.label)
        return result

    def _parse_attr(self, attr_proto: Iterable[onnx.AttributeProto]) -> dict[str, Any]:
        """As TVM's, which does not know lists without elements."""
        values = {a.name: helper.get_attribute_value(a) for a in attr_proto}
        return {n: v if isinstance(v, _SINGLE) else tuple(v) for n, v in values.items()}

    def close(self) -> None:
        """Leave the block that a failure left open, of which TVM would warn."""
        with contextlib.suppress(Exception):
            self.bb._end_block()


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
            check_inferred(model, importer._nodes)
    except LuthierError:
        importer.close()
        raise
    except Exception as error:
        importer.close()
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
