"""A small residual net for small images, made of few modules: at batch size 1 a CPU pays for calls, not arithmetic.

A stem and two stages, 16-32-64 wide, each stage with a convolution that halves the image and a residual one.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fastbs.errors import BadInput
from fastbs.models.initialisation import initialise
from fastbs.models.normalisation import has_bias, norm_layer


class Stage(nn.Module):
    """(B, cin, H, W) -> (B, cout, H/2, W/2): a convolution with stride 2, then relu(x + norm(conv(x)))."""

    def __init__(self, cin: int, cout: int, norm: str) -> None:
        super().__init__()
        layer = norm_layer(norm)
        self.down = nn.Conv2d(cin, cout, 3, stride=2, padding=1, bias=has_bias(norm))
        self.down_norm = layer(cout)
        self.residual = nn.Conv2d(cout, cout, 3, padding=1, bias=has_bias(norm))
        self.residual_norm = layer(cout)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down_norm(self.down(x)))
        return F.relu(x + self.residual_norm(self.residual(x)))


class SmallNet(nn.Module):
    """Images (B, 3, H, W), H and W at least 2 -> logits (B, classes)."""

    def __init__(self, *, classes: int, norm: str) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=has_bias(norm))
        self.stem_norm = norm_layer(norm)(16)
        self.stage1 = Stage(16, 32, norm)
        self.stage2 = Stage(32, 64, norm)
        self.fc = nn.Linear(64, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.stem_norm(self.stem(x))), 2)
        x = self.stage2(self.stage1(x))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def small(*, classes: int, image_size: int, norm: str) -> SmallNet:
    """70,618 parameters for 10 classes with GroupNorm or BatchNorm; any `image_size` from 2 will do."""
    if image_size < 2:
        raise BadInput(f"image-size: {image_size} is too small for small; it needs at least 2")
    return SmallNet(classes=classes, norm=norm)
