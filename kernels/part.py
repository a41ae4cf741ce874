"""Parameters that one call updates, with all that belongs to them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fastbs.kernels.launch import Launch


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
    launch: Launch | None = None
    other_layout: bool = False  # for torch's routine: a gradient was not laid out as its parameter

    def of(self, chosen: Iterable[int]) -> Part:
        """The parameters with these numbers, for torch's routine."""
        part = Part(states=[[] for _ in self.states], other_layout=self.other_layout)
        for number in chosen:
            part.parameters.append(self.parameters[number])
            part.sources.append(self.sources[number])
            for mine, state in zip(part.states, self.states, strict=True):
                mine.append(state[number])
            part.copies += self.copies[number : number + 1]
            part.groups.append(self.groups[number])
            part.steps.append(self.steps[number])
        return part


def squared_norm(tensors: list[Tensor]) -> Tensor:
    """Of all numbers of all tensors, fp64."""
    return torch.stack(torch._foreach_norm(tensors)).double().square().sum()
