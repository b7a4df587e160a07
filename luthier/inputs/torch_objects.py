"""PyTorch's own objects as ONNX models: modules, exported programs, ONNX programs.

Torch is an optional dependency: whoever has such an object has it, and nothing here imports it
before. A module is captured with ``torch.export`` and translated with ``torch.onnx.export``.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from luthier.frontend import Shapes
from luthier.frontend.messages import one_line
from luthier.schedules.errors import LuthierError, ModelError, UsageError

from .quiet import quiet

_LEAST = 2  # of an open dimension: torch specialises sizes of 0 and 1
_NO_FUNCTION = re.compile(r"No ONNX function found for <OpOverload\(op='([\w.]+)'")
_TRACE = "pkg.torch.onnx.stack_trace"  # of a node's metadata
_PLACE = re.compile(r'File "([^"]+)", line (\d+), in \w+\n\s*(.*)')


def is_torch_object(value: object) -> bool:
    """Whether ``as_onnx`` takes it; without an import of torch, which made it if so."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, _kinds(torch))


def _kinds(torch: Any) -> tuple[type, ...]:
    return torch.nn.Module, torch.export.ExportedProgram, torch.onnx.ONNXProgram


def as_onnx(model: Any, example_inputs: Any, shapes: Shapes | None) -> onnx.ModelProto:
    """The ONNX model of a torch object.

    A module needs ``example_inputs``: a tensor, a tuple of what ``forward`` takes, or a mapping of
    its arguments' names; the module is captured as in evaluation, and left as it was. ``shapes``
    that name dimensions of inputs, ``{"x": ("batch", 3, 224, 224)}``, keep these open. Inputs are
    called as in ``forward``, outputs like the keys of what it returns, or ``output``, ``output_0``.
    Raises UsageError, and ModelError with the line of the module that torch cannot take.
    """
    import torch  # noqa: PLC0415 - there, since the object is, and heavy

    if isinstance(model, torch.nn.Module):
        if example_inputs is None:
            raise UsageError(
                "a torch module needs example_inputs: a tuple of tensors as its forward takes"
            )
    elif example_inputs is not None:
        raise UsageError("example_inputs are for torch modules: what is exported has its inputs")
    with quiet(), torch.no_grad():
        if isinstance(model, torch.nn.Module):
            model = _captured(torch, model, example_inputs, shapes or {})
        if isinstance(model, torch.export.ExportedProgram):
            model = _translated(torch, model, shapes or {})
        try:
            proto: onnx.ModelProto = model.model_proto
        except Exception as error:
            raise ModelError(f"torch cannot write the ONNX model: {one_line(error)}") from error
    for node in _nodes(proto.graph):
        _name_after_line(node)
    return proto


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Of a graph and of those inside."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _name_after_line(node: onnx.NodeProto) -> None:
    """Messages name nodes: so that they lead to the line of the module that it is from."""
    noted = {each.key: each.value for each in node.metadata_props}
    places = _PLACE.findall(noted.get(_TRACE, ""))
    own = [place for place in places if not _is_torch(place[0])]
    if own:
        file, line, _ = own[-1]
        node.name = f"{node.name or node.op_type} ({Path(file).name}, line {line})"
    del node.metadata_props[:]


def _captured(torch: Any, module: Any, example_inputs: Any, shapes: Shapes) -> Any:
    """The module's program, of what it does in evaluation."""
    args, kwargs = _arguments(torch, example_inputs)
    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        dynamic = _dynamic(torch, module, args, kwargs, shapes)
        return torch.export.export(module, args, kwargs, dynamic_shapes=dynamic)
    except LuthierError:
        raise
    except Exception as error:
        raise ModelError(
            f"torch.export cannot capture the module: {one_line(error)}{_place(error)}"
        ) from error
    finally:
        for each in training:
            each.training = True


def _arguments(torch: Any, given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, Mapping):
        return (), dict(given)
    if isinstance(given, Sequence):
        return tuple(given), {}
    if isinstance(given, torch.Tensor):
        return (given,), {}
    raise UsageError(
        "example_inputs must be a tensor, a tuple of them or a mapping of names to them, not "
        f"{type(given).__name__}"
    )


def _dynamic(
    torch: Any, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], shapes: Shapes
) -> dict[str, Any] | None:
    """For each argument the dimensions that ``shapes`` gives names, which stay open."""
    try:
        given = inspect.signature(module.forward).bind(*args, **kwargs).arguments
    except TypeError as error:
        raise UsageError(f"example_inputs do not fit the module's forward: {error}") from error
    found: dict[str, Any] = dict.fromkeys(given)
    for name, value in given.items():
        if isinstance(value, torch.Tensor) and (named := _named(shapes, name)):
            small = [dim for dim in named if dim < value.ndim and value.shape[dim] < _LEAST]
            if small:
                raise UsageError(
                    f"dimension {small[0]} of '{name}' is open, and torch takes a size below "
                    f"{_LEAST} for fixed: give example_inputs of {_LEAST} or more there"
                )
            found[name] = dict.fromkeys(named, torch.export.Dim.DYNAMIC)
    return found if any(found.values()) else None


def _named(shapes: Shapes, name: str) -> dict[int, str]:
    """The names that an input's dimensions are given."""
    sizes = shapes.get(name)
    if not isinstance(sizes, Sequence) or isinstance(sizes, str):
        return {}
    return {dim: size for dim, size in enumerate(sizes) if isinstance(size, str)}


def _translated(torch: Any, program: Any, shapes: Shapes) -> Any:
    """The ONNX program of an exported one, its open dimensions named as in ``shapes``."""
    names = {each: _named(shapes, each) for each in program.graph_signature.user_inputs}
    plain = {k: {d: n for d, n in v.items() if n.isidentifier()} for k, v in names.items()}
    try:
        return torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            dynamic_shapes=plain if any(plain.values()) else None,
            output_names=_output_names(program),
        )
    except Exception as error:
        missing = _NO_FUNCTION.search(_all_text(error))
        if missing is None:
            raise ModelError(f"torch.onnx cannot translate the model: {one_line(error)}") from error
        nodes = program.run_decompositions().graph.nodes  # what was translated
        where = next((_line(node) for node in nodes if _is(node, missing[1])), "")
        raise ModelError(f"torch.onnx has no operator for '{missing[1]}'{where}") from error


def _output_names(program: Any) -> list[str]:
    """What the module's results are called: their keys, or ``output`` and its number."""
    spec = program.call_spec.out_spec
    names = [name or "output" for name in _keys(spec.unflatten([""] * spec.num_leaves), "")]
    taken = {*program.graph_signature.user_inputs}
    return [f"{name}_out" if name in taken else name for name in names]


def _keys(value: Any, prefix: str) -> list[str]:
    """The names of the leaves of nested results."""
    if isinstance(value, Mapping):
        parts = [(str(key), each) for key, each in value.items()]
    elif hasattr(value, "_fields"):
        parts = list(zip(value._fields, value, strict=True))
    elif isinstance(value, list | tuple):
        number = "" if prefix else "output_"
        parts = [(f"{number}{i}", each) for i, each in enumerate(value)]
    else:
        return [] if value is None else [prefix]
    return [
        name for key, each in parts for name in _keys(each, f"{prefix}_{key}" if prefix else key)
    ]


def _all_text(error: BaseException | None) -> str:
    """What an exception says, and those that it came from."""
    return "" if error is None else f"{error}\n{_all_text(error.__cause__)}"


def _is(node: Any, operator: str) -> bool:
    return node.op == "call_function" and str(node.target).startswith(f"{operator}.")


def _line(node: Any) -> str:
    places = _PLACE.findall(node.meta.get("stack_trace") or "")
    own = [place for place in places if not _is_torch(place[0])]
    return _said(*own[-1]) if own else ""


def _place(error: BaseException) -> str:
    """The innermost line of the user's code that the exception came through, or that it names."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not _is_torch(f.filename)]
    inner = [f for f in frames if f.filename not in (__file__, "<string>")]
    if inner:
        return _said(inner[-1].filename, inner[-1].lineno, inner[-1].line or "")
    named = [place for place in _PLACE.findall(str(error)) if not _is_torch(place[0])]
    return _said(*named[-1]) if named else ""


def _said(file: str, line: Any, code: str) -> str:
    return f", at {Path(file).name}, line {line}: {code.strip()}"


def _is_torch(file: str) -> bool:
    """Whether code is torch's own, or its translator's."""
    packages = (sys.modules.get(name) for name in ("torch", "onnxscript"))
    homes = [Path(each.__file__).parent for each in packages if each and each.__file__]
    return any(Path(file).is_relative_to(home) for home in homes)
