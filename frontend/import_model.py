"""From a model to a program: read, import, rewrite, fuse."""

from __future__ import annotations

import os
from collections.abc import Callable

import onnx

from luthier.schedules import ScheduleError, Target, UnsupportedOperator
from luthier.schedules.templates.registry import spaces

from .dump import Dump
from .graph import Graph
from .lowering.join_depthwise import join_depthwise
from .lowering.lower import lower
from .onnx.declared import check_outputs
from .onnx.importer import to_graph
from .onnx.read import ReadModel, Shapes, read_model
from .onnx.strip_weights import strip_weights
from .passes import PASSES
from .program import Program

Watch = Callable[[str, Graph], None]


def import_graph(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    shapes: Shapes | None = None,
    watch: Watch = lambda name, graph: None,
) -> Graph:
    """The model's graph after all passes; raises as ``import_model`` does.

    ``watch`` is given the name of what was done, the import and each pass, and the graph after it.
    """
    read = read_model(model, shapes).proto
    light, weights = strip_weights(read)
    graph = to_graph(light, weights)
    check_outputs(read, light, graph)
    watch("import", graph)
    for each in PASSES:
        graph = each.rewrite(graph)
        watch(each.name, graph)
    return graph


def import_model(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    target: Target,
    shapes: Shapes | None = None,
) -> Program:
    """The program of a model: fused workloads in execution order.

    ``shapes`` gives the sizes (elements per dimension, by input name) that the model leaves open.
    Raises ModelError where the model cannot be read, UnsupportedOperator where it uses what Luthier
    cannot compile, and UsageError where LUTHIER_DUMP names no folder that can be written.
    """
    dump = Dump()
    graph = import_graph(model, shapes, dump)
    program = join_depthwise(lower(graph), target)
    dump("program", program)
    for call in {call.workload: call for call in program.calls}.values():
        try:
            spaces(call.workload, target)
        except ScheduleError as error:
            raise UnsupportedOperator(f"{call.source}: {error}") from error
    return program
