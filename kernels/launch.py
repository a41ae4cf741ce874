"""One launch of an update kernel: its tensors, where they lie, and what the kernel reads beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fastbs.errors import BadInput
from fastbs.kernels.availability import triton_format
from fastbs.kernels.settings import Settings
from fastbs.kernels.tensor_table import ABSENT, CHUNK, TensorTable

BLOCK = 1024  # numbers that a program has in its registers at a time. Not tuned on a card
WARPS = 4


class Launch:
    """Updates `parameters` (fp32, dense, on one device) with `states`, each laid out as its parameter.

    `groups` are the numbers of their parameter groups, `copies` tensors of one format with the shape of their
    parameters or None, `steps` (tensors,) fp32 the updates that each tensor has had, `form` the kernel's own constants.
    The table of addresses, the squares' partial sums and the counter of finished programs belong to the launch.
    """

    def __init__(
        self,
        kernel: Any,
        form: Mapping[str, object],
        parameters: Sequence[Tensor],
        states: Sequence[Sequence[Tensor]],
        copies: Sequence[Tensor] | None,
        groups: Sequence[int],
        steps: Tensor,
        gradient_dtype: torch.dtype,
        statistics: bool,
    ) -> None:
        device = parameters[0].device
        self._kernel, self._parameters, self._copies, self._steps = kernel, parameters, copies, steps
        self._table = TensorTable([p.numel() for p in parameters], groups, device)
        chunks = len(self._table.chunks)
        nothing = [0] * len(parameters)
        self._states = [[tensor.data_ptr() for tensor in state] for state in states] + [nothing] * (2 - len(states))
        self._nothing = nothing
        self._places = [(parameter.device, parameter.stride()) for parameter in parameters]
        self._other_layout: set[int] = set()  # numbers of gradients that were not laid out as their parameter
        self._one, self._zero = torch.ones((), device=device), torch.zeros((), device=device)
        self._partials = torch.zeros(2, chunks, device=device)
        self._counter = torch.zeros((), dtype=torch.int32, device=device)
        self.statistics = torch.zeros(2, dtype=torch.float64, device=device)  # |g|^2, |m|^2 of the last update
        self._constants = {
            "GRADIENT_FORMAT": triton_format(gradient_dtype),
            "COPY_FORMAT": triton_format(copies[0].dtype) if copies else None,
            "STATISTICS": statistics,
            **form,
        }

    def __call__(
        self,
        gradients: Sequence[Tensor | None],
        settings: Settings,
        grad_scale: Tensor | None,
        clip_factor: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """Update in place; a tensor whose gradient is None stays as it is. No host sync."""
        laid_out, addresses = self._addresses(gradients)  # a copy among them must live until the kernel has its address
        table = self._table.at(addresses)
        self._kernel[(len(self._table.chunks),)](
            table,
            len(self._parameters),
            self._table.chunks,
            settings.values,
            settings.rates,
            self._steps,
            self._zero if found_inf is None else found_inf,
            self._one if grad_scale is None else grad_scale,
            self._one if clip_factor is None else clip_factor,
            self._partials,
            self._counter,
            self.statistics,
            CHUNK=CHUNK,
            BLOCK=BLOCK,
            num_warps=WARPS,
            **self._constants,
        )

    def _addresses(self, gradients: Sequence[Tensor | None]) -> tuple[list[Tensor | None], tuple[int, ...]]:
        """The gradients, laid out as their parameters (a copy where they were not), and the rows of addresses."""
        laid_out = self._laid_out(gradients)
        addresses = self._rows(laid_out)
        if not self._table.knows(addresses):
            for number, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
                if (parameter.device, parameter.stride()) != self._places[number]:
                    raise BadInput(
                        f"parameter of shape {tuple(parameter.shape)}: changed device or layout after the first "
                        "update; make the optimizer after that, and load its state"
                    )
                if gradient is not None and gradient.stride() != parameter.stride():
                    self._other_layout.add(number)
            laid_out = self._laid_out(gradients)
            addresses = self._rows(laid_out)
        return laid_out, addresses

    def _laid_out(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        laid_out = list(gradients)
        for number in self._other_layout:
            if (gradient := gradients[number]) is not None:
                like = torch.empty_like(self._parameters[number], dtype=gradient.dtype)
                laid_out[number] = like.copy_(gradient)
        return laid_out

    def _rows(self, gradients: Sequence[Tensor | None]) -> tuple[int, ...]:
        return (
            *[parameter.data_ptr() for parameter in self._parameters],
            *[ABSENT if gradient is None else gradient.data_ptr() for gradient in gradients],
            *self._states[0],
            *self._states[1],
            *([copy.data_ptr() for copy in self._copies] if self._copies else self._nothing),
        )
