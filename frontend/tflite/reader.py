"""From a file of TensorFlow Lite to the ONNX model that computes the same.

Images stay N, H, W, C; convolutions get transpositions, which the compiler takes away.
What is quantised is computed as what it stands for, and quantised again: results may differ from
TensorFlow's, which rounds in whole numbers, by a step.
"""

from __future__ import annotations

import onnx

from luthier.schedules import ModelError, UnsupportedOperator

from ..flatbuffer import DamagedError
from . import (
    bits,
    blocks,
    control,
    detection,
    elementwise,
    lookups,
    mediapipe,
    movement,
    products,
    random_numbers,
    recurrent,
    scattering,
    signals,
    slices,
    sliding,
    stablehlo,
    tables,
    windows,
)
from .call import Call, Operator
from .graph import Graph
from .model import LiteModel, Operation, decoded
from .whole import whole

OPERATORS: dict[str, Operator] = {
    **bits.OPERATORS,
    **blocks.OPERATORS,
    **control.OPERATORS,
    **detection.OPERATORS,
    **elementwise.OPERATORS,
    **lookups.OPERATORS,
    **mediapipe.OPERATORS,
    **movement.OPERATORS,
    **products.OPERATORS,
    **random_numbers.OPERATORS,
    **recurrent.OPERATORS,
    **scattering.OPERATORS,
    **signals.OPERATORS,
    **slices.OPERATORS,
    **sliding.OPERATORS,
    **stablehlo.OPERATORS,
    **tables.OPERATORS,
    **windows.OPERATORS,
}
_LISTED = 8


def read_tflite(data: bytes, where: str, entry: str = "") -> onnx.ModelProto:
    """The model of a file: of its signature ``entry``, where it has one of this name.

    Raises ModelError for a file that is damaged, and UnsupportedOperator with all operators that
    are not supported.
    """
    model = decoded(data, where, entry)
    _check_operators(model)
    try:
        return whole(model, _write)
    except (DamagedError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise ModelError(f"{where}: the file is cut short or damaged") from error


def _write(graph: Graph, operation: Operation) -> None:
    operator = OPERATORS[operation.kind]
    as_stored = operator.passes or (
        operator.moves and _is_alike(graph, operation, operator.moved)
    )  # fmt: skip
    results = operator.write(Call(graph, operation, as_stored))
    names = [results] if isinstance(results, str) else list(results)
    if len(names) != len(operation.outputs):
        raise ModelError(
            f"{graph.where}: {operation.label} has {len(operation.outputs)} results, not "
            f"{len(names)}"
        )
    for number, name in zip(operation.outputs, names, strict=True):
        if name and number >= 0:
            graph.give(number, name, as_stored=as_stored)


def _is_alike(graph: Graph, operation: Operation, moved: tuple[int, ...] | None) -> bool:
    """Whether all that is moved is quantised alike, or all is not."""
    places = range(len(operation.inputs)) if moved is None else moved
    inputs = [operation.inputs[i] for i in places if i < len(operation.inputs)]
    tensors = [graph.lite.tensors[n] for n in (*inputs, *operation.outputs) if n >= 0]
    kinds = {each.dtype for each in tensors}
    known = [each.quantised for each in tensors]
    first = known[0] if known else None
    if first is None:
        return len(kinds) == 1 and not any(known)
    return len(kinds) == 1 and all(
        each is not None
        and each.scale.size == first.scale.size == 1
        and each.scale[0] == first.scale[0]
        and each.zero[0] == first.zero[0]
        for each in known
    )


def _check_operators(model: LiteModel) -> None:
    """Raise UnsupportedOperator for all that are not known."""
    missing: dict[str, list[str]] = {}
    for operation in model.reached():
        if operation.kind not in OPERATORS:
            missing.setdefault(operation.kind, []).append(operation.label)
    if not missing:
        return
    listed = [
        f"{name} ({len(labels)} node{'s' if len(labels) > 1 else ''})"
        for name, labels in list(missing.items())[:_LISTED]
    ]
    rest = f" and {len(missing) - _LISTED} more" if len(missing) > _LISTED else ""
    plural = (
        "operators of TensorFlow Lite are" if len(missing) > 1 else "operator of TensorFlow Lite is"
    )
    raise UnsupportedOperator(
        f"{model.where}: {len(missing)} {plural} not supported: {', '.join(listed)}{rest}: express "
        "them by other operators when converting",
        {name: tuple(labels) for name, labels in missing.items()},
    )
