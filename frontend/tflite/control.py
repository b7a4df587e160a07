"""TensorFlow Lite's operators that run other graphs of the model, and those of its variables."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
from onnx import TensorProto, helper, numpy_helper

from luthier.schedules import ModelError

from .call import Call, Operator, Results
from .graph import Graph, element
from .variables import variable_name


def _given(call: Call, first: int) -> tuple[list[str], dict[int, str]]:
    """What an operation gives the graphs that it runs: values, "" for handles of variables, and
    these by their places."""
    graph, values, handles = call.graph, list[str](), dict[int, str]()
    for place in range(len(call.operation.inputs) - first):
        number = call.number(first + place)
        if number in graph.handles:
            handles[place] = graph.handles[number]
        values.append("" if number in graph.handles else graph.stored(number))
    return values, handles


def _types(call: Call, places: Sequence[int], variables: Sequence[str]) -> list[str]:
    """The element types of results, and of variables after them."""
    known = call.graph.writing.variables
    for place in places:
        call.graph.check_plain(call.result(place))
    return [
        *(call.result(place).dtype for place in places),
        *(known.type(name).dtype for name in variables),
    ]


def _infos(names: Sequence[str], dtypes: Sequence[str]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, element(dtype), None)
        for name, dtype in zip(names, dtypes, strict=True)
    ]


def _proto(
    graph: Graph,
    values: Sequence[str],
    dtypes: Sequence[str],
    inputs: Sequence[onnx.ValueInfoProto] = (),
) -> onnx.GraphProto:
    """A graph that stands apart, which gives these values."""
    given = [graph.add("Identity", value) for value in values]
    return helper.make_graph(graph.nodes, "graph", inputs, _infos(given, dtypes))


def _truth(graph: Graph, name: str, rank: int) -> str:
    """A condition, which has one element, as a scalar."""
    return graph.add("Reshape", name, graph.constant([], "int64")) if rank else name


def _check_count(call: Call, given: int) -> None:
    if given != len(call.operation.outputs):
        raise ModelError(
            f"{call.where} has {len(call.operation.outputs)} results, and its graph gives {given}"
        )


def _if(call: Call) -> Results:
    graph, (values, handles) = call.graph, _given(call, 1)
    condition = _truth(graph, graph.stored(call.number(0)), call.rank(0))
    sides = [graph.inner(n, values, handles, apart=True) for n in call.operation.calls]
    changed = [
        name
        for name, value in graph.variables.items()
        if any(side.variables[name] != value for side in sides)
    ]
    count = len(call.operation.outputs)
    dtypes, bodies = _types(call, range(count), changed), list[onnx.GraphProto]()
    for side in sides:
        results = side.results()
        _check_count(call, len(results))
        after = [side.variables[name] for name in changed]
        bodies.append(_proto(side, [*results, *after], dtypes))
    then, otherwise = bodies
    names = graph.add_several(
        "If", [condition], len(dtypes), then_branch=then, else_branch=otherwise
    )  # fmt: skip
    graph.variables.update(zip(changed, names[count:], strict=True))
    return names[:count]


def _while(call: Call) -> Results:
    """The condition is computed before the loop, and after each turn."""
    graph, (values, handles) = call.graph, _given(call, 0)
    condition, body = call.operation.calls
    fresh, lite = graph.writing.fresh, graph.writing.model
    changed = sorted(
        name
        for number in (condition, body)
        for name in graph.writing.variables.changed(
            number, {lite.graph(number).inputs[place]: name for place, name in handles.items()}
        )
    )
    changed = list(dict.fromkeys(changed))
    first = graph.inner(condition, values, handles, apart=False)
    graph.variables.update(first.variables)
    carried = [place for place, value in enumerate(values) if value]
    own = [fresh() if value else "" for value in values]
    held = {name: fresh() for name in changed}
    turn = graph.inner(body, own, handles, apart=True, variables={**graph.variables, **held})
    ends = turn.lite.outputs
    _check_count(call, len(ends))
    left = [turn.stored(ends[place]) if value else "" for place, value in enumerate(values)]
    again = turn.inner(condition, left, handles, apart=False)
    dtypes = _types(call, carried, changed)
    inner = [
        helper.make_tensor_value_info(fresh(), TensorProto.INT64, []),
        helper.make_tensor_value_info(fresh(), TensorProto.BOOL, []),
        *_infos([*(own[place] for place in carried), *held.values()], dtypes),
    ]
    results = [
        _holds(call, again),
        *(left[place] for place in carried),
        *(again.variables[name] for name in changed),
    ]
    names = graph.add_several(
        "Loop",
        [
            "",
            _holds(call, first),
            *(values[place] for place in carried),
            *(graph.variables[name] for name in changed),
        ],
        len(dtypes),
        body=_proto(turn, results, ["bool", *dtypes], inner),
    )
    graph.variables.update(zip(changed, names[len(carried) :], strict=True))
    for place, name in handles.items():
        graph.handles[call.operation.outputs[place]] = name
    given = dict(zip(carried, names, strict=False))
    return [given.get(place, "") for place in range(len(values))]


def _holds(call: Call, condition: Graph) -> str:
    """What a WHILE's condition gives."""
    numbers = condition.lite.outputs
    if len(numbers) != 1 or condition.lite.tensors[numbers[0]].dtype != "bool":
        raise ModelError(f"{call.where}: its condition is not one truth value")
    rank = len(condition.lite.tensors[numbers[0]].shape)
    return _truth(condition, condition.stored(numbers[0]), rank)


def _composite(call: Call) -> Results:
    """What the operators do into which the composite one is taken apart."""
    graph, (values, handles) = call.graph, _given(call, 0)
    (number,) = call.operation.calls
    inner = graph.inner(number, values, handles, apart=False)
    graph.variables.update(inner.variables)
    return inner.results()


def _call_once(call: Call) -> Results:
    """What variables hold at first, in the place of zeros, with which states begin."""
    graph, writing = call.graph, call.graph.writing
    if graph.depth:
        raise call.unsupported("a graph that is called once by another than the main one")
    (number,) = call.operation.calls
    once = graph.inner(number, [], {}, apart=False)
    for name, first in once.variables.items():
        if first == graph.variables[name]:
            continue
        if name not in writing.variables.lasting:
            graph.variables[name] = first
        elif not _is_zero(writing.initializers.get(first)):
            writing.began = writing.began or writing.fresh("began")
            graph.variables[name] = graph.add(
                "Where", writing.began, graph.variables[name], first
            )  # fmt: skip
    return []


def _is_zero(tensor: TensorProto | None) -> bool:
    """Whether all bits of a constant are 0."""
    if tensor is None:
        return False
    array = numpy_helper.to_array(tensor)
    return not array.view(f"u{array.itemsize}").any() if array.size else True


def _handle(call: Call) -> Results:
    call.graph.handles[call.operation.outputs[0]] = variable_name(call.operation)
    return ""


def _variable(call: Call) -> str:
    """The name of the variable that is read or assigned."""
    name = call.graph.handles.get(call.number(0))
    if name is None or name not in call.graph.variables:
        raise ModelError(f"{call.where}: it is given no variable")
    return name


def _read(call: Call) -> Results:
    return call.graph.variables[_variable(call)]


def _assign(call: Call) -> Results:
    name, known = _variable(call), call.graph.writing.variables
    if call.tensor(1).dtype != known.type(name).dtype:
        raise ModelError(f"{call.where}: it gives '{name}' elements of another type")
    call.graph.variables[name] = call.graph.stored(call.number(1))
    return []


OPERATORS: dict[str, Operator] = {
    "ASSIGN_VARIABLE": Operator(_assign, passes=True),
    "CALL_ONCE": Operator(_call_once, passes=True),
    "IF": Operator(_if, passes=True),
    "READ_VARIABLE": Operator(_read, passes=True),
    "STABLEHLO_COMPOSITE": Operator(_composite, passes=True),
    "VAR_HANDLE": Operator(_handle, passes=True),
    "WHILE": Operator(_while, passes=True),
}
