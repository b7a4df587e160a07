"""Files of TensorFlow Lite, written operator by operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

_TYPES = {
    "float32": "FLOAT32", "int32": "INT32", "uint8": "UINT8", "int64": "INT64", "bool": "BOOL",
    "int16": "INT16", "int8": "INT8", "complex64": "COMPLEX64", "resource": "RESOURCE",
    "float16": "FLOAT16", "string": "STRING",
}  # fmt: skip


class File:
    """Tensors are known by their numbers in the graph that is written."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version, self.model.operatorCodes = 3, []
        self.model.buffers, self.model.subgraphs = [schema.BufferT()], []
        self.begin()

    def begin(self) -> int:
        """Begin a graph; gives its number."""
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.graph.inputs, self.graph.outputs = [], []
        self.model.subgraphs.append(self.graph)
        return len(self.model.subgraphs) - 1

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        name: str = "",
        value: Any = None,
        kept: bool = False,
        int4: bool = False,
        scale: float = 0,
    ) -> int:
        """A new tensor; one with a value is a constant."""
        made = schema.TensorT()
        made.name = name or f"t{len(self.graph.tensors)}"
        made.shape, made.isVariable, made.hasRank = list(shape), kept, True
        made.type = getattr(schema.TensorType, "INT4" if int4 else _TYPES[dtype])
        made.buffer = 0
        if scale:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [scale], [0]
        if value is not None:
            buffer = schema.BufferT()
            data = _texts(value) if dtype == "string" else np.asarray(value, dtype)
            if int4:
                flat = np.append(data.reshape(-1), np.zeros(data.size % 2, np.int8)) & 15
                data = (flat[::2] | flat[1::2] << 4).astype(np.uint8)
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            made.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def input(self, name: str, shape: Sequence[int], dtype: str = "float32") -> int:
        self.graph.inputs.append(self.tensor(shape, dtype, name=name))
        return int(self.graph.inputs[-1])

    def constant(self, value: Any, dtype: str = "float32", **more: Any) -> int:
        return self.tensor(np.shape(value), dtype, value=value, **more)

    def output(self, name: str, number: int) -> None:
        self.graph.tensors[number].name = name
        self.graph.outputs.append(number)

    def add(
        self,
        kind: str,
        inputs: Sequence[int],
        results: Sequence[tuple[Sequence[int], str]],
        options: str = "",
        custom: bytes = b"",
        **fields: Any,
    ) -> list[int]:
        """An operator with the fields of its options; gives the tensors of its results."""
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        builtin = getattr(schema.BuiltinOperator, kind, schema.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode = builtin, min(builtin, 127)
        code.version = 1
        if builtin == schema.BuiltinOperator.CUSTOM:
            code.customCode, made.customOptions = kind, np.frombuffer(custom, np.uint8)
        made.opcodeIndex = len(self.model.operatorCodes)
        self.model.operatorCodes.append(code)
        made.inputs = list(inputs)
        made.outputs = [self.tensor(shape, dtype) for shape, dtype in results]
        if options:
            given = getattr(schema, f"{options}T")()
            if hasattr(schema.BuiltinOptions, options):
                made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
                made.builtinOptions = given
            else:
                made.builtinOptions2Type = getattr(schema.BuiltinOptions2, options)
                made.builtinOptions2 = given
            for name, value in fields.items():
                assert hasattr(given, name), name
                setattr(given, name, value)
        self.graph.operators.append(made)
        return list(made.outputs)

    def composite(self, name: str, graph: int, inputs: Sequence[int], shape: Sequence[int]) -> int:
        """What a graph does, as one operator with one result."""
        (found,) = self.add("STABLEHLO_COMPOSITE", inputs, [(shape, "float32")])
        made = self.graph.operators[-1]
        made.builtinOptions2Type = schema.BuiltinOptions2.StableHLOCompositeOptions
        made.builtinOptions2 = schema.StableHLOCompositeOptionsT()
        made.builtinOptions2.name = name
        made.builtinOptions2.decompositionSubgraphIndex = graph
        none = flexbuffers.Dumps({})
        made.builtinOptions2.compositeAttributes = np.frombuffer(none, np.uint8)
        return found

    def sparse(
        self,
        value: Any,
        dtype: str = "float32",
        *,
        order: Sequence[int],
        compressed: Sequence[int],
        blocks: Mapping[int, int] | None = None,
        scale: float = 0,
    ) -> int:
        """A constant of which what is not 0 is stored: dimensions in an ``order``, in which those
        at the places ``compressed`` are so; ``blocks`` are sizes by dimension."""
        blocks = blocks or {}
        whole = np.asarray(value, dtype)
        sizes = [s // blocks.get(d, 1) for d, s in enumerate(whole.shape)]
        parts = whole.reshape([n for d, s in enumerate(sizes) for n in (s, blocks.get(d, 1))])
        rank = whole.ndim
        inner = [2 * d + 1 for d in blocks]
        parts = parts.transpose([*range(0, 2 * rank, 2), *inner, *(
            2 * d + 1 for d in range(rank) if d not in blocks)])  # fmt: skip
        parts = parts.reshape([*sizes, *blocks.values()]).transpose(order)
        nodes, levels = [parts], []
        for place, dimension in enumerate(order):
            level = schema.DimensionMetadataT()
            levels.append(level)
            if place not in compressed:
                level.format, level.denseSize = schema.DimensionType.DENSE, parts.shape[place]
                nodes = [child for node in nodes for child in node]
                continue
            level.format = schema.DimensionType.SPARSE_CSR
            kept = [[i for i, child in enumerate(node) if child.any()] for node in nodes]
            begins = np.cumsum([0, *map(len, kept)])
            places = [i for some in kept for i in some]
            for name, numbers in (("arraySegments", begins), ("arrayIndices", places)):
                kind = ("Int32", "Uint16", "Uint8")[dimension % 3]
                setattr(level, f"{name}Type", getattr(schema.SparseIndexVector, f"{kind}Vector"))
                listed = getattr(schema, f"{kind}VectorT")()
                listed.values = np.asarray(numbers, kind.lower())
                setattr(level, name, listed)
            nodes = [node[i] for node, some in zip(nodes, kept, strict=True) for i in some]
        number = self.tensor(whole.shape, dtype, value=np.array(nodes, dtype), scale=scale)
        found = schema.SparsityParametersT()
        found.traversalOrder, found.blockMap = list(order), list(blocks)
        found.dimMetadata = levels
        self.graph.tensors[number].sparsity = found
        return number

    def signature(self, name: str, number: int) -> None:
        """Of a graph, whose inputs and outputs have the names of their tensors."""
        made, graph = schema.SignatureDefT(), self.model.subgraphs[number]
        made.signatureKey, made.subgraphIndex = name, number
        for field, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
            listed = []
            for tensor in tensors:
                listed.append(schema.TensorMapT())
                listed[-1].name, listed[-1].tensorIndex = graph.tensors[tensor].name, tensor
            setattr(made, field, listed)
        self.model.signatureDefs = [*(self.model.signatureDefs or []), made]

    def bytes(self) -> bytes:
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def _texts(value: Any) -> np.ndarray:
    """How many there are, where each begins and the last ends, and all of them."""
    given = [str(text).encode() for text in np.asarray(value, object).reshape(-1)]
    ends = np.cumsum([4 * (len(given) + 2), *map(len, given)])
    head = np.asarray([len(given), *ends], "<i4").tobytes()
    return np.frombuffer(head + b"".join(given), np.uint8)
