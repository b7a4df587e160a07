"""Build ``digits.onnx`` into a library and measure its accuracy on held-out digits.

python examples/digits/evaluate.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import luthier

MODEL = Path(__file__).with_name("digits.onnx")
Array = NDArray[Any]


def digits() -> tuple[Array, Array, Array, Array]:
    """Training images [n,1,8,8] in 0..1, held-out images, and the labels of both."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(
        images, labels, test_size=0.2, stratify=labels, random_state=0
    )
    return x_train, x_test, y_train, y_test


def main() -> None:
    """Build in a temporary folder and count the digits that the library recognises."""
    _, images, _, labels = digits()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "digits"
        luthier.build(MODEL, out)
        artifact = luthier.load(out)
        scores = [artifact.run({"image": image[None]})["scores"] for image in images]
    found = np.concatenate(scores).argmax(axis=1)
    print(f"accuracy on {len(labels)} held-out digits: {(found == labels).mean():.4f}")


if __name__ == "__main__":
    main()
