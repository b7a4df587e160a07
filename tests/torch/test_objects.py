"""Objects of PyTorch are models: right, named as in their code, and refused by their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import luthier
from luthier import ModelError, UsageError

torch = pytest.importorskip("torch", reason="needs the extra 'torch': make test-torch")
pytestmark = pytest.mark.filterwarnings("default")


class Encoder(torch.nn.Module):  # type: ignore[misc, name-defined]
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = torch.nn.Linear(8, 5), torch.nn.Dropout(0.5)

    def forward(self, x, mask=None):  # type: ignore[no-untyped-def]
        y = self.drop(self.linear(x))
        if mask is not None:
            y = y * mask
        return {"logits": y, "pooled": y.mean(1)}


class Doubled(torch.nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x):  # type: ignore[no-untyped-def]
        return x * 2, [x + 1, x - 1]


class Deciding(torch.nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x):  # type: ignore[no-untyped-def]
        if x.sum() > 0:  # the line
            return x
        return -x


class Decomposing(torch.nn.Module):  # type: ignore[misc, name-defined]
    def forward(self, x):  # type: ignore[no-untyped-def]
        return torch.linalg.svd(x)[1]  # the line


X = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(3))


def line_of(module: type) -> int:
    lines = Path(__file__).read_text().splitlines()
    start = next(i for i, text in enumerate(lines) if text.startswith(f"class {module.__name__}("))
    return next(i for i, text in enumerate(lines[start:], start + 1) if "# the line" in text)


def test_a_module_is_built_as_in_evaluation_and_left_in_training(tmp_path: Path) -> None:
    module = Encoder()
    luthier.build(module, tmp_path / "out", log=None, example_inputs=(X,))
    assert module.training
    assert module.drop.training
    with luthier.load(tmp_path / "out") as artifact:
        got = artifact.run({"x": X.numpy()})
    with torch.no_grad():
        wanted = module.eval()(X)
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value.numpy(), 1e-5, 1e-5)


def test_named_dimensions_stay_open(tmp_path: Path) -> None:
    module, mask = Encoder().eval(), torch.ones(2, 3, 5)
    shapes = {
        "x": ("batch", "words", 8),
        "mask": ("batch", "words", 5),
        "batch": range(1, 5),
        "words": range(1, 8),
    }
    examples = {"x": X, "mask": mask}
    luthier.build(module, tmp_path / "out", log=None, example_inputs=examples, shapes=shapes)
    with luthier.load(tmp_path / "out") as artifact:
        for batch, words in ((1, 1), (4, 7), (3, 2)):
            x, some = torch.randn(batch, words, 8), torch.rand(batch, words, 5)
            got = artifact.run({"x": x.numpy(), "mask": some.numpy()})
            with torch.no_grad():
                wanted = module(x, some)["logits"].numpy()
            np.testing.assert_allclose(got["logits"], wanted, 1e-5, 1e-5)


def test_results_without_keys_are_numbered(tmp_path: Path) -> None:
    luthier.build(Doubled(), tmp_path / "out", log=None, example_inputs=X)
    with luthier.load(tmp_path / "out") as artifact:
        got = artifact.run({"x": X.numpy()})
    assert list(got) == ["output_0", "output_1_0", "output_1_1"]
    np.testing.assert_array_equal(got["output_1_1"], X.numpy() - 1)


def test_exported_programs_and_onnx_programs_are_models(tmp_path: Path) -> None:
    program = torch.export.export(Doubled().eval(), (X,))
    translated = torch.onnx.export(program, dynamo=True, verbose=False)
    for number, model in enumerate((program, translated)):
        luthier.build(model, tmp_path / str(number), log=None)
        with luthier.load(tmp_path / str(number)) as artifact:
            (first, *_) = artifact.run({"x": X.numpy()}).values()
        np.testing.assert_array_equal(first, 2 * X.numpy())


def test_an_entry_point_may_be_a_module(tmp_path: Path) -> None:
    points = {
        "first": luthier.EntryPoint(Encoder(), example_inputs=(X,)),
        "second": luthier.EntryPoint(Doubled(), example_inputs=(X,)),
    }
    luthier.build(points, tmp_path / "out", log=None)
    with luthier.load(tmp_path / "out") as artifact:
        got = artifact.entry("second").run({"x": X.numpy()})
    np.testing.assert_array_equal(got["output_0"], 2 * X.numpy())


def test_what_torch_cannot_capture_is_refused_by_its_line(tmp_path: Path) -> None:
    where = rf"test_objects\.py, line {line_of(Deciding)}: if x\.sum"
    with pytest.raises(ModelError, match=where) as refused:
        luthier.build(Deciding(), tmp_path / "out", log=None, example_inputs=(X,))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_what_torch_cannot_translate_is_refused_by_its_line(tmp_path: Path) -> None:
    where = rf"_linalg_svd.*test_objects\.py, line {line_of(Decomposing)}: return torch"
    with pytest.raises(ModelError, match=where):
        luthier.build(Decomposing(), tmp_path / "out", log=None, example_inputs=(X,))


@pytest.mark.parametrize(
    ("model", "said", "why"),
    [
        (Doubled(), {}, "needs example_inputs"),
        (Doubled(), {"example_inputs": 3}, "must be a tensor, a tuple"),
        (Doubled(), {"example_inputs": (X, X)}, "do not fit the module's forward"),
        ("model.onnx", {"example_inputs": (X,)}, "are for torch modules"),
        (Doubled(), {"example_inputs": (X[:1],), "shapes": {"x": ("n", 3, 8)}}, "2 or more"),
    ],
)
def test_what_does_not_fit_is_said(model: object, said: dict, why: str, tmp_path: Path) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError, match=why):
        luthier.build(model, tmp_path / "out", log=None, **said)
