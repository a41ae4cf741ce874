"""ResNet v1.5 (He et al. 2015, arXiv:1512.03385; stride in the 3x3 convolution), parameter names as in torchvision."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from fastbs.models.initialisation import initialise
from fastbs.models.normalisation import has_bias, norm_layer

SMALL_IMAGE = 64  # up to this side the stem is 3x3, stride 1, without pooling: the usual one keeps a fourth of the side


class Basic(nn.Module):
    """Two 3x3 convolutions: (B, cin, H, W) -> (B, width, H/stride, W/stride)."""

    expansion = 1

    def __init__(self, cin: int, width: int, stride: int, norm: str) -> None:
        super().__init__()
        layer = norm_layer(norm)
        self.conv1, self.bn1 = _conv(cin, width, 3, stride, norm), layer(width)
        self.conv2, self.bn2 = _conv(width, width, 3, 1, norm), layer(width)
        self.downsample = _shortcut(cin, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1: (B, cin, H, W) -> (B, 4 width, H/stride, W/stride)."""

    expansion = 4

    def __init__(self, cin: int, width: int, stride: int, norm: str) -> None:
        super().__init__()
        layer, cout = norm_layer(norm), width * self.expansion
        self.conv1, self.bn1 = _conv(cin, width, 1, 1, norm), layer(width)
        self.conv2, self.bn2 = _conv(width, width, 3, stride, norm), layer(width)
        self.conv3, self.bn3 = _conv(width, cout, 1, 1, norm), layer(cout)
        self.downsample = _shortcut(cin, cout, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Images (B, 3, H, W) -> logits (B, classes); four layers of `depths` blocks, 64 to 512 wide."""

    def __init__(
        self,
        block: type[Basic | Bottleneck],
        depths: tuple[int, int, int, int],
        classes: int,
        image_size: int,
        norm: str,
    ) -> None:
        super().__init__()
        small = image_size <= SMALL_IMAGE
        self.conv1 = _conv(3, 64, 3, 1, norm) if small else _conv(3, 64, 7, 2, norm)
        self.bn1 = norm_layer(norm)(64)
        self.maxpool = nn.Identity() if small else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _layer(block, 64, 64, depths[0], 1, norm)
        self.layer2 = _layer(block, 64 * block.expansion, 128, depths[1], 2, norm)
        self.layer3 = _layer(block, 128 * block.expansion, 256, depths[2], 2, norm)
        self.layer4 = _layer(block, 256 * block.expansion, 512, depths[3], 2, norm)
        self.fc = nn.Linear(512 * block.expansion, classes)
        last = [m.conv3 if isinstance(m, Bottleneck) else m.conv2 for m in self.modules() if isinstance(m, block)]
        initialise(self, last_of_branches=last if norm == "none" else ())

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def resnet18(*, classes: int, image_size: int, norm: str) -> ResNet:
    """11,689,512 parameters for 1000 classes above 64 pixels with BatchNorm."""
    return ResNet(Basic, (2, 2, 2, 2), classes, image_size, norm)


def resnet50(*, classes: int, image_size: int, norm: str) -> ResNet:
    """25,557,032 parameters for 1000 classes above 64 pixels with BatchNorm."""
    return ResNet(Bottleneck, (3, 4, 6, 3), classes, image_size, norm)


def _conv(cin: int, cout: int, kernel: int, stride: int, norm: str) -> nn.Conv2d:
    return nn.Conv2d(cin, cout, kernel, stride=stride, padding=kernel // 2, bias=has_bias(norm))


def _layer(block: type[Basic | Bottleneck], cin: int, width: int, depth: int, stride: int, norm: str) -> nn.Sequential:
    rest = [block(width * block.expansion, width, 1, norm) for _ in range(depth - 1)]
    return nn.Sequential(block(cin, width, stride, norm), *rest)


def _shortcut(cin: int, cout: int, stride: int, norm: str) -> nn.Module:
    if stride == 1 and cin == cout:
        return nn.Identity()
    return nn.Sequential(_conv(cin, cout, 1, stride, norm), norm_layer(norm)(cout))
