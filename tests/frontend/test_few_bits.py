"""Matrices of few bits stay so, however a model spells them."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest
from microsoft_models import agree as agree_with_runtime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx_models import TARGET, compute, floats, model

from luthier.frontend import import_graph, import_model
from luthier.frontend.program import Program

N = helper.make_node
K, M = 160, 112  # of the matrix
RNG = np.random.default_rng(3)


def products(program: Program) -> list[str]:
    return [n.op for call in program.calls for n in call.workload.nodes if "matmul" in n.op]


def agree(proto: onnx.ModelProto, x: np.ndarray, *, kernels: bool = False) -> Program:
    """With what the text says: ONNX Runtime makes 8 bits of activations, too."""
    (expected,) = ReferenceEvaluator(proto).run(None, {"x": x})
    program = import_model(proto, TARGET)
    found = compute(program, {"x": x}, kernels)["y"]
    np.testing.assert_allclose(found, expected, 1e-4, 1e-3)
    return program


def dequantised(
    codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray | None, **attrs: int
) -> onnx.ModelProto:
    """x times what ``DequantizeLinear`` gives."""
    names = ["codes", "scales", *([] if zeros is None else ["zeros"])]
    nodes = [N("DequantizeLinear", names, ["w"], **attrs), N("MatMul", ["x", "w"], ["y"])]
    weights = {"codes": codes, "scales": scales}
    weights |= {} if zeros is None else {"zeros": zeros}
    return model(nodes, {"x": floats(3, K)}, ["y"], weights, opset=21)


def scales(*shape: int) -> np.ndarray:
    return RNG.uniform(0.01, 0.1, shape).astype(np.float32)


S8 = RNG.integers(-128, 128, (K, M)).astype(np.int8)
U8 = RNG.integers(0, 256, (K, M)).astype(np.uint8)
CASES = {
    "a number": (dequantised(S8, scales(), None), 8, K, False),
    "a number for each column": (dequantised(S8, scales(M), None, axis=1), 8, K, False),
    "zero points": (dequantised(U8, scales(M), U8[0], axis=1), 8, K, True),
    "in the middle": (dequantised(U8, scales(), np.uint8(128)), 8, K, False),
    "blocks": (dequantised(S8, scales(K // 32, M), None, axis=0, block_size=32), 8, 32, False),
    "few numbers": (dequantised(U8 % 16, scales(M), U8[0] % 16, axis=1), 4, K, True),
    "few numbers in the middle": (dequantised(U8 % 16, scales(), np.uint8(8)), 4, K, False),
    "few signed numbers": (dequantised(S8 // 16, scales(M), None, axis=1), 4, K, False),
}


@pytest.mark.parametrize("name", CASES)
def test_what_stands_for_a_matrix_is_read_by_the_product(name: str) -> None:
    proto, bits, block, zeros = CASES[name]
    program = agree(proto, floats(3, K), kernels=name == "zero points")
    assert products(program) == ["matmul_few_bits"]
    (node,) = (n for call in program.calls for n in call.workload.nodes if "matmul" in n.op)
    assert (node.attr("bits"), node.attr("block"), len(node.args)) == (bits, block, 3 + zeros)


def test_four_bits_in_blocks_and_columns_that_a_transpose_made() -> None:
    codes = RNG.integers(-8, 8, (M, K)).astype(np.int8)
    packed = helper.make_tensor("codes", TensorProto.INT4, (M, K), codes.ravel().tolist())
    nodes = [
        N("DequantizeLinear", ["codes", "scales"], ["w"], axis=1, block_size=16),
        N("Transpose", ["w"], ["t"], perm=[1, 0]),
        N("MatMul", ["x", "t"], ["y"]),
    ]
    proto = model(nodes, {"x": floats(2, K)}, ["y"], {"scales": scales(M, K // 16)}, opset=21)
    proto.graph.initializer.append(packed)
    program = agree(proto, floats(2, K), kernels=True)
    assert products(program) == ["matmul_few_bits"]


def nbits(
    depth: int, bits: int = 4, block: int = 32, level: int = 0, **kinds: np.ndarray
) -> onnx.ModelProto:
    blocks = -(-depth // block)
    codes = RNG.integers(0, 256, (M, blocks, block * bits // 8)).astype(np.uint8)
    proto = model(
        [N("MatMul", ["x", "w"], ["y"])],
        {"x": floats(2, depth)},
        ["y"],
        {"w": floats(depth, M)},
        opset=21,
    )
    del proto.graph.node[:], proto.graph.initializer[:]
    attrs = {"K": depth, "N": M, "bits": bits, "block_size": block, "accuracy_level": level}
    names = ["x", "codes", "scales", *kinds]
    proto.graph.node.append(N("MatMulNBits", names, ["y"], domain="com.microsoft", **attrs))
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    for name, array in {"codes": codes, "scales": scales(M * blocks), **kinds}.items():
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    return proto


@pytest.mark.parametrize("depth", [160, 173])
@pytest.mark.parametrize("zeros", [False, True])
def test_onnx_runtimes_operator(depth: int, *, zeros: bool) -> None:
    blocks = -(-depth // 32)
    kinds = {"zeros": RNG.integers(0, 256, M * (-(-blocks // 2))).astype(np.uint8)} if zeros else {}
    proto = nbits(depth, **kinds)
    program = agree_with_runtime(proto, {"x": floats(2, depth)}, atol=1e-4)
    assert products(program) == ["matmul_few_bits"]


@pytest.mark.parametrize(
    ("bits", "block", "depth", "zeros"),
    [(4, 32, 160, False), (4, 32, 173, True), (4, 128, 300, False), (8, 32, 160, False)],
)
def test_rows_are_rounded_where_the_model_lets_them_be(
    bits: int, block: int, depth: int, *, zeros: bool
) -> None:
    """As ONNX Runtime rounds them, by the matrix's blocks."""
    blocks = -(-depth // block)
    kinds = {"zeros": RNG.integers(0, 256, M * (-(-blocks // 2))).astype(np.uint8)} if zeros else {}
    proto = nbits(depth, bits, block, 4, **kinds)
    x = floats(2, depth)
    program = agree_with_runtime(proto, {"x": x}, atol=1e-4)
    assert products(program) == ["matmul_few_bits_integer"]
    exact = onnx.ModelProto.FromString(proto.SerializeToString())
    (level,) = (a for a in exact.graph.node[0].attribute if a.name == "accuracy_level")
    level.i = 0
    (rounded, whole) = (
        compute(import_model(each, TARGET), {"x": x}, kernels=False)["y"] for each in (proto, exact)
    )
    apart = np.linalg.norm(rounded - whole) / np.linalg.norm(whole)
    assert 0 < apart < 0.02


def test_rounded_rows_of_several_products_and_shapes() -> None:
    """What comes before and after may have other shapes."""
    proto = nbits(192, level=4)
    proto.graph.node.insert(0, N("Reshape", ["z", "shape"], ["x"]))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([2, 192]), "shape"))
    proto.graph.input[0].CopyFrom(helper.make_tensor_value_info("z", 1, [2, 3, 64]))
    program = agree_with_runtime(proto, {"z": floats(2, 3, 64)}, atol=1e-4)
    assert products(program) == ["matmul_few_bits_integer"]


@pytest.mark.parametrize("bits", [2, 3, 5, 6, 7])
@pytest.mark.parametrize("zeros", [False, True])
@pytest.mark.parametrize("level", [0, 4])
def test_numbers_of_other_bits(bits: int, level: int, *, zeros: bool) -> None:
    """Of a row one after the other, the lowest bits first: what the operator's schema says."""
    depth, block = 160, 16
    blocks = depth // block
    width = -(-blocks * bits // 8)
    kinds = {"zeros": RNG.integers(0, 256, (M, width)).astype(np.uint8)} if zeros else {}
    proto = nbits(depth, bits, block, level, **kinds)
    given = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}

    def numbers(rows: np.ndarray, count: int) -> np.ndarray:
        found = [int.from_bytes(row.tobytes(), "little") for row in rows.reshape(M, -1)]
        return np.array([[n >> bits * i & 2**bits - 1 for i in range(count)] for n in found])

    each = numbers(given["zeros"], blocks) if zeros else np.full((M, blocks), 2 ** (bits - 1))
    wide = numbers(given["codes"], depth) - np.repeat(each, block, axis=1)
    matrix = wide * np.repeat(given["scales"].reshape(M, blocks), block, axis=1)
    x = floats(3, depth)
    program = import_model(proto, TARGET)
    found, expected = compute(program, {"x": x[:2]}, kernels=False)["y"], x[:2] @ matrix.T
    assert np.linalg.norm(found - expected) < (0.02 if level else 1e-6) * np.linalg.norm(expected)
    (node,) = (n for call in program.calls for n in call.workload.nodes if "matmul" in n.op)
    assert node.op == ("matmul_few_bits_integer" if level else "matmul_few_bits")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("rows", [1, 21])
def test_floats_of_16_bits(dtype: str, rows: int) -> None:
    kind = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}[dtype]
    w = floats(M, K).astype(np.float16 if dtype == "float16" else ml_dtypes.bfloat16)
    nodes = [
        N("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        N("Transpose", ["wide"], ["t"], perm=[1, 0]),
        N("MatMul", ["x", "t"], ["y"]),
    ]
    proto = model(nodes, {"x": floats(rows, K)}, ["y"], {}, opset=21)
    proto.graph.initializer.append(helper.make_tensor("w", kind, (M, K), w.tobytes(), raw=True))
    program = agree(proto, floats(rows, K), kernels=True)
    assert products(program) == ["matmul_few_bits"]
    (constant,) = (c for c in program.constants.values() if c.size == w.size)
    assert constant.nbytes == w.nbytes


FLOATS8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")


def floats_of_8_bits(name: str, codes: np.ndarray, block: int, rows: int) -> onnx.ModelProto:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(getattr(ml_dtypes, name)))
    attrs = {"axis": 0, "block_size": block} if block else {"axis": 1}
    nodes = [
        N("DequantizeLinear", ["w", "scales"], ["wide"], **attrs),
        N("MatMul", ["x", "wide"], ["y"]),
    ]
    given = {"scales": scales(*((K // block, M) if block else (M,)))}
    proto = model(nodes, {"x": floats(rows, K)}, ["y"], given, opset=21)
    proto.graph.initializer.append(helper.make_tensor("w", kind, (K, M), codes.tobytes(), raw=True))
    return proto


@pytest.mark.parametrize("name", FLOATS8)
@pytest.mark.parametrize(("rows", "block"), [(1, 32), (3, 0), (21, 32)])
def test_floats_of_8_bits(name: str, rows: int, block: int) -> None:
    """Every finite one, below normal numbers too."""
    every = np.arange(256, dtype=np.uint8)
    finite = every[np.isfinite(every.view(getattr(ml_dtypes, name)).astype(np.float32))]
    proto = floats_of_8_bits(name, np.resize(finite, (K, M)), block, rows)
    x = floats(rows, K)
    wide = np.resize(finite, (K, M)).view(getattr(ml_dtypes, name)).astype(np.float64)
    given = numpy_helper.to_array(proto.graph.initializer[0])
    factors = np.repeat(given, block, 0) if block else given
    program = import_model(proto, TARGET)
    found = compute(program, {"x": x}, kernels=True)["y"]
    limit = 1e-6 * (np.abs(x) @ np.abs(wide * factors)) + 1e-6
    assert (np.abs(found - x @ (wide * factors)) <= limit).all()
    assert products(program) == ["matmul_few_bits"]
    assert sum(c.nbytes for c in program.constants.values()) <= K * M + given.nbytes + 64


@pytest.mark.parametrize("code", [0x7C, 0x7F])
def test_floats_of_8_bits_that_are_not_finite(code: int) -> None:
    codes = RNG.integers(0, 0x70, (K, M)).astype(np.uint8)
    codes[5, 7] = code
    proto = floats_of_8_bits("float8_e5m2", codes, 32, 2)
    assert products(agree(proto, floats(2, K))) == ["matmul"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_scales_of_16_bits(dtype: str) -> None:
    """Of a model of such floats, whose products are of float32."""
    kind = {"float16": TensorProto.FLOAT16, "bfloat16": TensorProto.BFLOAT16}[dtype]
    numpy = np.float16 if dtype == "float16" else ml_dtypes.bfloat16
    given = scales(K // 32, M).astype(numpy)
    nodes = [
        N("DequantizeLinear", ["codes", "scales"], ["w"], axis=0, block_size=32),
        N("Cast", ["w"], ["wide"], to=TensorProto.FLOAT),
        N("MatMul", ["x", "wide"], ["y"]),
    ]
    proto = model(nodes, {"x": floats(3, K)}, ["y"], {"codes": S8}, opset=21)
    proto.graph.initializer.append(
        helper.make_tensor("scales", kind, given.shape, given.tobytes(), raw=True)
    )
    program = import_model(proto, TARGET)
    wide = S8 * np.repeat(given.astype(np.float32), 32, 0)
    x = floats(3, K)
    np.testing.assert_allclose(compute(program, {"x": x}, False)["y"], x @ wide, 1e-4, 1e-3)
    assert products(program) == ["matmul_few_bits"]


def test_numbers_around_a_matrix_are_zeros_or_it_is_none() -> None:
    for value, kept in ((0.0, True), (1.0, False)):
        nodes = [
            N("DequantizeLinear", ["codes", "s"], ["w"]),
            N("Pad", ["w", "pads", "value"], ["wide"]),
            N("MatMul", ["x", "wide"], ["y"]),
        ]
        weights = {"codes": S8, "s": scales(), "pads": np.array([0, 0, 16, 0])}
        weights["value"] = np.array(value, np.float32)
        proto = model(nodes, {"x": floats(3, K + 16)}, ["y"], weights, opset=21)
        found = products(agree(proto, floats(3, K + 16)))
        assert found == ["matmul_few_bits" if kept else "matmul"]


def test_what_is_no_such_matrix_becomes_floats() -> None:
    odd = scales(K, M)  # a scale for each number
    nodes = [
        N("Cast", ["codes"], ["c"], to=TensorProto.FLOAT),
        N("Mul", ["c", "scales"], ["w"]),
        N("MatMul", ["x", "w"], ["y"]),
    ]
    proto = model(nodes, {"x": floats(3, K)}, ["y"], {"codes": S8, "scales": odd})
    assert products(agree(proto, floats(3, K))) == ["matmul"]
    infinite = scales(M)
    infinite[3] = np.inf
    proto = dequantised(S8, infinite, None, axis=1)
    assert "matmul_few_bits" not in {op.node.op for op in import_graph(proto).ops}
