"""Models in: ONNX to programs of fused workloads.

What a program is can be imported alone: loading an artifact, say, needs no importer of models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from luthier.schedules.late import late_names

from .program import Call, Entry, Library, Program

if TYPE_CHECKING:
    from .importing import import_entries, import_entry, import_graph, import_model
    from .onnx.images.postprocess import Postprocess
    from .onnx.images.preprocess import Preprocess
    from .onnx.open_shapes import Shapes
    from .onnx.read import Bounds, Postprocessing, Preprocessing, ReadModel, read_model
    from .onnx.source import Source, source_of
    from .states.pairs import StateNames

__all__ = [
    "Bounds",
    "Call",
    "Entry",
    "Library",
    "Postprocess",
    "Postprocessing",
    "Preprocess",
    "Preprocessing",
    "Program",
    "ReadModel",
    "Shapes",
    "Source",
    "StateNames",
    "import_entries",
    "import_entry",
    "import_graph",
    "import_model",
    "read_model",
    "source_of",
]

__getattr__ = late_names(
    __name__,
    {
        ".importing": ("import_entries", "import_entry", "import_graph", "import_model"),
        ".onnx.images.postprocess": ("Postprocess",),
        ".onnx.images.preprocess": ("Preprocess",),
        ".onnx.open_shapes": ("Shapes",),
        ".onnx.read": (
            "Bounds",
            "Postprocessing",
            "Preprocessing",
            "ReadModel",
            "read_model",
        ),
        ".onnx.source": ("Source", "source_of"),
        ".states.pairs": ("StateNames",),
    },
)
