"""The parameters of a net, or as many in one tensor, with gradients: what an optimizer sees of it."""

from __future__ import annotations

import torch
from torch import nn

from fastbs import models
from fastbs.kernels.inputs import filled
from fastbs.training.resolve import LARGE_IMAGE, OWN_SIZE, SMALL_IMAGE

ONE_TENSOR = "flat"  # as many parameters as ONE_TENSOR_OF has, in a single tensor
ONE_TENSOR_OF = "inception_v3"
PARAMETER_LISTS: tuple[str, ...] = ("inception_v3", "resnet50", "small", ONE_TENSOR)


def parameter_list(name: str, device: torch.device) -> list[nn.Parameter]:
    """fp32 parameters on the device, laid out as training has them (channels_last), each with a gradient.

    `name` is "flat" or any net that `models.build` knows. Values are standard normal, from torch's global generator.
    The net has the classes of photographs (1000), or of small images (10) where it is made for those.
    """
    if name == ONE_TENSOR:
        count = sum(like.numel() for like in _of_net(ONE_TENSOR_OF))
        return [filled(torch.empty(count, device="meta"), device)]
    return [filled(like, device) for like in _of_net(name)]


def _of_net(name: str) -> list[nn.Parameter]:
    """Shapes and strides only: the net is built without memory for its weights."""
    image_size = OWN_SIZE.get(name, LARGE_IMAGE)
    with torch.device("meta"):
        net = models.build(name, classes=10 if image_size <= SMALL_IMAGE else 1000, image_size=image_size)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return [parameter for parameter in net.parameters() if parameter.requires_grad]
