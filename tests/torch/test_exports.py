"""The exported models have the same weights each time, and their outputs depend on their inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from bench.architectures import Network  # noqa: E402
from bench.exports import recurrent, voice  # noqa: E402


def yolo() -> Network:
    pytest.importorskip("torchvision")
    from bench.exports.detectors import yolo

    return yolo()


MAKERS = [
    recurrent.lstm_tagger, recurrent.gru_language_model, recurrent.crnn, voice.voice_detector, yolo
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_weights_are_the_same_each_time(make: Callable[[], Network]) -> None:
    first, again = (make().module.state_dict() for _ in range(2))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


def test_a_detector_finds_some_boxes() -> None:
    from bench.exports.detectors import picture

    with torch.no_grad():
        boxes = yolo().module.eval()(torch.from_numpy(picture()))
    assert boxes.shape == (300, 6)
    assert 3 < int((boxes[:, 4] > 0).sum()) < 300
