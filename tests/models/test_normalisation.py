from __future__ import annotations

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fastbs import models
from fastbs.models.normalisation import MOST_GROUPS, norm_layer

REFUSAL = "Expected more than 1 value per channel when training, got input size torch.Size([1, 8, 1, 1])"


@given(st.integers(1, 512))
def test_groups_divide_the_channels_and_are_at_most_eight(channels):
    layer = norm_layer("group")(channels)
    assert isinstance(layer, nn.GroupNorm)
    assert channels % layer.num_groups == 0
    assert layer.num_groups <= MOST_GROUPS


@pytest.mark.parametrize(
    ("layers", "name"),
    [
        ([nn.BatchNorm2d(4)], "batch"),
        ([nn.SyncBatchNorm(4)], "batch"),
        ([nn.GroupNorm(2, 4)], "group"),
        ([nn.LayerNorm(4)], "layer"),
        ([nn.InstanceNorm2d(4)], "instance"),
        ([nn.GroupNorm(2, 4), nn.Sequential(nn.BatchNorm2d(4))], "batch+group"),
        ([nn.Linear(4, 4)], "none"),
    ],
)
def test_norm_of_names_what_is_inside(layers, name):
    assert models.norm_of(nn.Sequential(*layers)) == name


def test_batchnorm_on_one_pixel_of_one_image_is_unsupported_with_the_reason():
    model = models.build("resnet18", classes=3, image_size=8)
    with pytest.raises(ValueError) as caught:
        model(torch.randn(1, 3, 8, 8))
    reason = models.unsupported_reason(caught.value)
    assert reason is not None
    assert re.search(r"layer input 1x\d+x1x1", reason)
    assert reason == models.unsupported_reason(ValueError(REFUSAL.replace("8", "512")))
    model(torch.randn(2, 3, 8, 8))
    models.build("resnet18", classes=3, image_size=8, norm="group")(torch.randn(1, 3, 8, 8))


@pytest.mark.parametrize("error", [ValueError("something else"), RuntimeError(REFUSAL), KeyError(1)])
def test_other_errors_are_not_unsupported(error):
    assert models.unsupported_reason(error) is None
