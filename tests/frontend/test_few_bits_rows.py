"""Tables of few bits stay so: rows are looked up before they become floats."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, compute, model

from luthier.frontend import import_model
from luthier.frontend.program import Program

N = helper.make_node
ROWS, WIDTH = 160, 112
RNG = np.random.default_rng(3)
IDS = np.array([[3, 111, 0], [80, -1, 3]])


def scales(*shape: int) -> np.ndarray:
    return RNG.uniform(0.01, 0.1, shape).astype(np.float32)


def looked_up(
    codes: onnx.TensorProto, given: dict[str, np.ndarray], along: int = 0, **attrs: int
) -> onnx.ModelProto:
    """Rows of what ``DequantizeLinear`` gives."""
    nodes = [
        N("DequantizeLinear", ["codes", *given], ["table"], **attrs),
        N("Gather", ["table", "ids"], ["y"], axis=along),
    ]
    proto = model(nodes, {"ids": IDS}, ["y"], given, opset=23)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    proto.graph.initializer.append(codes)
    return proto


def stored(kind: str, low: int, high: int) -> onnx.TensorProto:
    numbers = RNG.integers(low, high, (ROWS, WIDTH))
    return helper.make_tensor("codes", getattr(TensorProto, kind), (ROWS, WIDTH), numbers.ravel())


def agree(proto: onnx.ModelProto, *, kernels: bool = False) -> Program:
    (expected,) = ReferenceEvaluator(proto).run(None, {"ids": IDS})
    program = import_model(proto, TARGET)
    found = compute(program, {"ids": IDS}, kernels)["y"]
    np.testing.assert_array_equal(found, expected)
    return program


def constant_bytes(program: Program) -> int:
    return sum(array.nbytes for array in program.constants.values())


U8 = RNG.integers(0, 256, ROWS).astype(np.uint8)
S4 = RNG.integers(-8, 8, (ROWS, WIDTH // 16)).astype(ml_dtypes.int4)
CASES = {
    "8 bits, a scale": (stored("INT8", -128, 128), {"s": scales()}, {}, 8),
    "8 bits, zero points": (stored("UINT8", 0, 256), {"s": scales(ROWS), "z": U8}, {"axis": 0}, 8),
    "of columns": (stored("INT8", -128, 128), {"s": scales(WIDTH)}, {"axis": 1}, 8),
    "blocks": (
        stored("INT8", -128, 128),
        {"s": scales(ROWS, WIDTH // 16)},
        {"axis": 1, "block_size": 16},
        8,
    ),
    "a last block of fewer": (
        stored("INT8", -128, 128),
        {"s": scales(ROWS, 4)},
        {"axis": 1, "block_size": 32},
        8,
    ),
    "4 bits": (stored("INT4", -8, 8), {"s": scales(ROWS)}, {"axis": 0}, 4),
    "4 bits, blocks, zero points": (
        stored("INT4", -8, 8),
        {"s": scales(ROWS, WIDTH // 16), "z": S4},
        {"axis": 1, "block_size": 16},
        4,
    ),
    "2 bits": (stored("UINT8", 7, 11), {"s": scales(ROWS)}, {"axis": 0}, 2),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_of_dequantised_tables(name: str) -> None:
    codes, given, attrs, bits = CASES[name]
    program = agree(looked_up(codes, given, **attrs), kernels=name.startswith("4 bits, blocks"))
    beside = sum(4 * array.size for array in given.values())
    assert constant_bytes(program) <= ROWS * WIDTH * bits // 8 + beside + 64


@pytest.mark.parametrize("along", [1, -1])
def test_columns_of_dequantised_tables(along: int) -> None:
    """In which case a byte has one number."""
    codes = stored("INT4", -8, 8)
    program = agree(looked_up(codes, {"s": scales(WIDTH)}, along, axis=1))
    assert constant_bytes(program) <= ROWS * WIDTH + 4 * WIDTH + 64


@pytest.mark.parametrize("kind", ["FLOAT8E4M3FN", "FLOAT8E5M2"])
def test_rows_of_floats_of_8_bits(kind: str) -> None:
    wide = RNG.standard_normal(ROWS * WIDTH).astype(np.float32)
    codes = helper.make_tensor("codes", getattr(TensorProto, kind), (ROWS, WIDTH), wide)
    program = agree(looked_up(codes, {"s": scales(ROWS)}, axis=0))
    assert constant_bytes(program) <= ROWS * WIDTH + 4 * ROWS + 64


def test_a_result_in_float16_is_rounded_once() -> None:
    codes, half = stored("INT8", -128, 128), scales(ROWS).astype(np.float16)
    proto = looked_up(codes, {"s": half}, axis=0)
    proto.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    program = agree(proto)
    assert constant_bytes(program) <= ROWS * WIDTH + 4 * ROWS + 64


def test_a_table_that_a_product_reads_too_is_in_few_bits_in_both() -> None:
    codes, given = stored("INT4", -8, 8), {"s": scales(ROWS, WIDTH // 16)}
    proto = looked_up(codes, given, axis=1, block_size=16)
    del proto.graph.output[:], proto.graph.value_info[:]
    proto.graph.node[1].attribute[0].i = 0
    proto.graph.node.extend(
        [N("Transpose", ["table"], ["t"], perm=[1, 0]), N("MatMul", ["y", "t"], ["words"])]
    )
    proto.graph.output.append(helper.make_tensor_value_info("words", 1, [*IDS.shape, ROWS]))
    (expected,) = ReferenceEvaluator(proto).run(None, {"ids": IDS})
    program = import_model(proto, TARGET)
    np.testing.assert_allclose(compute(program, {"ids": IDS})["words"], expected, 1e-4, 1e-4)
    assert constant_bytes(program) <= 2 * (ROWS * WIDTH // 2 + given["s"].nbytes) + 64
