"""Libraries of bfloat16, float8 and int4, as users of Python, the command line and C see them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import luthier

N = helper.make_node


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [
            N("Add", ["x", "x"], ["twice"]),
            N("Cast", ["twice"], ["small"], to=TensorProto.FLOAT8E4M3FN),
            N("Transpose", ["q"], ["turned"], perm=[1, 0]),
        ],
        "few bits",
        [info("x", TensorProto.BFLOAT16, ["n", 3]), info("q", TensorProto.INT4, [2, 5])],
        [
            info("twice", TensorProto.BFLOAT16, ["n", 3]),
            info("small", TensorProto.FLOAT8E4M3FN, ["n", 3]),
            info("turned", TensorProto.INT4, [5, 2]),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


@pytest.fixture(scope="module")
def built(proto: onnx.ModelProto, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("few") / "few"
    report = luthier.build(proto, folder, log=None, shapes={"n": range(1, 5)}, threads=1)
    assert report.problems == ()
    return folder


def inputs(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n)
    return {
        "x": (rng.standard_normal((n, 3)) * 200).astype(ml_dtypes.bfloat16),
        "q": rng.integers(-8, 8, (2, 5)).astype(ml_dtypes.int4),
    }


def test_arrays_have_the_types_of_ml_dtypes(built: Path) -> None:
    with luthier.load(built) as artifact:
        for n in (1, 4, 2):
            given = inputs(n)
            found = artifact.run(given)
            twice = given["x"].astype(np.float32) * 2
            assert found["twice"].dtype == ml_dtypes.bfloat16
            assert np.array_equal(found["twice"].astype(np.float32), twice)
            assert found["small"].dtype == ml_dtypes.float8_e4m3fn
            small = np.clip(twice, -448, 448).astype(ml_dtypes.float8_e4m3fn)
            assert np.array_equal(found["small"].astype(np.float32), small.astype(np.float32))
            assert found["turned"].dtype == ml_dtypes.int4
            assert np.array_equal(found["turned"].astype(int), given["q"].astype(int).T)


def test_another_type_of_the_same_size_is_refused(built: Path) -> None:
    with luthier.load(built) as artifact:
        for dtype in (np.uint16, np.float16):
            with pytest.raises(luthier.InputError, match=r"'x' is \w+16, not bfloat16"):
                artifact.run({**inputs(1), "x": np.zeros((1, 3), dtype)})


def test_arrays_of_files_are_what_they_were(built: Path, tmp_path: Path, cli) -> None:
    """NumPy's files do not tell types that NumPy has not."""
    given = inputs(3)
    np.savez(tmp_path / "in.npz", **given)
    done = cli("run", built, "--inputs", tmp_path / "in.npz", "--outputs", tmp_path / "out.npz")
    assert done.code == 0, done.err
    assert "twice: bfloat16[3,3]" in done.out
    found = np.load(tmp_path / "out.npz")["twice"].view(ml_dtypes.bfloat16)
    assert np.array_equal(found.astype(np.float32), given["x"].astype(np.float32) * 2)


def test_they_are_checked_and_timed(built: Path, proto: onnx.ModelProto) -> None:
    assert luthier.check(built).ok
    assert luthier.check(proto, shapes={"n": (1, 4)}).ok
    assert luthier.bench(built, seconds=0.05).median > 0


def test_c_programs_see_the_types_and_bytes(built: Path, tmp_path: Path) -> None:
    source = tmp_path / "types.c"
    header = next(p.name for p in built.glob("*.h") if p.name != "luthier.h")
    name = header.removesuffix(".h")
    source.write_text(
        f"""
        #include <{header}>
        int main(void)
        {{
            const luthier_model *model = luthier_{name}();
            const luthier_tensor *in = model->inputs, *out = model->outputs;
            if (in[0].dtype != LUTHIER_BFLOAT16 || in[0].bytes != 24) return 1;
            if (in[1].dtype != LUTHIER_INT4 || in[1].bytes != 10) return 2;
            return out[1].dtype != LUTHIER_FLOAT8_E4M3FN || out[1].bytes != 12;
        }}
        """
    )
    program = tmp_path / "types"
    link = [f"-I{built}", f"-L{built}", f"-l{name}", f"-Wl,-rpath,{built}"]
    subprocess.run(["cc", str(source), *link, "-o", str(program)], check=True)
    assert subprocess.run([program], check=False).returncode == 0
