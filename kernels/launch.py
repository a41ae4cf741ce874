"""One launch of an update kernel: its tensors, where they lie, and what the kernel reads beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fastbs.kernels.availability import triton_format
from fastbs.kernels.layouts import Layouts
from fastbs.kernels.settings import Settings
from fastbs.kernels.tensor_table import ABSENT, CHUNK, TensorTable

BLOCK = 1024  # numbers that a program has in its registers at a time. Not tuned on a card
WARPS = 4


class Launch:
    """Updates `parameters` (fp32, dense, on one device) with `states`, each laid out as its parameter.

    Gradients are those of `sources`: of the parameters, or of copies in one format. `groups` are the numbers of their
    parameter groups, `copies` tensors of one format with the shape of their parameters or None, `steps` (tensors,) fp32
    the updates that each tensor has had, `form` the kernel's own constants. The table of addresses, the squares'
    partial sums and the counter of finished programs belong to the launch.
    """

    def __init__(
        self,
        kernel: Any,
        form: Mapping[str, object],
        parameters: Sequence[Tensor],
        sources: Sequence[Tensor],
        states: Sequence[Sequence[Tensor]],
        copies: Sequence[Tensor] | None,
        groups: Sequence[int],
        steps: Tensor,
        statistics: bool,
    ) -> None:
        device, gradient_dtype = parameters[0].device, sources[0].dtype
        self._kernel, self._parameters, self._copies, self._steps = kernel, parameters, copies, steps
        self._sources = sources
        self._table = TensorTable([p.numel() for p in parameters], groups, device)
        chunks = len(self._table.chunks)
        nothing = [0] * len(parameters)
        self._states = [[tensor.data_ptr() for tensor in state] for state in states] + [nothing] * (2 - len(states))
        self._nothing = nothing
        self._layouts = Layouts(parameters, gradient_dtype)
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
        settings: Settings,
        grad_scale: Tensor | None,
        clip_factor: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """Update in place; a tensor whose gradient is None stays as it is. No host sync."""
        arranged, addresses = self._gradients()  # a copy among them must live until the kernel is queued
        with torch.cuda.device_of(self._one):  # where Triton launches
            self._kernel[(len(self._table.chunks),)](
                self._table.at(addresses),
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

    def _gradients(self) -> tuple[list[Tensor], tuple[int, ...]]:
        """Copied where they do not lie as their parameters, and the rows of addresses. What has none stands for it."""
        absent = [source.grad is None for source in self._sources]
        gradients = [source if (gradient := source.grad) is None else gradient for source in self._sources]
        arranged = self._layouts.arranged([*gradients])
        addresses = self._rows(arranged, absent)
        if not self._table.knows(addresses) and self._layouts.look(gradients):
            arranged = self._layouts.arranged([*gradients])
            addresses = self._rows(arranged, absent)
        return arranged, addresses

    def _rows(self, gradients: Sequence[Tensor], absent: Sequence[bool]) -> tuple[int, ...]:
        return (
            *[parameter.data_ptr() for parameter in self._parameters],
            *[ABSENT if none else gradient.data_ptr() for gradient, none in zip(gradients, absent, strict=True)],
            *self._states[0],
            *self._states[1],
            *([copy.data_ptr() for copy in self._copies] if self._copies else self._nothing),
        )
