"""Models in: ONNX to programs of fused workloads."""

from .import_model import import_graph, import_model
from .onnx.read import ReadModel, read_model
from .program import Call, Library, Program

__all__ = ["Call", "Library", "Program", "ReadModel", "import_graph", "import_model", "read_model"]
