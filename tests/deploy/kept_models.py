"""A library with states: one that grows, one that keeps its type; two entry points over both."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from luthier.deploy import build
from luthier.deploy.building import _compile, _kernels_of, describe, lay_out
from luthier.deploy.interface import model_header
from luthier.deploy.tables import WEIGHTS_SOURCE, emit
from luthier.deploy.weights import WeightPool
from luthier.frontend import Library, import_entries, read_model
from luthier.schedules.target import parse

TARGET = parse("x86-64-v2", threads=2)
ROWS, COLUMNS, MOST_PAST, MOST_NEW = 2, 3, 6, 4
STATES = {"past": "present", "h_in": "h_out"}


def model(new: int | str) -> onnx.ModelProto:
    """``past`` [2, past, 3] and ``new`` are concatenated, and summed up; ``h`` is doubled, and x is
    added."""
    n, kind = helper.make_node, TensorProto.FLOAT
    nodes = [
        n("Concat", ["past", "new"], ["present"], axis=1),
        n("ReduceSum", ["present", "axes"], ["sum"], keepdims=0),
        n("Add", ["h_in", "h_in"], ["twice"]),
        n("Add", ["twice", "x"], ["h_out"]),
        n("Identity", ["h_in"], ["was"]),
    ]

    def value(name: str, *shape: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape or None)

    graph = helper.make_graph(
        nodes,
        "kept",
        [
            value("new", ROWS, new, COLUMNS),
            value("past", ROWS, "past", COLUMNS),
            value("h_in", 5),
            value("x", 5),
        ],
        [value(name) for name in ("sum", "present", "was", "h_out")],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def library() -> Library:
    """Entry points ``many``, for 1 to 4 new columns, and ``one``."""
    past = range(MOST_PAST + 1)
    sizes = {"new": range(1, MOST_NEW + 1), "past": past}
    models = {
        "many": read_model(model("new"), sizes, state=STATES),
        "one": read_model(model(1), {"past": past}, state=STATES),
    }
    return Library("kept", import_entries(models, TARGET))


def make(out: Path) -> None:
    """The artifact."""
    build(library(), out, TARGET, {})


def write_sources(folder: Path) -> list[str]:
    """What is linked, and the header; gives the names of the objects."""
    made = library()
    kernels = _kernels_of(made, TARGET, {})
    with (folder / "weights.bin").open("wb") as file:
        tables = lay_out(made, "kept", kernels, TARGET, WeightPool(file))
    (folder / "tables.c").write_text(emit(tables))
    (folder / "model.h").write_text(model_header("kept", describe(tables)))
    (folder / "weights.s").write_text(WEIGHTS_SOURCE)
    names = []
    for i, data in enumerate(_compile(kernels, TARGET, folder)):
        names.append(f"kernels_{i}.o")
        (folder / names[-1]).write_bytes(data)
    return names
