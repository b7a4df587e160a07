"""TensorFlow Lite's products of matrices, reductions and searches along a dimension."""

from __future__ import annotations

from functools import partial

from onnx import TensorProto

from .call import Call, Operator
from .windows import bias, weights

_REDUCTIONS = {
    "MEAN": "ReduceMean", "REDUCE_MAX": "ReduceMax", "REDUCE_MIN": "ReduceMin",
    "REDUCE_PROD": "ReduceProd", "SUM": "ReduceSum",
}  # fmt: skip
_TRUTHS = {"REDUCE_ALL": "ReduceMin", "REDUCE_ANY": "ReduceMax"}


def _fully_connected(call: Call) -> str:
    """Rows of the input's elements times the weights' [results, elements]."""
    if call.option(1, "<b"):
        raise call.unsupported("a layout of weights for one processor")
    (length,) = call.sizes(1, [1])
    x = call.input()
    if call.rank() != 2 and not call.flag(2):
        x = call.add("Reshape", x, call.ints(-1, length))
    y = call.add("MatMul", x, weights(call, 1, (1, 0)))
    for terms in bias(call, 2):
        y = call.add("Add", y, terms)
    return call.activated(y, 0)


def _batch_matmul(call: Call) -> str:
    x, y = (_adjoint(call, place) if call.flag(place) else call.input(place) for place in (0, 1))
    return call.add("MatMul", x, y)


def _adjoint(call: Call, place: int) -> str:
    order = list(range(call.rank(place)))
    if len(order) < 2:
        raise call.unsupported("a transposed vector")
    order[-2:] = order[:-3:-1]
    return call.add("Transpose", call.input(place), perm=order)


def _axes(call: Call) -> str:
    return call.ints(*call.constant(1, "dimensions"))


def _reduce(operator: str, call: Call) -> str:
    return call.add(operator, call.input(), _axes(call), keepdims=int(call.flag(0)))


def _truth(operator: str, call: Call) -> str:
    x = call.add("Cast", call.input(), to=TensorProto.INT32)
    y = call.add(operator, x, _axes(call), keepdims=int(call.flag(0)))
    return call.add("Cast", y, to=TensorProto.BOOL)


def _arg(operator: str, call: Call) -> str:
    """Of the first of equals."""
    (axis,) = call.constant(1, "a dimension")[:1] or [0]
    y = call.add(operator, call.input(), axis=call.axis(axis, call.rank()), keepdims=0)
    return y if call.result().dtype == "int64" else call.add("Cast", y, to=TensorProto.INT32)


def _top(call: Call) -> list[str]:
    """The largest of the last dimension, and where they are."""
    count = call.add("Reshape", call.whole(1), call.ints(1))
    values, places = call.graph.add_several("TopK", [call.input(), count], 2, axis=-1)
    return [values, call.add("Cast", places, to=TensorProto.INT32)]


def _running_sum(call: Call) -> str:
    (axis,) = call.constant(1, "a dimension")[:1] or [0]
    return call.add(
        "CumSum", call.input(), call.graph.constant(axis, "int64"),
        exclusive=int(call.flag(0)), reverse=int(call.flag(1)),
    )  # fmt: skip


OPERATORS: dict[str, Operator] = {
    **{name: Operator(partial(_reduce, onnx)) for name, onnx in _REDUCTIONS.items()},
    **{name: Operator(partial(_truth, onnx)) for name, onnx in _TRUTHS.items()},
    "ARG_MAX": Operator(partial(_arg, "ArgMax")),
    "ARG_MIN": Operator(partial(_arg, "ArgMin")),
    "BATCH_MATMUL": Operator(_batch_matmul),
    "CUMSUM": Operator(_running_sum),
    "FULLY_CONNECTED": Operator(_fully_connected),
    "TOPK_V2": Operator(_top),
}
