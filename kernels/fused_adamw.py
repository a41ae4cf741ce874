"""torch.optim.AdamW in one launch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from fastbs.kernels.fused_update import FusedUpdate, Group
from fastbs.kernels.part import Part


class FusedAdamW(FusedUpdate, torch.optim.AdamW):
    """AdamW for torch's arguments and with torch's state; see `FusedUpdate`. amsgrad is left to torch's routine."""

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        betas: tuple[float | Tensor, float | Tensor] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        capturable: bool = False,
        copies: Mapping[Tensor, Tensor] | None = None,
        statistics: bool = False,
    ) -> None:
        torch.optim.AdamW.__init__(
            self, params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, capturable=capturable, fused=True
        )
        self._set_up(copies, statistics)

    def _form(self, group: Group) -> dict[str, object] | None:
        return None if group["amsgrad"] else {}

    def _settings_of(self, group: Group) -> list[float]:
        beta1, beta2 = map(float, group["betas"])
        sign = -1.0 if group["maximize"] else 1.0
        return [_log2(beta1), 1 - beta1, _log2(beta2), beta2, 1 - beta2, group["eps"], group["weight_decay"], sign]

    def _kernel(self) -> Any:
        from fastbs.kernels.adamw_kernel import adamw_kernel

        return adamw_kernel

    def _state_names(self, group: Group) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def _steps_so_far(self, parameter: Tensor) -> Tensor | float:
        step: Tensor | float = self.state.get(parameter, {}).get("step", 0.0)
        return step

    def _keep_step(self, parameter: Tensor, step: Tensor) -> None:
        self.state[parameter]["step"] = step

    def _coupled_decay(self, group: Group) -> float:
        return 0.0

    def _call_torch(
        self, part: Part, gradients: list[Tensor], group: Group, grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        averages, squares, *largest = part.states
        beta1, beta2 = map(float, group["betas"])
        rate = group["lr"]
        if isinstance(rate, Tensor) and rate.device.type == "cpu":
            rate = float(rate)
        counted = 1 if found_inf is None else 1 - found_inf
        if part.steps_as_one is not None:
            part.steps_as_one.add_(counted)
        else:
            torch._foreach_add_(part.steps, counted)
        torch._fused_adamw_(
            part.parameters,
            gradients,
            averages,
            squares,
            largest[0] if largest else [],
            part.steps,
            lr=rate,
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=group["maximize"],
            grad_scale=grad_scale,
            found_inf=found_inf,
        )


def _log2(beta: float) -> float:
    return math.log2(beta) if beta > 0 else -math.inf
