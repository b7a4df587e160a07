"""Models in: ONNX to programs of fused workloads."""

from .import_model import import_entries, import_entry, import_graph, import_model
from .onnx.images.postprocess import Postprocess
from .onnx.images.preprocess import Preprocess
from .onnx.open_shapes import Shapes
from .onnx.read import Bounds, Postprocessing, Preprocessing, ReadModel, read_model
from .onnx.source import Source, source_of
from .program import Call, Entry, Library, Program
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
