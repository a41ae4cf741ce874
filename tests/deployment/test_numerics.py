"""A net in another precision is the same net."""

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fastbs import models
from fastbs.deployment.numerics import DTYPES, fold_batch_norms, in_precision
from fastbs.worker import Unsupported


def trained_like(name, norm, side=32):
    """A net whose batch norms have statistics that matter."""
    torch.manual_seed(0)
    net = models.build(name, classes=10, image_size=side, norm=norm).eval()
    for layer in net.modules():
        if isinstance(layer, _BatchNorm):
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.uniform_(0.5, 1.5)
            layer.bias.data.normal_(0, 0.2)
    return net


@pytest.mark.parametrize(
    ("name", "side"), [("small", 32), ("resnet18", 32), ("resnet50", 64), ("inception_v3", 96)], ids=lambda x: str(x)
)
def test_folding_takes_every_batch_norm_away_and_changes_nothing_else(name, side):
    net = trained_like(name, "batch", side)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded = fold_batch_norms(net)
    assert any(isinstance(layer, _BatchNorm) for layer in net.modules())
    assert not any(isinstance(layer, _BatchNorm) for layer in folded.modules())
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        expected, got = net(images), folded(images)
    assert (expected - got).abs().max() < 1e-4 * expected.std()
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_a_net_that_cannot_be_traced_is_left_as_it_is():
    class Branching(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images):
            features = self.norm(self.conv(images))
            return features.mean((2, 3)) if features.sum() > 0 else features.amax((2, 3))

    net = Branching().eval()
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(fold_batch_norms(net)(images), net(images))


@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize(("precision", "bits"), [("fp32", 24), ("fp16", 11), ("bf16", 8)])
def test_images_and_logits_stay_fp32_and_errors_are_those_of_the_format(norm, precision, bits):
    net = trained_like("small", norm)
    images = torch.randn(16, 3, 32, 32)
    with torch.no_grad():
        expected, got = net(images), in_precision(net, precision)(images)
    assert got.dtype == torch.float32
    error = float((expected - got).abs().max() / expected.std())
    assert error < 2.0**-bits * 24, error
    assert precision == "fp32" or error > 2.0**-bits / 24, error  # it does compute in that format
    assert {p.dtype for p in in_precision(net, precision).parameters()} == {DTYPES[precision]}
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_weights_beyond_fp16_are_refused_and_fit_into_bf16():
    net = trained_like("small", "group")
    weight = next(net.parameters())
    weight.data[0, 0, 0, 0] = 1e5
    with pytest.raises(Unsupported, match=r"fp16: .*weight reaches 1e\+05, beyond 65504; use bf16 or fp32"):
        in_precision(net, "fp16")
    in_precision(net, "bf16")
