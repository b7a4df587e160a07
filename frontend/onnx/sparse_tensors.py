"""Sparse tensors of a model's own, written out: kernels know dense ones alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import SparseTensorProto, TensorProto, helper, numpy_helper

from luthier.schedules import ModelError

from .element_types import dtype_name
from .function_size import MOST_BYTES, MOST_TIMES
from .opset import node_label
from .scopes import every_node, inner_graphs

_MOST_ELEMENTS = 2**31 - 1


def without_sparse(model: onnx.ModelProto, where: str) -> None:
    """Make initializers of sparse ones, and of sparse constants dense ones, in every graph.

    Inputs that are sparse become dense ones of their shapes. Raises ModelError for what is no
    sparse tensor, and where they would take more memory than a model's own functions may.
    """
    for value in model.graph.input:
        if value.type.HasField("sparse_tensor_type"):
            _take_dense(value)
    bodies = [model.graph, *model.functions]
    graphs = [model.graph, *_inner(bodies)]
    nodes = [node for body in bodies for node in every_node(body.node)]
    found = [(s, f"initializer '{s.values.name}'") for g in graphs for s in g.sparse_initializer]
    found += [
        (a.sparse_tensor, node_label(node))
        for node in nodes
        for a in node.attribute
        if a.HasField("sparse_tensor")
    ]
    if not found:
        return
    most = max(MOST_BYTES, MOST_TIMES * model.ByteSize())
    if sum(_bytes(sparse, f"{where}: {label}") for sparse, label in found) > most:
        raise ModelError(
            f"{where}: its sparse tensors take more than {most >> 20} MiB, written out: this is "
            "not supported"
        )
    for graph in graphs:
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            graph.initializer.append(_dense(sparse, name, f"{where}: initializer '{name}'"))
        del graph.sparse_initializer[:]
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                tensor = _dense(attribute.sparse_tensor, "", f"{where}: {node_label(node)}")
                name = "value" if attribute.name == "sparse_value" else attribute.name
                attribute.CopyFrom(helper.make_attribute(name, tensor))


def _take_dense(value: onnx.ValueInfoProto) -> None:
    sparse, dense = value.type.sparse_tensor_type, onnx.TypeProto()
    dense.tensor_type.elem_type = sparse.elem_type
    if sparse.HasField("shape"):
        dense.tensor_type.shape.CopyFrom(sparse.shape)
    value.type.CopyFrom(dense)


def _inner(bodies: list[onnx.GraphProto | onnx.FunctionProto]) -> Iterator[onnx.GraphProto]:
    for body in bodies:
        for node in every_node(body.node):
            yield from inner_graphs(node)


def _bytes(sparse: SparseTensorProto, label: str) -> int:
    if any(d < 0 for d in sparse.dims) or math.prod(sparse.dims) > _MOST_ELEMENTS:
        raise ModelError(f"{label}: a sparse tensor has the shape {list(sparse.dims)}")
    dtype_name(sparse.values.data_type, label)
    size = helper.tensor_dtype_to_np_dtype(sparse.values.data_type).itemsize
    return int(size * math.prod(sparse.dims))


def _dense(sparse: SparseTensorProto, name: str, label: str) -> TensorProto:
    """Places are counted through the whole tensor, or along each of its dimensions."""
    dims = tuple(sparse.dims)
    try:
        values = numpy_helper.to_array(sparse.values)
        indices = numpy_helper.to_array(sparse.indices)
    except Exception as error:
        raise ModelError(f"{label}: its sparse tensor cannot be read") from error
    shapes = ((values.size,), (values.size, len(dims)))
    if values.ndim != 1 or indices.dtype != np.int64 or indices.shape not in shapes:
        raise ModelError(
            f"{label}: {list(values.shape)} values of a sparse tensor at {indices.dtype}"
            f"{list(indices.shape)} places do not fit"
        )
    flat = np.zeros(math.prod(dims), values.dtype)
    places = indices
    if indices.ndim == 2:
        inside = (indices >= 0) & (indices < np.asarray(dims, np.int64))
        if not inside.all():
            raise ModelError(f"{label}: places of its sparse tensor are outside of {list(dims)}")
        places = indices @ np.array([math.prod(dims[i + 1 :]) for i in range(len(dims))], np.int64)
    if places.size and not 0 <= places.min() <= places.max() < flat.size:
        raise ModelError(f"{label}: places of its sparse tensor are outside of {list(dims)}")
    flat[places] = values
    return numpy_helper.from_array(flat.reshape(dims), name)
