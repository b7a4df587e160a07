"""From a model to a program: read, import, rewrite, fuse."""

from __future__ import annotations

import os

import onnx

from luthier.schedules import ScheduleError, Target, UnsupportedOperator
from luthier.schedules.registry import spaces

from .attention import fuse_attention
from .commute import commute_resizes
from .fit import fit_templates
from .fold import fold_constants
from .fold_scales import fold_scales
from .graph import Graph
from .group_norm import join_group_norms
from .join_depthwise import join_depthwise
from .layout import channels_last
from .lower import lower
from .normalize import find_normalizations
from .onnx.declared import check_outputs
from .onnx.importer import to_graph
from .onnx.outline import outline
from .onnx.read import ReadModel, Shapes, read_model
from .program import Program
from .sink_reshapes import sink_reshapes

PASSES = (
    fold_constants,
    join_group_norms,
    channels_last,
    find_normalizations,
    sink_reshapes,
    fold_scales,
    commute_resizes,
    fuse_attention,
    fit_templates,
    fold_constants,
)


def import_graph(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel, shapes: Shapes | None = None
) -> Graph:
    """The model's graph after all passes; raises as ``import_model`` does."""
    read = read_model(model, shapes).proto
    light, weights = outline(read)
    graph = to_graph(light, weights)
    check_outputs(read, light, graph)
    for rewrite in PASSES:
        graph = rewrite(graph)
    return graph


def import_model(
    model: str | os.PathLike[str] | onnx.ModelProto | ReadModel,
    target: Target,
    shapes: Shapes | None = None,
) -> Program:
    """The program of a model: fused workloads in execution order.

    ``shapes`` gives the sizes (elements per dimension, by input name) that the model leaves open.
    Raises ModelError where the model cannot be read, UnsupportedOperator where it uses what Luthier
    cannot compile.
    """
    program = join_depthwise(lower(import_graph(model, shapes)), target)
    for call in {call.workload: call for call in program.calls}.values():
        try:
            spaces(call.workload, target)
        except ScheduleError as error:
            raise UnsupportedOperator(f"{call.source}: {error}") from error
    return program
