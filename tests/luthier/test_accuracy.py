"""A trained model keeps its accuracy: the digits that ``examples/digits`` holds out."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import luthier

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits"


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, np.ndarray]:
    """Images and labels, split as the example does."""
    spec = importlib.util.spec_from_file_location("evaluate", EXAMPLE / "evaluate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _, images, _, labels = module.digits()
    return images, labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The digits' model, built for two threads."""
    folder = tmp_path_factory.mktemp("digits") / "digits"
    luthier.build(EXAMPLE / "digits.onnx", folder, log=None, threads=2)
    return folder


@pytest.fixture(scope="module")
def scores(held_out, folder) -> tuple[np.ndarray, np.ndarray]:
    """The library's and ONNX Runtime's."""
    images, _ = held_out
    session = onnxruntime.InferenceSession(
        EXAMPLE / "digits.onnx", providers=["CPUExecutionProvider"]
    )
    with luthier.load(folder) as artifact:
        ours = [artifact(image[None])[0] for image in images]
    theirs = [session.run(None, {"image": image[None]})[0] for image in images]
    return np.concatenate(ours), np.concatenate(theirs)


def test_every_digit_is_classified_as_by_the_original(held_out, scores):
    ours, theirs = scores
    assert len(ours) == len(held_out[0]) == 360
    np.testing.assert_array_equal(ours.argmax(axis=1), theirs.argmax(axis=1))
    assert set(ours.argmax(axis=1)) == set(range(10))


def test_scores_agree(scores):
    np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-4)
    assert scores[0].std() > 1, "the scores say something"


def test_scores_do_not_depend_on_the_number_of_threads(held_out, scores, folder):
    images, _ = held_out
    for threads in (1, 3):
        with luthier.load(folder, threads=threads) as artifact:
            again = np.concatenate([artifact(image[None])[0] for image in images])
        np.testing.assert_array_equal(again, scores[0])


def test_accuracy_is_the_original_s_and_high(held_out, scores):
    _, labels = held_out
    ours, theirs = ((s.argmax(axis=1) == labels).mean() for s in scores)
    assert ours == theirs > 0.97


@pytest.mark.slow
def test_the_example_says_the_same(held_out, scores):
    accuracy = (scores[0].argmax(axis=1) == held_out[1]).mean()
    done = subprocess.run(
        [sys.executable, EXAMPLE / "evaluate.py"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"accuracy on 360 held-out digits: {accuracy:.4f}\n"
