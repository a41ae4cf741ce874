"""A net in another precision is the same net."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from fastbs import models
from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.folding import fold_batch_norms
from fastbs.deployment.numerics import DTYPES, in_precision
from fastbs.worker import Unsupported

SIZES = BatchRange(1, 8, 16)


def batch_norms(module):
    """In the graph that torch.export makes, where timm's own class of batch norm is one too."""
    return sum(node.target is torch.ops.aten.batch_norm.default for node in module.graph.nodes)


class Shared(nn.Module):
    """One convolution with its batch norm, used twice."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3))

    def forward(self, images):
        return self.block(self.block(images).relu()).flatten(1)


class NormAct(nn.BatchNorm2d):
    """As timm's: a batch norm that calls the function itself, and an activation."""

    def forward(self, features):
        return F.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias, False).relu()


class OwnClass(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 3, bias=False), NormAct(4), nn.Flatten())


class NormFirst(nn.Module):
    """A batch norm before its convolution, and one whose convolution feeds another layer too."""

    def __init__(self):
        super().__init__()
        self.first, self.conv, self.norm = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, bias=False), nn.BatchNorm2d(3)

    def forward(self, images):
        features = self.conv(self.first(images))
        return (self.norm(features) + features).flatten(1)


def unsettled(net):
    """`net` with batch norms whose statistics matter."""
    torch.manual_seed(0)
    for layer in net.eval().modules():
        if isinstance(layer, _BatchNorm):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
    return net


def trained_like(name, norm, side=32):
    torch.manual_seed(0)
    return unsettled(models.build(name, classes=10, image_size=side, norm=norm))


@pytest.mark.parametrize(
    ("name", "side", "left"),
    [
        ("small", 32, 0),
        ("resnet18", 32, 0),
        ("resnet50", 64, 0),
        ("inception_v3", 96, 0),
        (OwnClass, 16, 0),
        (Shared, 16, 0),
        (NormFirst, 16, 2),
    ],
    ids=str,
)
def test_folding_takes_batch_norms_away_and_changes_nothing_else(name, side, left):
    net = unsettled(name()) if isinstance(name, type) else trained_like(name, "batch", side)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded = fold_batch_norms(net, side, SIZES)
    assert any(isinstance(layer, _BatchNorm) for layer in net.modules())
    assert batch_norms(folded) == left
    for size in (1, 2, 5):
        images = torch.randn(size, 3, side, side)
        with torch.no_grad():
            expected, got = net(images), folded(images)
        assert (expected - got).abs().max() < 1e-4 * expected.std()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_net_that_cannot_be_traced_is_unsupported():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images):
            features = self.norm(self.conv(images))
            return features.mean((2, 3)) if features.sum() > 0 else features.amax((2, 3))

    with pytest.raises(Unsupported, match="torch.export cannot follow the net: "):
        in_precision(Branching().eval(), "fp32", 8, SIZES)


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize(("precision", "bits"), [("fp32", 24), ("fp16", 11), ("bf16", 8)])
def test_images_and_logits_stay_fp32_and_errors_are_those_of_the_format(norm, precision, bits):
    net = trained_like("small", norm)
    images = torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        expected, got = net(images), in_precision(net, precision, 32, SIZES)(images)
    assert got.dtype == torch.float32
    error = float((expected - got).abs().max() / expected.std())
    assert error < 2.0**-bits * 24, error
    assert precision == "fp32" or error > 2.0**-bits / 24, error  # it does compute in that format
    assert {p.dtype for p in in_precision(net, precision, 32, SIZES).parameters()} == {DTYPES[precision]}
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_weights_beyond_fp16_are_refused_and_fit_into_bf16():
    net = trained_like("small", "group")
    weight = next(net.parameters())
    weight.data[0, 0, 0, 0] = 1e5
    with pytest.raises(Unsupported, match=r"fp16: .*weight reaches 1e\+05, beyond 65504; use bf16 or fp32"):
        in_precision(net, "fp16", 32, SIZES)
    in_precision(net, "bf16", 32, SIZES)


def test_weights_that_are_not_finite_are_refused_in_every_precision():
    net = trained_like("small", "group")
    next(net.parameters()).data[0, 0, 0, 0] = float("nan")
    for precision in DTYPES:
        with pytest.raises(Unsupported, match="weight of the trained net is not finite"):
            in_precision(net, precision, 32, SIZES)
