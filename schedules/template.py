"""What a template is, and what its kernels have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from . import ops
from .emit import PhaseBuilder, Slot
from .expr import Evaluator, Point, Source
from .kernel import Kernel, Packing
from .loops import Knobs, Loops, plain
from .space import Schedule, Space
from .target import Target
from .workload import Node, Op, Tensor, Workload


@dataclass(frozen=True)
class Template:
    """``space`` is None for workloads that the template does not fit.

    ``kernel`` may assume that the schedule is in the space. ``pays`` says whether the default is
    expected to beat the templates after it in the registry. ``loops`` describes what kernels of a
    table of schedules would do, for the cost model.
    """

    name: str
    space: Callable[[Workload, Target], Space | None]
    kernel: Callable[[Workload, Target, Schedule], Kernel]
    pays: Callable[[Workload, Target], bool] = lambda workload, target: True
    loops: Callable[[Workload, Target, Knobs], Loops] = plain


def anchor(workload: Workload) -> Node | None:
    """The node that decides how the kernel is scheduled; None for purely elementwise workloads."""
    for node in workload.nodes:
        if not ops.of(node).is_fusible:
            return node
    return None


def anchor_is_first(workload: Workload, op: str) -> bool:
    """Whether the first node is the anchor ``op`` over inputs, with only elementwise nodes after.

    They must have the anchor's shape: they are its epilogue.
    """
    first, rest = workload.nodes[0], workload.nodes[1:]
    return (
        first.op == op
        and all(a < len(workload.inputs) for a in first.args)
        and all(ops.of(n).is_elementwise for n in rest)
        and workload.output.shape == first.out.shape
    )


def epilogue(workload: Workload) -> Workload:
    """The nodes after the first one, over the first one's result and the other inputs.

    Argument 0 is the anchor's result; argument ``1 + i`` is input ``i`` of ``workload``. A workload
    with nothing after its anchor gets a cast to its own type, which costs nothing.
    """
    first, *rest = workload.region.statements
    if not rest:
        rest = [Op(Node("cast", first.defines, workload.output), first.result + 1)]
    inputs = {first.result: (first.node.out, False), **dict(enumerate(workload.signature))}
    return Workload.of(inputs, rest)


def collapse(workload: Workload, keep_last: bool = False) -> Workload:
    """The same elementwise workload with neighbouring dimensions merged where nobody can tell.

    Two dimensions merge when every operand spans both or broadcasts along both. Inputs that no
    node uses are left as they are. ``keep_last``, or a pitch, keeps the last dimension apart.
    """
    if any(not ops.of(node).is_elementwise for node in workload.nodes):
        return workload
    shape = workload.output.shape
    if not shape:
        return workload
    used = {a for node in workload.nodes for a in node.args}
    aligned = {a: _align(workload.tensor(a).shape, len(shape)) for a in used}
    keep_last |= any(workload.tensor(a).pitch for a in used) or bool(workload.output.pitch)
    groups = _merge(shape, list(aligned.values()), keep_last)

    def merged(tensor: Tensor, arg: int) -> Tensor:
        if arg not in aligned and arg < len(workload.inputs):
            return tensor
        full = _align(tensor.shape, len(shape))
        dims = []
        for group in groups:
            extent = 1
            for d in group:
                extent *= full[d]
            dims.append(extent)
        return Tensor(tuple(dims), tensor.dtype, tensor.pitch)

    inputs = tuple(merged(t, i) for i, t in enumerate(workload.inputs))
    n = len(inputs)
    nodes = tuple(
        replace(node, out=merged(node.out, n + i)) for i, node in enumerate(workload.nodes)
    )
    return Workload(inputs, workload.constants, nodes)


def _align(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (1,) * (rank - len(shape)) + shape


def _merge(
    shape: tuple[int, ...], operands: Sequence[tuple[int, ...]], keep_last: bool
) -> list[list[int]]:
    """Groups of dimensions; size-1 dimensions join any group."""
    groups: list[list[int]] = []
    for d in range(len(shape)):
        last = keep_last and d == len(shape) - 1
        if groups and not last and _same_spread(shape, operands, groups[-1], d):
            groups[-1].append(d)
        else:
            groups.append([d])
    return groups


def _same_spread(
    shape: tuple[int, ...], operands: Sequence[tuple[int, ...]], group: list[int], d: int
) -> bool:
    real = [g for g in group if shape[g] != 1]
    if shape[d] == 1 or not real:
        return True
    return all((o[real[-1]] == 1) == (o[d] == 1) for o in operands)


def input_slots(workload: Workload, packings: Sequence[Packing | None]) -> list[Slot]:
    """A slot for each input, in its packed size."""
    slots = []
    for i, (tensor, packing) in enumerate(zip(workload.inputs, packings, strict=True)):
        held = tensor if packing is None else Tensor(packing.shape, tensor.dtype)
        slots.append(Slot(i, f"in{i}", held))
    return slots


def output_slot(workload: Workload, temps: int = 0) -> Slot:
    """The output's slot, after the inputs and ``temps`` temporaries."""
    return Slot(len(workload.inputs) + temps, "out", workload.output)


def loads(builder: PhaseBuilder, workload: Workload, shift: int = 0) -> dict[int, Source]:
    """Sources that load the inputs from the builder's slots ``in0``, ``in1``, ...

    With ``shift=1``, argument ``i + 1`` loads slot ``in<i>``, as ``epilogue`` numbers them.
    """

    def source(name: str, pitch: int | None) -> Source:
        return lambda point: builder.load_once(builder[name], point.position(pitch))

    tensors = workload.inputs[shift:]
    return {i + shift: source(f"in{i}", tensor.pitch) for i, tensor in enumerate(tensors)}


def finish_element(evaluator: Evaluator, point: Point) -> object:
    """The value of the workload's last node at ``point``."""
    workload = evaluator.workload
    return evaluator.at(len(workload.inputs) + len(workload.nodes) - 1, point)


def store_element(evaluator: Evaluator, point: Point) -> None:
    """Write the value of the workload's last node at ``point`` to the slot ``out``."""
    builder, pitch = evaluator.builder, evaluator.workload.output.pitch
    builder.store(builder["out"], point.position(pitch), finish_element(evaluator, point))
