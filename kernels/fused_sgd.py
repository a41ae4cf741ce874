"""torch.optim.SGD in one launch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT
from torch.optim.sgd import sgd

from fastbs.kernels.fused_update import FusedUpdate, Group
from fastbs.kernels.part import Part


class FusedSGD(FusedUpdate, torch.optim.SGD):
    """SGD with momentum, Nesterov's or not, for torch's arguments and with torch's state; see `FusedUpdate`.

    `decoupled_weight_decay` takes the decay off the weights, lr * weight_decay of them per update, as AdamW does,
    instead of adding it to the gradients. State dicts do not hold it: torch's SGD knows no such thing.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
        copies: Mapping[Tensor, Tensor] | None = None,
        statistics: bool = False,
    ) -> None:
        self.decoupled_weight_decay = decoupled_weight_decay
        torch.optim.SGD.__init__(
            self, params, lr, momentum, dampening, weight_decay, nesterov, maximize=maximize, fused=True
        )
        self._set_up(copies, statistics)

    def _form(self, group: Group) -> dict[str, object]:
        return {
            "MOMENTUM": group["momentum"] != 0,
            "NESTEROV": bool(group["nesterov"]),
            "DECOUPLED": self.decoupled_weight_decay,
        }

    def _settings_of(self, group: Group) -> list[float]:
        sign = -1.0 if group["maximize"] else 1.0
        return [group["momentum"], 1 - group["dampening"], float(group["weight_decay"]), sign]

    def _kernel(self) -> Any:
        from fastbs.kernels.sgd_kernel import sgd_kernel

        return sgd_kernel

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] else ()

    def _steps_so_far(self, parameter: Tensor) -> float:
        """0 or 1: the first update makes the average from nothing, which matters where it is dampened."""
        return float(self.state.get(parameter, {}).get("momentum_buffer") is not None)

    def _coupled_decay(self, group: Group) -> float:
        return 0.0 if self.decoupled_weight_decay else float(group["weight_decay"])

    def _call_torch(
        self, part: Part, gradients: list[Tensor], group: Group, grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        rate, decay = group["lr"], float(group["weight_decay"])
        if isinstance(rate, Tensor) and rate.device.type == "cpu":
            rate = float(rate)
        if self.decoupled_weight_decay:
            shrink = rate * decay if found_inf is None else rate * decay * (1 - found_inf)
            torch._foreach_mul_(part.parameters, 1 - shrink)
            decay = 0.0
        dampening = group["dampening"]
        if not group["momentum"] or not dampening:
            self._fused(part, gradients, group, rate, decay, 0.0, grad_scale, found_inf)
            _count(part, found_inf)
            return
        begun = [part.begun or bool(step) for step in part.steps]
        for which in {*begun}:
            chosen = [number for number, one in enumerate(begun) if one == which]
            self._fused(
                part.of(chosen),
                [gradients[number] for number in chosen],
                group,
                rate,
                decay,
                dampening if which else 0.0,
                grad_scale,
                found_inf,
            )
        _count(part, found_inf)

    def _fused(
        self,
        part: Part,
        gradients: list[Tensor],
        group: Group,
        rate: float | Tensor,
        decay: float,
        dampening: float,
        grad_scale: Tensor | None,
        found_inf: Tensor | None,
    ) -> None:
        """An average that is zero and takes all of the gradient is what torch calls a first step."""
        first = part.parameters[0]
        if first.device.type == "cpu" and first.dtype in (torch.float16, torch.bfloat16):
            # torch's fused routine gets 16 numbers and more wrong by as much as the update itself (torch 2.13).
            scaled = gradients if grad_scale is None else list(torch._foreach_div(gradients, grad_scale))
            sgd(
                part.parameters,
                scaled,
                list(part.states[0]) if part.states else [None] * len(gradients),
                foreach=True,
                weight_decay=decay,
                momentum=group["momentum"],
                lr=float(rate),
                dampening=dampening,
                nesterov=group["nesterov"],
                maximize=group["maximize"],
            )
            return
        torch._fused_sgd_(
            part.parameters,
            gradients,
            part.states[0] if part.states else [],
            weight_decay=decay,
            momentum=group["momentum"],
            lr=rate,
            dampening=dampening,
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            is_first_step=False,
            grad_scale=grad_scale,
            found_inf=found_inf,
        )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"decoupled_weight_decay": self.decoupled_weight_decay}


def _count(part: Part, found_inf: Tensor | None) -> None:
    """Note that the averages have begun, unless the update was void."""
    if part.begun:
        return
    counted = torch.ones(()) if found_inf is None else 1 - found_inf
    for step in part.steps if part.steps_as_one is None else [part.steps_as_one]:
        step.clamp_(min=counted.to(step.device))
    part.begun = found_inf is None
