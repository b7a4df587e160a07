"""Train a small vision transformer on scikit-learn's digits and save it as ``model.onnx``.

    pip install torch onnxscript scikit-learn
    python tests/luthier/digits_transformer/train.py

Its tokens are the 16 squares of 2x2 pixels; the split is the one of ``examples/digits``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import torch
from torch import nn

ROOT = Path(__file__).parents[3]
MODEL = Path(__file__).with_name("model.onnx")
EPOCHS, BATCH, WIDTH, HEADS, LAYERS = 40, 64, 32, 4, 2


class Layer(nn.Module):
    """Attention and a perceptron, normalised before."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.queries, self.keys, self.values, self.merged = (
            nn.Linear(WIDTH, WIDTH) for _ in range(4)
        )
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.before(x)
        q, k, v = (
            part(y).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        )
        shares = (q @ k.transpose(2, 3) * (HEADS / WIDTH) ** 0.5).softmax(-1)
        x = x + self.merged((shares @ v).transpose(1, 2).flatten(2))
        return x + self.down(nn.functional.gelu(self.up(self.between(x))))


class Transformer(nn.Module):
    """Images [n,1,8,8] in, ten class scores out."""

    def __init__(self) -> None:
        super().__init__()
        self.squares = nn.Conv2d(1, WIDTH, 2, stride=2)
        self.places = nn.Parameter(torch.randn(16, WIDTH) * 0.1)
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.squares(image).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.layers(x)).mean(1))


def main() -> None:
    """Train, report the held-out accuracy and export."""
    sys.path.insert(0, str(ROOT / "examples" / "digits"))
    from evaluate import digits

    torch.manual_seed(0)
    torch.set_num_threads(1)
    x_train, x_test, y_train, y_test = digits()
    images, labels = torch.from_numpy(x_train), torch.from_numpy(y_train)
    model = Transformer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        schedule.step()
    with torch.no_grad():
        found = model.eval()(torch.from_numpy(x_test)).argmax(1).numpy()
    print(f"accuracy on {len(y_test)} held-out digits: {(found == y_test).mean():.4f}")
    torch.onnx.export(
        model,
        (torch.zeros(1, 1, 8, 8),),
        str(MODEL),
        input_names=["image"],
        output_names=["scores"],
        opset_version=18,
        dynamo=False,
    )
    proto = onnx.load(MODEL)
    for node in proto.graph.node:
        node.doc_string = ""
    onnx.save(proto, MODEL)


if __name__ == "__main__":
    main()
