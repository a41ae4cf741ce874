"""The ways to make one and the same weight update, each a function of parameters that hold their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fastbs.kernels import FusedAdamW, FusedSGD
from fastbs.training.compiler import why_no_compiler
from fastbs.worker import Unsupported

OptimizerName = Literal["sgd", "adamw"]
Update = Callable[[], object]
LR = 1e-3
MOMENTUM = 0.9
BETAS = (MOMENTUM, 0.999)
# Gradients are fixed, so without decay the weights would run away; with it they settle (SGD at -g / decay).
WEIGHT_DECAY = {"sgd": 5e-4, "adamw": 1e-2}


def for_loop(parameters: Sequence[nn.Parameter], optimizer: OptimizerName) -> Update:
    """One tensor after the other, several operators each."""
    return _torch_optimizer(parameters, optimizer, foreach=False).step


def foreach(parameters: Sequence[nn.Parameter], optimizer: OptimizerName) -> Update:
    """One operator after the other, each over all tensors; on a CPU this is a loop again, with worse locality."""
    return _torch_optimizer(parameters, optimizer, foreach=True).step


def fused(parameters: Sequence[nn.Parameter], optimizer: OptimizerName) -> Update:
    """All arithmetic in one operator over all tensors: what training uses."""
    return _torch_optimizer(parameters, optimizer, fused=True).step


def compiled(parameters: Sequence[nn.Parameter], optimizer: OptimizerName) -> Update:
    """The foreach step through torch.compile; the first call compiles.

    The rate is a tensor, because one that is a number is compiled in: a schedule would compile again at every update.
    SGD starts from momentum zero, which makes the same first update as none, and is not compiled a second time for it.
    Unsupported where torch's compiler cannot work.
    """
    device = parameters[0].device
    if reason := why_no_compiler(device):
        raise Unsupported(reason)
    rate = torch.tensor(LR, device=device)
    if optimizer == "adamw":
        return torch.compile(_torch_optimizer(parameters, optimizer, lr=rate, foreach=True, capturable=True).step)
    sgd = _torch_optimizer(parameters, optimizer, lr=rate, foreach=True)
    for parameter in parameters:
        sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return torch.compile(sgd.step)


def flat(parameters: Sequence[nn.Parameter], optimizer: OptimizerName) -> Update:
    """Parameters, gradients and state in one buffer each, and one fused update over them as if they were one tensor.

    Parameters and gradients become views of the buffers, with the shapes and strides that they had. Training that
    keeps it so must fill the gradients in place: a gradient that is set to None leaves its buffer.
    """
    weights, weight_views = _one_buffer([parameter.data for parameter in parameters])
    gradients, gradient_views = _one_buffer([parameter.grad for parameter in parameters if parameter.grad is not None])
    for parameter, weight, gradient in zip(parameters, weight_views, gradient_views, strict=True):
        parameter.data, parameter.grad = weight, gradient
    whole = nn.Parameter(weights)
    whole.grad = gradients
    return _torch_optimizer([whole], optimizer, fused=True).step


def ours(parameters: Sequence[nn.Parameter], optimizer: OptimizerName, *, statistics: bool = False) -> Update:
    """One launch of our kernel on a GPU; elsewhere torch's fused operator through the same front-end."""
    settings: dict[str, Any] = {"lr": LR, "weight_decay": WEIGHT_DECAY[optimizer], "statistics": statistics}
    if optimizer == "adamw":
        return FusedAdamW(parameters, betas=BETAS, **settings).step
    return FusedSGD(parameters, momentum=MOMENTUM, nesterov=True, **settings).step


IMPLEMENTATIONS: dict[str, Callable[[Sequence[nn.Parameter], OptimizerName], Update]] = {
    "for-loop": for_loop,
    "foreach": foreach,
    "fused": fused,
    "compiled": compiled,
    "flat": flat,
    "ours": ours,
    "ours-statistics": partial(ours, statistics=True),
}


def _torch_optimizer(parameters: Sequence[nn.Parameter], optimizer: OptimizerName, **how: Any) -> torch.optim.Optimizer:
    """SGD with Nesterov momentum or AdamW, one rate and one weight decay for all."""
    settings: dict[str, Any] = {"lr": LR, "weight_decay": WEIGHT_DECAY[optimizer]} | how
    if optimizer == "adamw":
        return torch.optim.AdamW(parameters, betas=BETAS, **settings)
    return torch.optim.SGD(parameters, momentum=MOMENTUM, nesterov=True, **settings)


def _one_buffer(tensors: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """A copy of all `tensors` (dense, of one dtype) as one, (sum of numel,), and the views of it in their place."""
    buffer = torch.empty(sum(tensor.numel() for tensor in tensors), dtype=tensors[0].dtype, device=tensors[0].device)
    views, offset = [], 0
    for tensor in tensors:
        views.append(buffer.as_strided(tensor.shape, tensor.stride(), offset).copy_(tensor))
        offset += tensor.numel()
    return buffer, views
