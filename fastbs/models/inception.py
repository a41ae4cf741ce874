"""Inception v3 (Szegedy et al. 2015, arXiv:1512.00567), the post's net: layers and parameter names as in torchvision.

Without the auxiliary head (3,326,696 of the 27,161,264 parameters that are often quoted for 1000 classes), so that the
loss is that of every other net. It starts from He's normal, as our other nets do.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastbs.errors import BadInput
from fastbs.models.initialisation import initialise
from fastbs.models.normalisation import has_bias, norm_layer

SMALLEST_IMAGE = 75  # a smaller one vanishes before the last block


class Unit(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(
        self, cin: int, cout: int, kernel: int | tuple[int, int], norm: str, *, stride: int = 1, same: bool = True
    ) -> None:
        """`same`: padded to keep the side; otherwise not padded at all."""
        super().__init__()
        padding = _half(kernel) if same else 0
        self.conv = nn.Conv2d(cin, cout, kernel, stride=stride, padding=padding, bias=has_bias(norm))
        self.bn = norm_layer(norm, eps=0.001)(cout)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class InceptionA(nn.Module):
    """(B, cin, H, W) -> (B, 224 + pooled, H, W)."""

    def __init__(self, cin: int, pooled: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.branch1x1 = unit(cin, 64, 1)
        self.branch5x5_1 = unit(cin, 48, 1)
        self.branch5x5_2 = unit(48, 64, 5)
        self.branch3x3dbl_1 = unit(cin, 64, 1)
        self.branch3x3dbl_2 = unit(64, 96, 3)
        self.branch3x3dbl_3 = unit(96, 96, 3)
        self.branch_pool = unit(cin, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch1x1(x), wide, double, self.branch_pool(_pool(x))), 1)


class InceptionB(nn.Module):
    """(B, cin, H, W) -> (B, cin + 480, (H - 1) / 2, (W - 1) / 2)."""

    def __init__(self, cin: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.branch3x3 = unit(cin, 384, 3, stride=2, same=False)
        self.branch3x3dbl_1 = unit(cin, 64, 1)
        self.branch3x3dbl_2 = unit(64, 96, 3)
        self.branch3x3dbl_3 = unit(96, 96, 3, stride=2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat((self.branch3x3(x), double, F.max_pool2d(x, 3, stride=2)), 1)


class InceptionC(nn.Module):
    """(B, cin, H, W) -> (B, 768, H, W), 7x7 fields as 1x7 and 7x1 of `width` channels."""

    def __init__(self, cin: int, width: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.branch1x1 = unit(cin, 192, 1)
        self.branch7x7_1 = unit(cin, width, 1)
        self.branch7x7_2 = unit(width, width, (1, 7))
        self.branch7x7_3 = unit(width, 192, (7, 1))
        self.branch7x7dbl_1 = unit(cin, width, 1)
        self.branch7x7dbl_2 = unit(width, width, (7, 1))
        self.branch7x7dbl_3 = unit(width, width, (1, 7))
        self.branch7x7dbl_4 = unit(width, width, (7, 1))
        self.branch7x7dbl_5 = unit(width, 192, (1, 7))
        self.branch_pool = unit(cin, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat((self.branch1x1(x), wide, double, self.branch_pool(_pool(x))), 1)


class InceptionD(nn.Module):
    """(B, cin, H, W) -> (B, cin + 512, (H - 1) / 2, (W - 1) / 2)."""

    def __init__(self, cin: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.branch3x3_1 = unit(cin, 192, 1)
        self.branch3x3_2 = unit(192, 320, 3, stride=2, same=False)
        self.branch7x7x3_1 = unit(cin, 192, 1)
        self.branch7x7x3_2 = unit(192, 192, (1, 7))
        self.branch7x7x3_3 = unit(192, 192, (7, 1))
        self.branch7x7x3_4 = unit(192, 192, 3, stride=2, same=False)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat((self.branch3x3_2(self.branch3x3_1(x)), wide, F.max_pool2d(x, 3, stride=2)), 1)


class InceptionE(nn.Module):
    """(B, cin, H, W) -> (B, 2048, H, W), 3x3 fields as 1x3 beside 3x1."""

    def __init__(self, cin: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.branch1x1 = unit(cin, 320, 1)
        self.branch3x3_1 = unit(cin, 384, 1)
        self.branch3x3_2a = unit(384, 384, (1, 3))
        self.branch3x3_2b = unit(384, 384, (3, 1))
        self.branch3x3dbl_1 = unit(cin, 448, 1)
        self.branch3x3dbl_2 = unit(448, 384, 3)
        self.branch3x3dbl_3a = unit(384, 384, (1, 3))
        self.branch3x3dbl_3b = unit(384, 384, (3, 1))
        self.branch_pool = unit(cin, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        single = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        fields = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        fields += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat((self.branch1x1(x), *fields, self.branch_pool(_pool(x))), 1)


class InceptionV3(nn.Module):
    """Images (B, 3, H, W), H and W at least 75 and usually 299 -> logits (B, classes)."""

    def __init__(self, *, classes: int, norm: str) -> None:
        super().__init__()
        unit = partial(Unit, norm=norm)
        self.Conv2d_1a_3x3 = unit(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = unit(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = unit(32, 64, 3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = unit(64, 80, 1)
        self.Conv2d_4a_3x3 = unit(80, 192, 3, same=False)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(192, 32, norm)
        self.Mixed_5c = InceptionA(256, 64, norm)
        self.Mixed_5d = InceptionA(288, 64, norm)
        self.Mixed_6a = InceptionB(288, norm)
        self.Mixed_6b = InceptionC(768, 128, norm)
        self.Mixed_6c = InceptionC(768, 160, norm)
        self.Mixed_6d = InceptionC(768, 160, norm)
        self.Mixed_6e = InceptionC(768, 192, norm)
        self.Mixed_7a = InceptionD(768, norm)
        self.Mixed_7b = InceptionE(1280, norm)
        self.Mixed_7c = InceptionE(2048, norm)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2048, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        logits: Tensor = self.fc(self.dropout(x.mean((2, 3))))
        return logits


def inception_v3(*, classes: int, image_size: int, norm: str) -> InceptionV3:
    """23,834,568 parameters for 1000 classes with BatchNorm; BadInput for images below 75 pixels."""
    if image_size < SMALLEST_IMAGE:
        raise BadInput(
            f"image-size: {image_size} is too small for inception_v3; it needs at least {SMALLEST_IMAGE}, usually 299"
        )
    return InceptionV3(classes=classes, norm=norm)


def _half(kernel: int | tuple[int, int]) -> tuple[int, int]:
    height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
    return height // 2, width // 2


def _pool(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1)
