"""Train a small convolutional network on scikit-learn's digits and save it as ``digits.onnx``.

    pip install torch onnxscript scikit-learn
    python examples/digits/train.py

The split is the one that ``evaluate.py`` uses: a seeded, stratified fifth is held out.
"""

from __future__ import annotations

import logging
import warnings

import onnx
import torch
from evaluate import MODEL, digits
from torch import nn

EPOCHS = 60
BATCH = 64


def network() -> nn.Sequential:
    """8x8 pixels in, ten class scores out; 10,000 weights."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(128, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def train(images: torch.Tensor, labels: torch.Tensor) -> nn.Sequential:
    """Cross-entropy, AdamW, one cosine cycle."""
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    return model.eval()


def main() -> None:
    """Train, report the held-out accuracy and export."""
    torch.manual_seed(0)
    x_train, x_test, y_train, y_test = digits()
    model = train(torch.from_numpy(x_train), torch.from_numpy(y_train))
    with torch.no_grad():
        found = model(torch.from_numpy(x_test)).argmax(1).numpy()
    print(f"accuracy on {len(y_test)} held-out digits: {(found == y_test).mean():.4f}")

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")  # of the exporter, about its own innards
    program = torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        input_names=["image"],
        output_names=["scores"],
        opset_version=18,
        dynamo=True,
        verbose=False,
    )
    onnx.save(_without_traces(program.model_proto), MODEL)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about the machine it ran on."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.value_info, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


if __name__ == "__main__":
    main()
