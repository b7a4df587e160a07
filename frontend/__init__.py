"""Models in: ONNX through TVM's Relax to programs of fused workloads."""

from .import_model import import_graph, import_model
from .program import Call, Program
from .read import ReadModel, read_model

__all__ = ["Call", "Program", "ReadModel", "import_graph", "import_model", "read_model"]
