"""Rates and other settings of all parameter groups on the device, written there only when they change."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastbs.errors import BadInput
from fastbs.kernels.availability import is_captured

Rate = float | Tensor


class Settings:
    """`rates` (groups,) int64: where the learning rate of each group lies, one fp32 number on the device.

    A rate that is a tensor on the device is read where it lies, so that a captured graph sees it change; one that is a
    number, or a tensor elsewhere, is copied. `values` (groups, settings) fp64: the other settings.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._given: tuple[object, ...] = ()
        self.rates = self.values = self._copied = torch.empty(0)

    def load(self, rates: Sequence[Rate], values: Sequence[Sequence[float]]) -> None:
        """Write what differs from the last call, without waiting for the device.

        BadInput where a captured graph would write the same old numbers at every replay.
        """
        own = [isinstance(rate, Tensor) and rate.device == self._device for rate in rates]
        numbers = [0.0 if mine else float(rate) for rate, mine in zip(rates, own, strict=True)]
        where = [
            rate.data_ptr() if isinstance(rate, Tensor) and mine else 0 for rate, mine in zip(rates, own, strict=True)
        ]
        given = (numbers, where, values)
        if given == self._given:
            return
        if is_captured(self._device):
            raise BadInput(
                "lr: a setting has changed since the last update, and a capture would freeze it; call refresh() before "
                "the capture, and before each replay, or give lr as a tensor"
            )
        for rate, mine in zip(rates, own, strict=True):
            if isinstance(rate, Tensor) and mine and rate.dtype != torch.float32:
                raise BadInput(f"lr: a tensor of {rate.dtype}; the kernels read fp32: lr.float()")
        if len(numbers) != len(self.rates):
            self._copied = torch.zeros(len(numbers), device=self._device)
            self.rates = torch.zeros(len(numbers), dtype=torch.int64, device=self._device)
            self.values = torch.zeros(len(numbers), len(values[0]), dtype=torch.float64, device=self._device)
        slot = self._copied.element_size()
        addresses = [at or self._copied.data_ptr() + slot * group for group, at in enumerate(where)]
        self._write(self._copied, numbers)
        if not self._given or where != self._given[1]:
            self._write(self.rates, addresses)
        if not self._given or values != self._given[2]:
            self._write(self.values, values)
        self._given = given

    @staticmethod
    def _write(target: Tensor, numbers: Sequence[object]) -> None:
        """From pageable memory: CUDA takes the bytes before it returns, so that the next write cannot overtake."""
        target.copy_(torch.tensor(numbers, dtype=target.dtype), non_blocking=True)
