"""From a model to a program: read, import, rewrite, fuse."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import onnx

from luthier.schedules import (
    LuthierError,
    ModelError,
    ScheduleError,
    Target,
    Tensor,
    UnsupportedOperator,
)
from luthier.schedules.ir.size import Sizes
from luthier.schedules.templates.registry import spaces

from .control.found_sizes import FoundSizes
from .control.once import Noted, Once
from .control.stages import BY_RULES, CONTROL, FINDERS, has_asking, has_control
from .control.whole import import_regions
from .dump import Dump
from .graph import Array, Graph
from .graph.across import Across
from .lowering.hand_bfloat16 import hand_bfloat16
from .lowering.join_attention import join_attention
from .lowering.join_depthwise import join_depthwise
from .lowering.lower import lower
from .onnx.declared import check_outputs
from .onnx.importer import to_graph
from .onnx.microsoft.types import UnknownTypeError
from .onnx.notes import PartNotes
from .onnx.open_shapes import Shapes
from .onnx.read import ReadModel, read_model
from .onnx.resize_places import has_places
from .onnx.scopes import results_of
from .onnx.sized import with_constants
from .onnx.strip_weights import DependsOnDataError, strip_weights
from .passes import OPEN_PASSES, PASSES, Pass
from .passes.conv_planes import conv_planes
from .program import Entry, Program
from .program.library import RUN
from .sizes.alignment import OtherTableError
from .sizes.imported import Manner
from .sizes.imports import Imports
from .sizes.ranks import check_gives
from .states.agreement import asking
from .states.growth import Growth, empty_pasts, growths, with_capacities
from .states.growth import grown as grown_graph
from .states.kept import kept

Watch = Callable[[str, Graph], None]


def import_graph(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    shapes: Shapes | None = None,
    watch: Watch = lambda name, graph: None,
    passes: Sequence[Pass] | None = None,
) -> Graph:
    """The graph of a model without control flow, after all passes; raises as ``import_model`` does.

    ``watch`` is given the name of what was done, the import and each pass, and the graph after it.
    """
    return _straight_graph(_fixed(read_model(model, shapes)).proto, {}, watch, passes or PASSES)


def _straight_graph(
    model: onnx.ModelProto,
    given: Mapping[str, Array],
    watch: Watch,
    passes: Sequence[Pass],
    grows: Sequence[Growth] = (),
    notes: PartNotes | None = None,
    across: Across | None = None,
) -> Graph:
    """The graph of a model that was read; those of its inputs that are ``given`` are constants."""
    model = asking(model) if grows else model
    light, weights = strip_weights(model, given, notes)
    graph = to_graph(light, {**weights, **given}, across)
    check_outputs(model, light, graph)
    graph = grown_graph(graph, grows)
    watch("import", graph)
    for each in passes:
        graph = each(graph)
        watch(each.name, graph)
    return graph


def import_model(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    target: Target,
    shapes: Shapes | None = None,
    passes: Sequence[Pass] | None = None,
) -> Program:
    """The program of a model: fused workloads in execution order.

    ``shapes`` gives the sizes (elements per dimension, by input name, or by the names of sizes)
    that the model leaves open. Raises ModelError where the model cannot be read,
    UnsupportedOperator where it uses what Luthier cannot compile, and UsageError where
    LUTHIER_DUMP names no folder that can be written.
    """
    read = _fixed(read_model(model, shapes))
    return _program(read.proto, {}, target, passes or PASSES, counts=read.counts)


def import_entry(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    target: Target,
    shapes: Shapes | None = None,
) -> Entry:
    """What runs a model at all sizes that ``shapes`` says it may have; raises as ``import_model``.

    Where none is open that is the model's one program.
    """
    return import_entries({RUN: read_model(model, shapes)}, target)[RUN]


def import_entries(models: Mapping[str, ReadModel], target: Target) -> dict[str, Entry]:
    """The same of models that become entry points of one library, by name.

    States of one name are one, with room for what any of the models needs; raises ModelError where
    their types differ.
    """
    grown: dict[str, tuple[Growth, ...]] = {}
    capacities: dict[str, int] = {}
    for name, read in models.items():
        grows = _growths(read, capacities)
        capacities |= {growth.name: growth.capacity for growth in grows}
        grown[name] = grows
    entries = {}
    for name, read in models.items():
        grows = tuple(replace(g, capacity=capacities[g.name]) for g in grown[name])
        entry = kept(_entry(read, target, grows), read.states, grows)
        takes = tuple(a for a in read.takes if not (a.is_tensor and a.name in read.states))
        texts = frozenset(read.widths)
        if read.labels or texts or takes or read.processing or read.keys:
            entry = replace(
                entry,
                labels=read.labels,
                texts=texts,
                takes=takes,
                processing=read.processing,
                keys=read.keys,
            )
        entries[name] = entry
    _check_states(entries)
    return entries


def _growths(read: ReadModel, known: Mapping[str, int]) -> tuple[Growth, ...]:
    """The states of a model that grow, with the room that they need."""
    grows, opened = growths(read.states, read.open), read.open
    if not grows or opened is None:
        return ()
    model = read.sized.at(opened.at(opened.largest))
    if has_control(model):
        raise UnsupportedOperator(
            f"the state '{grows[0].name}' grows in a model with control flow that is decided at "
            "run time, which is not supported"
        )
    model = with_constants(model, empty_pasts(model, grows))
    try:
        graph = _straight_graph(model, read.sized.weights, lambda name, graph: None, ())
    except UnsupportedOperator as error:
        if not error.operators or not error.operators.keys() <= FINDERS | BY_RULES:
            raise
        raise UnsupportedOperator(
            f"the state '{grows[0].name}' grows in a model whose runs find sizes, by "
            f"{', '.join(sorted(error.operators))}, which is not supported"
        ) from error
    return with_capacities(grows, graph, opened.at(opened.largest), known)


def _check_states(entries: Mapping[str, Entry]) -> None:
    types: dict[str, Tensor] = {}
    for name, entry in entries.items():
        program = entry.variants[0]
        for state in program.states:
            tensor = program.values[state.before]
            other = types.setdefault(state.name, tensor)
            if other != tensor:
                raise ModelError(
                    f"the state '{state.name}' is {tensor} in the entry point '{name}' and {other} "
                    "in another; states of one name are one"
                )


def _entry(read: ReadModel, target: Target, grows: Sequence[Growth]) -> Entry:
    """What runs a model whose states are inputs and outputs yet."""
    opened = read.open
    if opened is None:
        found = FoundSizes(bounds=read.bounds, counts=read.counts)
        program = _program(read.proto, {}, target, PASSES, sizes=found)
        if not found.symbols:
            found.check_said()
            return Entry.of(program)
    sized, symbols = read.sized, () if opened is None else opened.symbols
    given = {symbol.name for symbol in symbols}
    across = Across(), Across(compute=True)
    parts = defaultdict[tuple[bool, bool], Once](Once)

    def program_at(computes: bool, sizes: Sizes, met: FoundSizes, manner: Manner) -> Program:
        model = sized.at({} if opened is None else opened.at(sizes))
        model = with_constants(model, empty_pasts(model, grows))
        try:
            return _program(
                model,
                sized.weights,
                target,
                OPEN_PASSES,
                dense=manner.dense,
                grows=grows,
                sizes=met,
                parts=parts[computes, manner.dense],
                across=replace(across[computes], kept=manner.kept),
            )
        except LuthierError as error:
            is_one = any(sizes.get(s.name) != s.most for s in symbols)
            error.args = (_said_of(sizes, given, error, is_one=is_one), *error.args[1:])
            raise

    key = target, tuple((growth.name, growth.capacity) for growth in grows)
    if key not in sized.entries:
        largest = {symbol.name: symbol.most for symbol in symbols}
        named = results_of(sized.at({} if opened is None else opened.at(largest)))
        has_tables = has_places(read.proto)

        def programs_of(computes: bool) -> tuple[Program, ...]:
            found = FoundSizes(bounds=read.bounds, counts=read.counts)
            at, may = partial(program_at, computes), has_tables and not computes
            return Imports(at, symbols, found, named, may_compute=may).programs()

        try:
            programs = programs_of(False)
        except (UnsupportedOperator, OtherTableError):
            if not has_tables:
                raise
            programs = programs_of(True)
        check_gives(programs)
        sized.entries[key] = Entry(symbols, programs)
        dump = Dump()
        for program in programs:
            dump("variant", program)
    return sized.entries[key]


def _said_of(sizes: Sizes, given: Collection[str], error: LuthierError, *, is_one: bool) -> str:
    """What went wrong at these sizes, and what to do where some of them are none, or where it
    ``is_one`` choice among others."""
    at = ", ".join(f"{name}={size}" for name, size in sizes.items())
    none = ", ".join(name for name, size in sizes.items() if size == 0 and name in given)
    advice = f"; if it need not run without, begin at 1: {none}" if none else ""
    if is_one and not none:
        advice = "; if it need not run with these, leave them out"
    return f"for {at}: {error}{advice}" if at else str(error)


def _fixed(read: ReadModel) -> ReadModel:
    if read.open is not None:
        ranges = ", ".join(map(str, read.open.symbols))
        raise ModelError(f"one program is for fixed sizes, and these are open: {ranges}")
    return read


def _program(
    model: onnx.ModelProto,
    given: Mapping[str, Array],
    target: Target,
    passes: Sequence[Pass],
    *,
    dense: bool = False,
    grows: Sequence[Growth] = (),
    sizes: FoundSizes | None = None,
    parts: Once | None = None,
    across: Across | None = None,
    counts: Mapping[str, int] = MappingProxyType({}),
) -> Program:
    """Of a model with fixed sizes, whose inputs that are ``given`` are constants.

    Where ``dense``, rows of tensors follow one another. Of states that grow, inputs are all the
    room, outputs what is appended. ``sizes`` are those that its runs find; without them, models
    that find some are refused, and ``counts`` are how many tensors sequences have.
    """
    dump = Dump()

    def straight(
        part: onnx.ModelProto, known: Mapping[str, Array], here: Across | None
    ) -> tuple[Program, PartNotes]:
        noted, is_open = PartNotes(), passes is OPEN_PASSES
        graph = _straight_graph(part, known, dump, passes, grows, noted, here)
        if passes is PASSES:  # lanes of an open size are fewer
            graph = conv_planes(graph, target)
            dump(conv_planes.__name__, graph)
        program = join_depthwise(lower(graph, dense=dense, across=here), target)
        program = join_attention(program, target, is_open=is_open)
        noted.moved |= set() if here is None else here.moved
        return (program if is_open else hand_bfloat16(program, target)), noted

    met = FoundSizes(counts=counts) if sizes is None else sizes
    with met.asking_bounds():
        program = _whole(model, given, straight, met, parts or Once(), across)
    if sizes is None and met.symbols:
        ranges = ", ".join(map(str, met.symbols))
        raise UnsupportedOperator(f"one program is for fixed sizes, and a run finds some: {ranges}")
    dump("program", program)
    if met.possible:  # it is looked at, not run
        return program
    for call in {call.workload: call for call in program.calls}.values():
        try:
            spaces(call.workload, target)
        except ScheduleError as error:
            raise UnsupportedOperator(f"{call.source}: {error}") from error
    return program


def _whole(
    model: onnx.ModelProto,
    given: Mapping[str, Array],
    straight: Noted,
    sizes: FoundSizes,
    parts: Once,
    across: Across | None,
) -> Program:
    """Straight where it can be: what values seem to decide, or a search to find, may be known."""
    is_plain = all(o.type.HasField("tensor_type") for o in model.graph.output)
    if is_plain and not has_control(model) and not has_asking(model):
        try:
            here = None if across is None else across.begun()
            program, noted = straight(model, given, here)
            sizes.notes.append(noted.few())
            return program
        except (DependsOnDataError, UnknownTypeError):
            pass  # of what comes before, types may be known once that is imported
        except UnsupportedOperator as error:
            if (CONTROL | FINDERS | BY_RULES).isdisjoint(error.operators):
                raise  # the others may be of a function by which the standard spells an operator
    return import_regions(model, parts.of(straight, sizes.notes, across), sizes, given)
