"""Parameters that one call updates, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from fastbs.kernels.launch import Launch
from fastbs.kernels.layouts import Layouts


@dataclass
class Part:
    """What one call updates: parameters of one device and format; for torch's routine, of one group too."""

    parameters: list[Tensor] = field(default_factory=list)
    sources: list[Tensor] = field(default_factory=list)  # whose .grad counts: the parameters, or copies a net trains on
    states: list[list[Tensor]] = field(default_factory=list)  # a list for each state: the averages first
    copies: list[Tensor] = field(default_factory=list)  # one of each parameter, or none at all
    groups: list[int] = field(default_factory=list)
    steps: list[Tensor] = field(default_factory=list)  # updates that each parameter has had, fp32 without dimension
    steps_as_one: Tensor | None = None  # the tensor of which `steps` are views
    begun: bool = False  # for torch's routine: it is known that all steps are above zero
    launch: Launch | None = None

    @cached_property
    def layouts(self) -> Layouts:
        """For torch's routine, which wants gradients in the parameters' format."""
        return Layouts(self.parameters, self.parameters[0].dtype)

    def of(self, chosen: Iterable[int]) -> Part:
        """The parameters with these numbers, for torch's routine."""
        part = Part(states=[[] for _ in self.states])
        for number in chosen:
            part.parameters.append(self.parameters[number])
            part.sources.append(self.sources[number])
            for mine, state in zip(part.states, self.states, strict=True):
                mine.append(state[number])
            part.copies += self.copies[number : number + 1]
            part.groups.append(self.groups[number])
            part.steps.append(self.steps[number])
        return part


def on_device(number: Tensor | None, device: torch.device) -> Tensor | None:
    """As the routines read it there, fp32; a GPU is not waited for."""
    return None if number is None else number.to(device, torch.float32, non_blocking=device.type == "cuda")


def squared_norm(tensors: list[Tensor]) -> Tensor:
    """Of all numbers of all tensors (of one format), fp64; 16 bits are too few for their sum."""
    norms = torch._foreach_norm(tensors, dtype=torch.promote_types(tensors[0].dtype, torch.float32))
    return torch.stack(norms).double().square().sum()
