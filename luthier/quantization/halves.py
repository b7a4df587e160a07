"""Matrices of products as bfloat16: half the bytes, and 8 bits of precision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_PRODUCTS = ("MatMul", "Gemm")


def in_bfloat16(model: onnx.ModelProto, excluded: Collection[str]) -> onnx.ModelProto:
    """The model, changed: each matrix that products alone read is stored so, and cast before them.

    Nodes that are ``excluded`` by name keep theirs, and so do all that share one with them.
    """
    graph = model.graph
    matrices = {t.name: t for t in graph.initializer if len(t.dims) == 2 and _is_float(t)}
    readers = Counter(name for node in graph.node for name in node.input)
    chosen = Counter(
        node.input[1]
        for node in graph.node
        if node.op_type in _PRODUCTS and node.name not in excluded and node.input[1] in matrices
    )
    before = []
    for name, count in chosen.items():
        if count != readers[name]:
            continue
        tensor = matrices[name]
        array = numpy_helper.to_array(tensor).astype(np.float32)
        stored = f"{name}/bfloat16"
        tensor.CopyFrom(_stored(array, stored))
        before.append(helper.make_node("Cast", [stored], [name], f"{name}/cast", to=1))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*before, *nodes])
    return model


def _is_float(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == TensorProto.FLOAT)


def _stored(array: np.ndarray[tuple[int, ...], np.dtype[np.float32]], name: str) -> TensorProto:
    data = array.astype(ml_dtypes.bfloat16).tobytes()
    return helper.make_tensor(name, TensorProto.BFLOAT16, array.shape, data, raw=True)
