"""Control flow in built libraries, which do what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_models import MODELS, OPEN_MODELS
from onnx_models import expected
from sized_models import inputs_at, sizes_of

from luthier.deploy import build, load
from luthier.frontend import Library, import_entry, import_model
from luthier.schedules import Target

HOST = Target("x86-64-v2", "x86-64-v2", 2)


@pytest.mark.parametrize("name", MODELS)
def test_a_library_does_what_its_model_does(name: str, tmp_path: Path) -> None:
    made, runs = MODELS[name]
    build(Library.of(import_model(made, HOST)), tmp_path / "built", HOST, {})
    with load(tmp_path / "built", threads=2) as artifact:
        for run in (*runs, *runs):  # nothing is left of the run before
            inputs = {i.name: run[i.name] for i in made.graph.input}
            wanted = expected(made, inputs)
            ours = artifact.run(inputs)
            assert list(ours) == list(wanted)
            for output, want in wanted.items():
                assert (ours[output].shape, ours[output].dtype) == (want.shape, want.dtype)
                np.testing.assert_allclose(ours[output], want, 1e-5, 1e-5, err_msg=output)
            profile = artifact.profile(inputs)
            assert len(profile) == len(artifact.manifest.steps)


@pytest.mark.parametrize("name", OPEN_MODELS)
def test_a_library_does_what_its_model_does_at_all_sizes(name: str, tmp_path: Path) -> None:
    made, shapes = OPEN_MODELS[name], {"rows": range(1, 38)}
    entry = import_entry(made, HOST, {**shapes, **({"steps": "1..9"} if "scan" in name else {})})
    build(Library("open", {"run": entry}), tmp_path / "built", HOST, {})
    with load(tmp_path / "built", threads=2) as artifact:
        for sizes in sizes_of(entry, 8, seed=5):
            program = entry.variant(sizes)
            assert program is not None
            inputs = inputs_at(program, sizes)
            wanted, ours = expected(made, inputs), artifact.run(inputs)
            assert list(ours) == list(wanted)
            for output, want in wanted.items():
                assert (ours[output].shape, ours[output].dtype) == (want.shape, want.dtype)
                np.testing.assert_allclose(ours[output], want, 1e-4, 1e-5, err_msg=str(sizes))
