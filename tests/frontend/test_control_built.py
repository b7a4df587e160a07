"""Control flow in built libraries, which do what ONNX Runtime does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from control_models import MODELS
from onnx_models import expected

from luthier.deploy import build, load
from luthier.frontend import Library, import_model
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
