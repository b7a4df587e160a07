"""Is everything here that Luthier needs, and does a tiny model build and run?"""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from luthier.schedules.errors import AccuracyError, LuthierError
from luthier.schedules.target import host
from luthier.schedules.temporary import TemporaryFolder
from luthier.schedules.toolchain import find_compiler

# The one pair that works together; pyproject.toml pins the same.
TVM_PAIR = {"apache-tvm": "0.27.0.post1", "apache-tvm-ffi": "0.1.14.post1"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``required`` ones must be ``ok`` for Luthier to work."""

    name: str
    ok: bool
    detail: str
    required: bool = True


def doctor() -> tuple[Finding, ...]:
    """Look at everything; never raises for what it finds."""
    checks: tuple[tuple[str, bool, Callable[[], str]], ...] = (
        ("python", True, _python),
        ("tvm", True, _tvm),
        ("onnx", True, _onnx),
        ("xgboost", True, _xgboost),
        ("cpu", True, _cpu),
        ("compiler", True, _compiler),
        ("onnxruntime", False, _onnxruntime),
        ("build and run", True, _build_and_run),
    )
    return tuple(_finding(*check) for check in checks)


def _finding(name: str, required: bool, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look(), required)
    except Exception as error:  # whatever is broken here is what the user came to see
        reason = " ".join(str(error).split()) or "it failed"
        detail = reason if isinstance(error, LuthierError) else f"{type(error).__name__}: {reason}"
        return Finding(name, False, detail, required)


def _python() -> str:
    if sys.version_info < (3, 10) or sys.platform != "linux":
        raise LuthierError(f"{platform.python_version()} on {sys.platform}; 3.10+ on Linux needed")
    return f"{platform.python_version()} on {platform.machine()}"


def _tvm() -> str:
    for package, wanted in TVM_PAIR.items():
        found = metadata.version(package)
        if found != wanted:
            raise LuthierError(f"{package} is {found}; run: pip install {package}=={wanted}")
    import tvm  # noqa: PLC0415 - a broken TVM is a finding, not a crash

    return f"{tvm.__version__} with tvm-ffi {TVM_PAIR['apache-tvm-ffi']}"


def _onnx() -> str:
    import onnx  # noqa: PLC0415 - see _tvm

    return str(onnx.__version__)


def _xgboost() -> str:
    import xgboost  # noqa: PLC0415 - see _tvm

    return str(xgboost.__version__)


def _cpu() -> str:
    target = host()
    return f"{target.cpu}, {target.level}, {target.threads} threads"


def _compiler() -> str:
    compiler = find_compiler()
    return f"{' '.join(compiler.command)}: {compiler.version}"


def _onnxruntime() -> str:
    try:
        return metadata.version("onnxruntime")
    except metadata.PackageNotFoundError as error:
        raise LuthierError(
            "not installed; checks use onnx's slower evaluator (pip install 'luthier[reference]')"
        ) from error


def _build_and_run() -> str:
    from luthier import build, load  # noqa: PLC0415 - imports onnx

    rng = np.random.default_rng(0)
    x, w = rng.random((4, 8), np.float32), rng.random((8, 5), np.float32)
    with TemporaryFolder() as folder:
        out = folder / "tiny"
        report = build(_tiny_model(w), out, log=None)
        with load(out) as artifact:
            (y,) = artifact(x)
    if not np.allclose(y, np.maximum(x @ w - 1, 0), rtol=1e-4, atol=1e-5):
        raise AccuracyError("a tiny model gives wrong results")
    return f"a tiny model, in {report.seconds:.1f} s"


def _tiny_model(weights: NDArray[Any]) -> Any:
    from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415 - see _tvm

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Sub", ["product", "one"], ["shifted"]),
        helper.make_node("Relu", ["shifted"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 5])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
