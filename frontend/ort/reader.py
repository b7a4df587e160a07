"""From a file of ONNX Runtime's format to the ONNX model that it was made of.

Numbers of fields are those of ONNX Runtime's ``ort.fbs``.
"""

from __future__ import annotations

import onnx
from onnx import AttributeProto, TensorProto

from luthier.schedules import ModelError, UnsupportedOperator

from ..flatbuffer import Bytes, DamagedError, Table
from .order import in_order

_IDENTIFIER = b"ORTM"
_DEEPEST = 64  # graphs in graphs, and types in types
_STANDARD = ("", "ai.onnx")


def is_ort(data: bytes) -> bool:
    """Whether this is such a file, of which no other format of models is."""
    return data[4:8] == _IDENTIFIER and int.from_bytes(data[:4], "little") < len(data)


def read_ort(data: bytes, where: str) -> onnx.ModelProto:
    """The model of a file.

    What the file says of optimisations and kernels is left out: it is how ONNX Runtime is to run
    the model. Raises ModelError for a file that is damaged, and UnsupportedOperator.
    """
    try:
        return _model(Bytes(data), where)
    except (DamagedError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: the file is cut short or damaged") from error


def _model(source: Bytes, where: str) -> onnx.ModelProto:
    table = source.root().table(1)
    graph = None if table is None else table.table(7)
    if table is None or graph is None:
        raise ModelError(f"{where}: it has no graph")
    made = onnx.ModelProto(
        ir_version=table.number(0, "<q"),
        producer_name=table.text(2),
        producer_version=table.text(3),
    )
    for each in table.tables(1):
        domain = each.text(0)
        own = "" if domain in _STANDARD else domain
        made.opset_import.add(domain=own, version=each.number(1, "<q"))
    for each in table.tables(9):
        made.metadata_props.add(key=each.text(0), value=each.text(1))
    made.graph.CopyFrom(_Reader(where).graph(graph, "main", 0))
    return made


class _Reader:
    """Reads graphs, which may be in one another."""

    def __init__(self, where: str) -> None:
        self._where = where

    def graph(self, table: Table, name: str, depth: int) -> onnx.GraphProto:
        """A graph; its nodes are in an order in which they can be computed."""
        if depth > _DEEPEST:
            raise ModelError(f"{self._where}: its graphs are nested too deeply")
        if table.tables(7):
            raise UnsupportedOperator(f"{self._where}: sparse initializers are not supported")
        types = {each.text(0): each for each in table.tables(1)}
        made = onnx.GraphProto(name=name)
        made.initializer.extend(map(self._tensor, table.tables(0)))
        for field, infos in ((5, made.input), (6, made.output)):
            infos.extend(self._info(each, types.get(each)) for each in table.texts(field))
        nodes = [self._node(each, depth) for each in table.tables(2)]
        made.node.extend(in_order(nodes, self._where))
        return made

    def _info(self, name: str, table: Table | None) -> onnx.ValueInfoProto:
        """An input or output."""
        info = onnx.ValueInfoProto(name=name)
        kind = None if table is None else table.table(2)
        if kind is not None:
            info.type.CopyFrom(self._type(kind, name, 0))
        return info

    def _type(self, table: Table, name: str, depth: int) -> onnx.TypeProto:
        made, code, value = onnx.TypeProto(), table.number(1, "<B"), table.table(2)
        if depth > _DEEPEST or value is None or code not in (1, 2, 3):
            raise UnsupportedOperator(
                f"{self._where}: the type of '{name}' is neither a tensor, a sequence nor a map, "
                "which is not supported"
            )
        if code == 1:
            self._tensor_type(value, made.tensor_type)
        inner = value.table(1 if code == 3 else 0) if code != 1 else None
        if inner is not None and code == 2:
            made.sequence_type.elem_type.CopyFrom(self._type(inner, name, depth + 1))
        if inner is not None and code == 3:
            made.map_type.key_type = value.number(0)
            made.map_type.value_type.CopyFrom(self._type(inner, name, depth + 1))
        return made

    def _tensor_type(self, table: Table, made: onnx.TypeProto.Tensor) -> None:
        made.elem_type = table.number(0)
        shape = table.table(1)
        if shape is None:
            return
        made.shape.SetInParent()
        for each in shape.tables(0):
            dim, value = made.shape.dim.add(), each.table(0)
            kind = 0 if value is None else value.number(0, "<b")
            if value is not None and kind == 1:
                dim.dim_value = value.number(1, "<q")
            elif value is not None and kind == 2:
                dim.dim_param = value.text(2)

    def _node(self, table: Table, depth: int) -> onnx.NodeProto:
        name, domain, op = (table.text(field) for field in (0, 2, 5))
        if table.number(6) != 0:
            raise UnsupportedOperator(
                f"{self._where}: node '{name}' was made for one execution provider, which is not "
                "supported: save the model without"
            )
        made = onnx.NodeProto(name=name, op_type=op, domain="" if domain in _STANDARD else domain)
        made.input.extend(table.texts(8))
        made.output.extend(table.texts(9))
        made.attribute.extend(self._attribute(each, depth) for each in table.tables(10))
        return made

    def _attribute(self, table: Table, depth: int) -> AttributeProto:
        kind = table.number(2)
        made = AttributeProto(name=table.text(0), type=kind)
        if kind == AttributeProto.FLOAT:
            made.f = table.number(3, "<f", 0.0)
        elif kind == AttributeProto.INT:
            made.i = table.number(4, "<q")
        elif kind == AttributeProto.STRING:
            made.s = table.data(5)
        elif kind == AttributeProto.TENSOR:
            made.t.CopyFrom(self._tensor(self._there(table.table(6))))
        elif kind == AttributeProto.GRAPH:
            made.g.CopyFrom(self.graph(self._there(table.table(7)), made.name, depth + 1))
        else:
            self._list(table, made, depth)
        return made

    def _list(self, table: Table, made: AttributeProto, depth: int) -> None:
        """What an attribute that is a list has."""
        if made.type == AttributeProto.FLOATS:
            made.floats.extend(table.array(8, "<f4").tolist())
        elif made.type == AttributeProto.INTS:
            made.ints.extend(table.array(9, "<i8").tolist())
        elif made.type == AttributeProto.STRINGS:
            made.strings.extend(table.every_data(10))
        elif made.type == AttributeProto.TENSORS:
            made.tensors.extend(map(self._tensor, table.tables(11)))
        elif made.type == AttributeProto.GRAPHS:
            made.graphs.extend(self.graph(each, made.name, depth + 1) for each in table.tables(12))
        else:
            raise UnsupportedOperator(
                f"{self._where}: attribute '{made.name}' of kind {made.type} is not supported"
            )

    def _tensor(self, table: Table) -> TensorProto:
        made = TensorProto(name=table.text(0), data_type=table.number(3))
        made.dims.extend(table.array(2, "<i8").tolist())
        if table.number(6, "<q", -1) >= 0:
            raise UnsupportedOperator(
                f"{self._where}: tensor '{made.name}' is in another file, which is not supported: "
                "save the model as one"
            )
        if made.data_type == TensorProto.STRING:
            made.string_data.extend(table.every_data(5))
        else:
            made.raw_data = table.array(4, "u1").tobytes()
        return made

    def _there(self, table: Table | None) -> Table:
        if table is None:
            raise DamagedError
        return table
