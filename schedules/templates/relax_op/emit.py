"""Any other operator: TVM's legalization of the Relax operator, with a generic schedule.

The node's attributes are the Relax call's: ``attrs``, the type of its attribute object, that
object's fields by name, and ``arg<i>`` for the arguments that are no tensors (a shape as a tuple, a
number as itself). TVM gives loop nests in TensorIR; each becomes a phase, parallel over its outer
loops where TVM proves that they carry no dependence. Intermediate buffers become temporaries.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ...emit.builder import PhaseBuilder, Slot
from ...errors import ScheduleError
from ...ir.kernel import Kernel, Phase
from ...ir.space import Schedule
from ...ir.workload import Attr, Node, Tensor, Workload
from ...late import late
from ...tir.literals import storage
from ...tvm_late import relax, tirx, tvm
from ..slots import input_slots
from .form import RelaxOp

s_tir, tvm_ffi = late("tvm.s_tir"), late("tvm_ffi")


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


def kernel(form: RelaxOp, schedule: Schedule) -> Kernel:
    """A phase for each loop nest."""
    workload = form.workload
    functions, calls = _legalize(workload)
    values: list[Slot] = input_slots(form, (None,) * len(workload.inputs))
    nests: list[tuple[Any, dict[Any, int]]] = []
    temps: list[Tensor] = []
    inputs = len(workload.inputs)
    for index, (name, args) in enumerate(calls):
        body, params, allocated = _lower(functions[name])
        places: dict[Any, int] = dict(zip(params, args, strict=False))
        for buffer in allocated:
            places[buffer] = inputs + len(temps)
            temps.append(_tensor(buffer))
        result = params[-1]
        if index < len(calls) - 1:
            places[result] = inputs + len(temps)
            _renumber(calls, index, inputs + len(temps))
            temps.append(_tensor(result))
        else:
            places[result] = -1
        nests += [(nest, places) for nest in body]
    positions = inputs + len(temps)
    slots = [s.tensor for s in values] + temps + [workload.output]
    phases = tuple(_phase(nest, places, slots, positions) for nest, places in nests)
    sizes = tuple(t.nbytes for t in temps)
    return Kernel(workload, schedule, phases, (None,) * inputs, sizes)


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


def _legalize(workload: Workload) -> tuple[dict[str, Any], list[tuple[str, list[int]]]]:
    """TensorIR functions, and the calls of them: (function, argument numbers)."""
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
    calls = _calls(module["main"], params, node.op)
    functions = {
        variable.name_hint: function
        for variable, function in module.functions.items()
        if isinstance(function, tirx.PrimFunc)
    }
    return functions, calls


def _calls(main: Any, params: list[Any], op: str) -> list[tuple[str, list[int]]]:
    numbers: dict[Any, int] = {p: i for i, p in enumerate(params)}
    calls: list[tuple[str, list[int]]] = []
    for block in main.body.blocks:
        for binding in block.bindings:
            value = binding.value
            is_call = isinstance(value, relax.Call) and value.op == tvm.ir.Op.get("relax.call_tir")
            if isinstance(value, relax.Var):
                numbers[binding.var] = numbers[value]
                continue
            if not is_call:
                raise ScheduleError(f"TVM has no TensorIR for {op}")
            arguments = [numbers[a] for a in value.args[1].fields]
            numbers[binding.var] = -1 - len(calls)
            calls.append((value.args[0].name_hint, arguments))
    if not calls:
        raise ScheduleError(f"TVM has no TensorIR for {op}")
    return calls


def _renumber(calls: list[tuple[str, list[int]]], index: int, place: int) -> None:
    """Later calls find the result of call ``index`` at ``place``."""
    for _, arguments in calls[index + 1 :]:
        for i, a in enumerate(arguments):
            if a == -1 - index:
                arguments[i] = place


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


def _phase(nest: Any, places: dict[Any, int], tensors: list[Tensor], output: int) -> Phase:
    """The nest over the buffers of the kernel's table; its parallel loop takes the chunks."""
    used = [b for b in places if _mentions(nest, b)]
    slots, names = [], {}
    for i, buffer in enumerate(used):
        position = output if places[buffer] == -1 else places[buffer]
        tensor = tensors[position]
        slots.append(Slot(position, f"b{i}", Tensor(tensor.shape, storage(tensor.dtype))))
        names[buffer] = f"b{i}"
    builder = PhaseBuilder(slots)
    parallel = isinstance(nest, tirx.For) and nest.kind == tirx.ForKind.PARALLEL
    chunks = int(nest.extent) if parallel else 1
    for buffer, name in names.items():
        builder.alias(buffer, builder[name])
    if parallel:
        index = nest.loop_var
        with builder.chunk_loop() as chunk:
            builder.emit(tirx.Bind(index, tirx.Cast(index.ty.dtype, chunk)))
            builder.emit(nest.body)
    else:
        with builder.chunk_loop():
            builder.emit(nest)
    phase = builder.finish(chunks)
    flat = tirx.transform.FlattenBuffer()(tvm.IRModule({"phase": phase.func}))["phase"]
    return Phase(flat, phase.chunks)


def _mentions(nest: Any, buffer: Any) -> bool:
    found: list[Any] = []
    tvm_ffi.structural_walk(
        nest, (tvm.ir.Var, lambda v: found.append(v) if v.same_as(buffer) else None)
    )
    return bool(found)
