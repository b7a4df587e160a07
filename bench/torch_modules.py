"""The benchmarks' models as modules of torch, with the weights and outputs of their ONNX files.

What ``architectures`` exported is built again, with the same seed. The others are converted by
onnx2torch, which reads less of ONNX than they use: they are rewritten in its operators first.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import onnx

from bench.architectures import ARCHITECTURES

_LEAST_IR = 4  # from here on, initializers need not be inputs for their shapes to be inferred


def load(path: Path) -> Any:
    """The module, which takes the file's inputs in order and gives its outputs in order.

    Raises what torch or onnx2torch raise, the latter NotImplementedError for what it cannot read.
    """
    if path.stem in ARCHITECTURES:
        return ARCHITECTURES[path.stem]().module.eval()
    convert = _converter()
    module = convert(readable(onnx.load(path))).eval()
    _name_shapes(module)
    return module


def _converter() -> Callable[[onnx.ModelProto], Any]:
    """onnx2torch's, which imports torchvision for two operators that no model here has.

    A torch for the CPU alone cannot load the torchvision of PyPI.
    """
    absent = {"torchvision": ModuleType("torchvision"), "torchvision.ops": ModuleType("ops")}
    absent["torchvision.ops"].roi_align = None  # type: ignore[attr-defined]
    sys.modules.update(absent)
    import onnx2torch

    for name in absent:
        del sys.modules[name]
    return onnx2torch.convert  # type: ignore[no-any-return]


def readable(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model in onnx2torch's operators, shapes inferred."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.ir_version = max(copy.ir_version, _LEAST_IR)
    del copy.graph.value_info[:]  # the light models' have no shapes
    copy = onnx.shape_inference.infer_shapes(copy)
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in (*copy.graph.value_info, *copy.graph.output)
    }
    for node in copy.graph.node:
        if node.op_type == "Dropout":
            del node.output[1:]
            _become(node, "Identity")
        elif node.op_type == "AveragePool" and shapes[node.output[0]][2:] == [1, 1]:
            _become(node, "GlobalAveragePool")  # every window here covers its whole input
        elif node.op_type == "Reshape":
            _become(node, "Reshape")  # allowzero matters for empty tensors alone
    return copy


def _become(node: onnx.NodeProto, op_type: str) -> None:
    node.op_type = op_type
    del node.attribute[:]


def _name_shapes(module: Any) -> None:
    """Shapes that reshapes get as constant tensors, as numbers: torch.compile would otherwise cut
    the graph in two at each of them.
    """
    from onnx2torch.node_converters.reshape import OnnxReshape

    graph = module.graph
    for node in list(graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), OnnxReshape):
            data, shape = node.args
            if shape.op != "get_attr":
                continue
            sizes = operator.attrgetter(shape.target)(module).tolist()
            with graph.inserting_before(node):
                reshaped = graph.call_function(_reshape, (data, sizes))
            node.replace_all_uses_with(reshaped)
            graph.erase_node(node)
    module.recompile()


def _reshape(data: Any, sizes: list[int]) -> Any:
    """As ONNX has it: 0 keeps a dimension."""
    return data.reshape([size or data.shape[i] for i, size in enumerate(sizes)])
