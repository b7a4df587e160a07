"""A graph, or a program, as a text that people read and tests compare."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.schedules import Node, Tensor

from ..program import Program
from .core import Graph


def graph_text(graph: Graph) -> str:
    """A line for each value, and for each output what it is.

    ``%3 = conv2d(%0, %2) groups=1 ... : float32[1,8,8,16]  # Conv 'first'``
    """
    return "\n".join([f"graph {graph.name}", *_inputs(graph), *_constants(graph), *_ops(graph)])


def program_text(program: Program) -> str:
    """A line for each call of a kernel: ``%5 = workload(%0, %2)  # Conv 'first'``."""
    lines = [f"program {program.name}", *_inputs(program), *_constants(program)]
    for call in program.calls:
        args = ", ".join(f"%{arg}" for arg in call.args)
        place = program.place(call.result)
        where = "" if place.whole == call.result else f" in %{place.whole} from {place.first} on"
        said = f"  %{call.result}{where} = {call.workload.key}({args}): {call.workload}"
        lines.append(_about(said, call.source))
    lines += [f"  output {name!r} = %{value}" for name, value in program.outputs]
    return "\n".join(lines)


def _inputs(holder: Graph | Program) -> Iterator[str]:
    for name, value in holder.inputs:
        yield f"  %{value} = input {name!r}: {_type(holder.values[value])}"


def _constants(holder: Graph | Program) -> Iterator[str]:
    for value in sorted(holder.constants):
        yield f"  %{value} = constant: {_type(holder.values[value])}"


def _ops(graph: Graph) -> Iterator[str]:
    for op in graph.ops:
        yield _about(f"  %{op.result} = {_node(op.node)}", op.source)
    yield from (f"  output {name!r} = %{value}" for name, value in graph.outputs)


def _node(node: Node) -> str:
    args = ", ".join(f"%{arg}" for arg in node.args)
    attrs = "".join(f" {name}={value!r}" for name, value in node.attrs)
    return f"{node.op}({args}){attrs}: {_type(node.out)}"


def _type(tensor: Tensor) -> str:
    return f"{tensor.dtype}[{','.join(map(str, tensor.shape))}]"


def _about(line: str, source: str) -> str:
    return f"{line}  # {source}" if source else line
