"""Any other operator: TVM's legalization of the Relax operator, with a generic schedule.

The node's attributes are the Relax call's: ``attrs``, the type of its attribute object, that
object's fields by name, and ``arg<i>`` for the arguments that are not tensors (a shape as a tuple,
a number as itself). TVM gives loop nests in TensorIR; each becomes a phase, parallel over its outer
loops where TVM proves that they carry no dependence. Intermediate buffers become temporaries.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...errors import ScheduleError
from ...ir.kernel import Phase
from ...ir.size import Size, fixed
from ...ir.workload import Attr, Node, Tensor, Workload
from ...late import late
from ...tir.literals import storage
from ...tvm_late import relax, tirx, tvm
from ..form import Emitted
from ..slots import input_slots
from .form import Knobs, RelaxOp

s_tir, tvm_ffi = late("tvm.s_tir"), late("tvm_ffi")
_OUTPUT = -1  # the place after the inputs and temporaries


@cache
def _lowering() -> Any:
    return tvm.transform.Sequential(
        [
            s_tir.transform.CanonicalizeLoop(),
            s_tir.transform.LowerInitBlock(),
            s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
            s_tir.transform.ConvertBlocksToOpaque(),
            s_tir.transform.CompactBufferAllocation(),
            s_tir.transform.LowerMatchBuffer(),
            s_tir.transform.StmtSimplify(),
            s_tir.transform.LowerOpaqueBlock(),
        ]
    )


def kernel(form: RelaxOp, knobs: Knobs) -> Emitted:
    """A phase for each loop nest; for one choice of sizes where these are open."""
    form = replace(form, workload=_fixed(form.workload))
    node, inputs = form.workload.nodes[0], len(form.workload.inputs)
    params, module = _legalize(form.workload)
    calls = _calls(module["main"], node.op)
    temps: list[Tensor] = []

    def temporary(buffer: Any) -> int:
        temps.append(_tensor(buffer))
        return inputs + len(temps) - 1

    values: dict[Any, int] = {param: i for i, param in enumerate(params)}
    nests: list[tuple[Any, dict[Any, int]]] = []
    for variable, function, args in calls:
        body, (*operands, result), allocated = _lower(module[function])
        places = {p: values[a] for p, a in zip(operands, args, strict=True)}
        places.update((buffer, temporary(buffer)) for buffer in allocated)
        places[result] = _OUTPUT if variable is calls[-1][0] else temporary(result)
        values[variable] = places[result]
        nests += [(nest, places) for nest in body]
    slots = [s.tensor for s in input_slots(form, {})] + temps + [form.workload.output]
    phases = tuple(_phase(nest, places, slots) for nest, places in nests)
    return Emitted(phases, temps=tuple(t.nbytes for t in temps))


def _fixed(workload: Workload) -> Workload:
    """With the numbers that its sizes are assumed to be: TVM legalizes for these alone."""

    def known(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(known, value))
        return fixed(value) if isinstance(value, Size) else value

    def tensor(given: Tensor) -> Tensor:
        return replace(given, shape=known(given.shape))

    nodes = (
        replace(n, out=tensor(n.out), attrs=tuple((k, known(v)) for k, v in n.attrs))
        for n in workload.nodes
    )
    inputs = tuple(map(tensor, workload.inputs))
    return Workload(inputs, workload.constants, tuple(nodes))


def _tensor(buffer: Any) -> Tensor:
    dtype = str(buffer.dtype)
    return Tensor(tuple(int(d) for d in buffer.shape), "int8" if dtype == "bool" else dtype)


def call(node: Node, args: list[Any]) -> Any:
    """The Relax call that a fallback node stands for, over Relax expressions."""
    op = tvm.ir.Op.get(node.op)
    attrs = dict(node.attrs)
    arguments: list[Any] = []
    tensors = iter(args)
    count = len(args) + sum(1 for name in attrs if _is_argument(name))
    for i in range(count):
        name = f"arg{i}"
        arguments.append(_argument(attrs.pop(name)) if name in attrs else next(tensors))
    key = str(attrs.pop("attrs", ""))
    if op.attrs_type_key not in ("", key):  # TVM would take one for the other, and crash
        raise ScheduleError(f"the attributes of {node.op} are {op.attrs_type_key}, not '{key}'")
    return relax.Call(op, arguments, _attributes(key, attrs))


def _attributes(key: str, attrs: dict[str, Attr]) -> Any:
    """The call's attribute object of type ``key``; fields that the node leaves out are None."""
    if not key:
        return None
    if not key.startswith("relax.attrs."):
        raise ScheduleError(f"'{key}' is not an attribute type of a Relax operator")
    info = tvm_ffi.core._lookup_or_register_type_info_from_type_key(key)
    fields = {field.name: _field(attrs.get(field.name)) for field in info.fields}
    return tvm.ir.make_node(key, **fields)


def _is_argument(name: str) -> bool:
    return name.startswith("arg") and name[3:].isdigit()


def _argument(value: Attr) -> Any:
    if isinstance(value, tuple):
        return relax.ShapeExpr(list(value))
    if isinstance(value, str):
        return relax.StringImm(value)
    return tirx.const(value, "int64" if isinstance(value, int) else "float64")


def _field(value: Attr | None) -> Any:
    return [_field(v) for v in value] if isinstance(value, tuple) else value


def _legalize(workload: Workload) -> tuple[list[Any], Any]:
    """The inputs' variables, and a module of TensorIR functions whose ``main`` calls them."""
    node = workload.nodes[0]
    try:
        params = [
            relax.Var(f"x{i}", relax.TensorType(t.shape, t.dtype))
            for i, t in enumerate(workload.inputs)
        ]
        builder = relax.BlockBuilder()
        with builder.function("main", params):
            result = builder.emit(call(node, [params[a] for a in node.args]))
            builder.emit_func_output(result)
        with tvm.target.Target("llvm"):
            module = relax.transform.LegalizeOps()(builder.get())
    except Exception as error:  # TVM raises many kinds
        first = str(error).strip().splitlines()[-1:]
        raise ScheduleError(f"TVM cannot legalize {node.op}: {' '.join(first)}") from error
    return params, module


def _calls(main: Any, op: str) -> list[tuple[Any, str, list[Any]]]:
    """The calls of TensorIR functions: the variable of the result, the function, its arguments."""
    same: dict[Any, Any] = {}  # a variable that stands for another one
    calls: list[tuple[Any, str, list[Any]]] = []
    for binding in (binding for block in main.body.blocks for binding in block.bindings):
        value = binding.value
        if isinstance(value, relax.Var):
            same[binding.var] = same.get(value, value)
        elif isinstance(value, relax.Call) and value.op == tvm.ir.Op.get("relax.call_tir"):
            args = [same.get(a, a) for a in value.args[1].fields]
            calls.append((binding.var, value.args[0].name_hint, args))
        else:
            raise ScheduleError(f"TVM has no TensorIR for {op}")
    if not calls:
        raise ScheduleError(f"TVM has no TensorIR for {op}")
    return calls


def _lower(function: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Loop nests, parameters and intermediate buffers of a function, blocks lowered to loops."""
    schedule = s_tir.Schedule(tvm.IRModule({"main": _normal(function)}))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        _parallelize(schedule, block)
    lowered = _lowering()(schedule.mod)["main"]
    _refuse_calls(lowered)
    nests, allocated = [], []
    pending = [lowered.body]
    while pending:
        statement = pending.pop(0)
        if isinstance(statement, tirx.SeqStmt):
            pending = list(statement.seq) + pending
        elif isinstance(statement, tirx.AllocBuffer):
            allocated.append(statement.buffer)
        elif isinstance(statement, tirx.AttrStmt):
            pending.insert(0, statement.body)
        else:
            nests.append(statement)
    return nests, list(lowered.params), allocated


def _normal(function: Any) -> Any:
    """With buffers that start where their memory does, and no loops for TVM's own threads."""
    buffers = {p: tirx.decl_buffer(p.shape, str(p.dtype), p.name) for p in function.params}
    placed = function.specialize(buffers)

    def serial(loop: Any) -> Any:
        if loop.kind != tirx.ForKind.PARALLEL:
            return loop
        return tirx.For(loop.loop_var, loop.min, loop.extent, tirx.ForKind.SERIAL, loop.body)

    return placed.with_body(tvm_ffi.structural_map(placed.body, (tirx.For, serial)))


def _parallelize(schedule: Any, block: Any) -> None:
    """Fuse the outer loops that carry no dependence and mark them parallel."""
    loops = schedule.get_loops(block)
    kinds = [str(v.iter_type) for v in schedule.get(block).iter_vars]
    spatial = 0
    if len(kinds) == len(loops):
        while spatial < len(kinds) and kinds[spatial] in ("0", "IterVar.DataPar", "DataPar"):
            spatial += 1
    keep_inner = 1 if spatial == len(loops) and spatial > 1 else 0
    outer = loops[: spatial - keep_inner]
    if outer:
        schedule.parallel(schedule.fuse(*outer) if len(outer) > 1 else outer[0])


def _refuse_calls(function: Any) -> None:
    foreign = ("tirx.tvm_call_packed", "tirx.call_extern", "tirx.tvm_call_cpacked")

    def visit(node: Any) -> None:
        if getattr(node.op, "name", "") in foreign:
            raise ScheduleError("the operator needs TVM's runtime, which artifacts do without")

    tvm_ffi.structural_walk(function.body, (tvm.ir.Call, visit))


def _phase(nest: Any, places: dict[Any, int], tensors: list[Tensor]) -> Phase:
    """The nest over the buffers of the kernel's table; its parallel loop takes the chunks."""
    mentioned: list[Any] = []
    tvm_ffi.structural_walk(nest, (tvm.ir.Var, mentioned.append))
    used = [b for b in places if any(variable.same_as(b) for variable in mentioned)]
    slots = []
    for i, buffer in enumerate(used):
        position = places[buffer] % len(tensors)
        tensor = tensors[position]
        slots.append(Slot(position, f"b{i}", Tensor(tensor.shape, storage(tensor.dtype))))
    builder = PhaseBuilder(slots)
    parallel = isinstance(nest, tirx.For) and nest.kind == tirx.ForKind.PARALLEL
    chunks = int(nest.extent) if parallel else 1
    for i, buffer in enumerate(used):
        builder.alias(buffer, builder[f"b{i}"])
    with builder.chunk_loop() as chunk:
        if parallel:
            index = nest.loop_var
            builder.emit(tirx.Bind(index, tirx.Cast(index.ty.dtype, chunk)))
        builder.emit(nest.body if parallel else nest)
    phase = builder.finish(chunks)
    flat = tirx.transform.FlattenBuffer()(tvm.IRModule({"phase": phase.func}))["phase"]
    return Phase(flat, phase.chunks)
