"""What FusedSGD and FusedAdamW share: which tensors are updated together, by our kernel or by torch's routine."""

from __future__ import annotations

import inspect
import math
import operator
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd import _profiler_enabled  # type: ignore[attr-defined]
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from fastbs.errors import BadInput
from fastbs.kernels.availability import kernel_runs_on
from fastbs.kernels.launch import Launch
from fastbs.kernels.layouts import refuse_what_has_no_plain_layout, same_layout
from fastbs.kernels.part import Part, on_device, squared_norm
from fastbs.kernels.settings import Settings

Group = dict[str, Any]


class FusedUpdate(torch.optim.Optimizer):
    """Mixed into one of torch's optimizers: same arguments, same state, one launch for all groups on a GPU.

    fp32 parameters on a GPU with Triton are updated by our kernel; all else, and everything on a CPU, by torch's fused
    routine, called once per group. What belongs together is found at the first update, and again after
    `add_param_group`, `load_state_dict`, where a parameter has its first gradient, where `param_groups` lists others,
    and where the state has been emptied or replaced as a whole. Who replaces that of single parameters loads it with
    `load_state_dict`. A graph can be captured once one update has been made.

    `copies` maps fp32 parameters to bf16 or fp16 tensors of the same shape and strides, which every update overwrites
    with the new weights, to nearest even, in the same pass. A copy that requires a gradient is what the net trains on:
    its `.grad` is the gradient of the parameter. torch's GradScaler does not see it: set `grad_scale` and `found_inf`
    yourself then. With `statistics`, see there.

    BadInput for what torch's fused routines would update wrongly or not at all: sparse gradients, complex parameters,
    parameters with gaps or overlaps in memory, and those whose numbers lie elsewhere, as a DTensor's.
    """

    _step_supports_amp_scaling = True  # to GradScaler; torch sets it in the constructor, and a pickle loses it

    clip_factor: Tensor | None = None
    """One fp32 number on the device that all gradients are multiplied by, after unscaling; None is 1.

    As with a scale, torch's routine writes the gradients so back, and our kernel leaves them as they are.
    """
    copies: Mapping[Tensor, Tensor]
    _measures: bool
    _parts: list[Part] | None = None
    _waiting: Sequence[Tensor] = ()

    def _set_up(self, copies: Mapping[Tensor, Tensor] | None, statistics: bool) -> None:
        for parameter, copy in (copies or {}).items():
            if parameter.dtype != torch.float32 or copy.dtype not in (torch.bfloat16, torch.float16):
                raise BadInput(f"copies: {copy.dtype} of {parameter.dtype}; the kernels write bf16 or fp16 of fp32")
            if copy.shape != parameter.shape or not same_layout(copy, parameter):
                raise BadInput(f"copies: {tuple(copy.shape)} of {tuple(parameter.shape)}; shape and strides must agree")
        self.copies = dict(copies or {})
        self._measures = statistics
        self._begin()

    def _begin(self) -> None:
        self._parts = None
        self._settings: dict[torch.device, Settings] = {}
        self._forms: list[dict[str, object] | None] = []
        self._listed: list[list[Tensor]] = []
        self._held: list[tuple[Tensor, str, Tensor]] = []  # whose, name and tensor: one of each state of each part
        self._seen: set[int] = set()
        self._statistics: Tensor | None = None

    # What the rules differ in.

    @abstractmethod
    def _form(self, group: Group) -> dict[str, object] | None:
        """The constants that the kernel is compiled with for this group; None: only torch has this form."""

    @abstractmethod
    def _settings_of(self, group: Group) -> list[float]:
        """A row of the kernel's settings."""

    @abstractmethod
    def _kernel(self) -> Any: ...

    @abstractmethod
    def _state_names(self, group: Group) -> tuple[str, ...]:
        """The state tensors of a parameter that are laid out as it is; the first is the average of its gradients."""

    @abstractmethod
    def _steps_so_far(self, parameter: Tensor) -> Tensor | float: ...

    @abstractmethod
    def _call_torch(
        self, part: Part, gradients: list[Tensor], group: Group, grad_scale: Tensor | None, found_inf: Tensor | None
    ) -> None:
        """Update by torch's fused routine."""

    @abstractmethod
    def _coupled_decay(self, group: Group) -> float:
        """The weight decay that is part of the gradient."""

    # The update.

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one update; returns what `closure` returns. No host sync on a GPU.

        `grad_scale` and `found_inf`, which torch's GradScaler sets, are honoured: gradients are divided by the first,
        and nothing changes where the second is not zero.
        """
        if torch.compiler.is_compiling():
            return _step_eagerly(self, closure)
        watched = self._optimizer_step_pre_hooks or self._optimizer_step_post_hooks
        if watched or _global_optimizer_pre_hooks or _global_optimizer_post_hooks or _profiler_enabled():
            return _step_with_hooks(self) if closure is None else _step_with_hooks(self, closure)
        return self._step(closure)

    # torch wraps the step of every optimizer for profiler and hooks, for 10 us; ours looks first whether any is there.
    step.hooked = True  # type: ignore[attr-defined]

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            if self._parts is None or self._must_find_again():
                self._find_parts()
            self._update(getattr(self, "grad_scale", None), getattr(self, "found_inf", None))
        return loss

    def _must_find_again(self) -> bool:
        if [self._form(group) for group in self.param_groups] != self._forms:
            return True
        for group, listed in zip(self.param_groups, self._listed, strict=True):
            if len(group["params"]) != len(listed) or not all(map(operator.is_, group["params"], listed)):
                return True
        for parameter, name, tensor in self._held:
            if parameter not in self.state or self.state[parameter].get(name) is not tensor:
                return True
        return bool(self._waiting) and any(source.grad is not None for source in self._waiting)

    @property
    def statistics(self) -> Tensor | None:
        """(2,) fp64 on the device: |g|^2 and |m|^2 of the last update; NaN if it was void, None before the first.

        g is the gradient of all parameters as it enters the average: unscaled, clipped, with coupled weight decay. m is
        the average after the update, as it lies in the state: torch's momentum buffer is 1 / (1 - momentum) times an
        average. On a GPU they are summed in the pass of the update; torch's routine needs passes more. The kernel
        writes those of the next update to the same place: clone what is kept.
        `fastbs.analysis.running_noise_scale` tells what follows from them. None where not asked for.
        """
        return self._statistics

    @property
    def routine(self) -> str | None:
        """What updates: "kernel", "torch" (its fused routine) or "kernel and torch"; None before the first update."""
        if self._parts is None:
            return None
        return " and ".join(sorted({"torch" if part.launch is None else "kernel" for part in self._parts}))

    def refresh(self) -> None:
        """Copy changed rates and settings from `param_groups` to the device, for graphs that are replayed."""
        for settings in self._settings.values():
            settings.load([g["lr"] for g in self.param_groups], [self._settings_of(g) for g in self.param_groups])

    def zero_grad(self, set_to_none: bool = True) -> None:
        _without_compiler(torch.optim.Optimizer.zero_grad)(self, set_to_none)
        for copy in self.copies.values():
            if set_to_none:
                copy.grad = None
            elif copy.grad is not None:
                copy.grad.detach_().zero_()

    def _update(self, grad_scale: Tensor | None, found_inf: Tensor | None) -> None:
        if found_inf is not None and not isinstance(found_inf, Tensor):
            raise BadInput(
                "found_inf: GradScaler saw no gradient of this optimizer's parameters; where the gradients are those "
                "of copies, set grad_scale and found_inf without it"
            )
        self.refresh()
        measured: list[Tensor] = []
        for part in self._parts or ():
            device = part.parameters[0].device
            scale, factor, void = (on_device(number, device) for number in (grad_scale, self.clip_factor, found_inf))
            if part.launch is None:
                self._update_by_torch(part, scale, factor, void, measured)
            else:
                part.launch(self._settings[device], scale, factor, void)
                measured.append(part.launch.statistics)
        if self._measures and measured:
            one_device = measured[0].device
            summed = len(measured) > 1
            self._statistics = torch.stack([m.to(one_device) for m in measured]).sum(0) if summed else measured[0]

    def _update_by_torch(
        self,
        part: Part,
        grad_scale: Tensor | None,
        clip_factor: Tensor | None,
        found_inf: Tensor | None,
        measured: list[Tensor],
    ) -> None:
        gradients = [gradient for source in part.sources if (gradient := source.grad) is not None]
        if len(gradients) < len(part.sources):
            part = part.of(number for number, source in enumerate(part.sources) if source.grad is not None)
        if not gradients:
            measured.append(torch.zeros(2, dtype=torch.float64))
            return
        if found_inf is not None and found_inf.device.type == "cpu":
            if found_inf.item():
                measured.append(torch.full((2,), math.nan, dtype=torch.float64))
                return
            found_inf = None
        elif found_inf is not None:
            found_inf = (found_inf != 0).float()  # GradScaler adds up devices, and torch's routine looks for a 1
        gradients = part.layouts.arranged(gradients)
        if clip_factor is not None:
            grad_scale = (1.0 if grad_scale is None else grad_scale) / clip_factor
        group = self.param_groups[part.groups[0]]
        squares = self._squared_gradient(part, gradients, group, grad_scale) if self._measures else None
        self._call_torch(part, gradients, group, grad_scale, found_inf)
        if part.copies:
            torch._foreach_copy_(part.copies, part.parameters)
        if squares is not None:
            of_averages = squared_norm(part.states[0]) if part.states else torch.zeros_like(squares)
            both = torch.stack([squares, of_averages])
            measured.append(both if found_inf is None else both.where(found_inf == 0, math.nan))

    def _squared_gradient(self, part: Part, gradients: list[Tensor], group: Group, grad_scale: Tensor | None) -> Tensor:
        if grad_scale is not None:
            gradients = list(torch._foreach_mul(gradients, 1 / grad_scale))
        if decay := self._coupled_decay(group):
            sign = -1 if group["maximize"] else 1
            gradients = list(torch._foreach_add(gradients, part.parameters, alpha=sign * decay))
        return squared_norm(gradients)

    # What is updated together.

    def _find_parts(self) -> None:
        parts: dict[tuple[object, ...], Part] = {}
        waiting: list[Tensor] = []
        self._forms = [self._form(group) for group in self.param_groups]
        self._listed = [[*group["params"]] for group in self.param_groups]
        for number, group in enumerate(self.param_groups):
            for parameter in group["params"]:
                copy = self.copies.get(parameter)
                source = parameter if copy is None or not copy.requires_grad else copy
                if source.grad is None and id(parameter) not in self._seen and not self.state.get(parameter):
                    waiting.append(source)
                    continue
                self._seen.add(id(parameter))
                refuse_what_has_no_plain_layout(parameter, source.grad)
                part = parts.setdefault(self._together(number, group, parameter, source, copy), Part())
                part.parameters.append(parameter)
                part.sources.append(source)
                part.groups.append(number)
                part.copies += [] if copy is None else [copy]
        self._held = []
        for kind, part in parts.items():
            self._complete(part, by_kernel=kind[0] == "kernel")
        if not any(part.launch for part in parts.values()):
            self._settings = {}
        self._parts, self._waiting = list(parts.values()), waiting

    def _together(
        self, number: int, group: Group, parameter: Tensor, source: Tensor, copy: Tensor | None
    ) -> tuple[object, ...]:
        """Equal for what one call can update."""
        form, device = self._form(group), parameter.device
        if form is not None and parameter.dtype == torch.float32 and kernel_runs_on(device):
            return "kernel", device, source.dtype, None if copy is None else copy.dtype, *sorted(form.items())
        return "torch", number, device, parameter.dtype, copy is None

    def _complete(self, part: Part, *, by_kernel: bool) -> None:
        """Add states, steps and, for the kernel, its launch."""
        device = part.parameters[0].device
        steps = [self._steps_so_far(parameter) for parameter in part.parameters]
        part.steps_as_one = torch.stack(
            [torch.as_tensor(step, dtype=torch.float32).to(device, non_blocking=True) for step in steps]
        )
        part.steps = list(part.steps_as_one.unbind())
        names = self._state_names(self.param_groups[part.groups[0]])
        part.states = [[self._state_tensor(parameter, name) for parameter in part.parameters] for name in names]
        self._held += [(part.parameters[0], name, state[0]) for name, state in zip(names, part.states, strict=True)]
        for parameter, step in zip(part.parameters, part.steps, strict=True):
            self._keep_step(parameter, step)
        if by_kernel:
            group = self.param_groups[part.groups[0]]
            self._settings.setdefault(device, Settings(device))
            part.launch = Launch(
                self._kernel(),
                self._form(group) or {},
                part.parameters,
                part.sources,
                part.states,
                part.copies,
                part.groups,
                part.steps_as_one,
                self._measures,
            )

    def _keep_step(self, parameter: Tensor, step: Tensor) -> None:
        """Where torch keeps the number of updates in the state, make it `step`."""

    def _state_tensor(self, parameter: Tensor, name: str) -> Tensor:
        """Of the state, laid out as the parameter; zeros where there is none yet."""
        kept: Tensor | None = self.state[parameter].get(name)
        if kept is None or not same_layout(kept, parameter):
            new = torch.zeros_like(parameter) if kept is None else torch.empty_like(parameter).copy_(kept)
            self.state[parameter][name] = kept = new
        return kept

    # When the parts must be found again.

    def add_param_group(self, param_group: Group) -> None:
        _without_compiler(torch.optim.Optimizer.add_param_group)(self, param_group)
        self._parts = None

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = _without_compiler(torch.optim.Optimizer.state_dict)(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _without_compiler(torch.optim.Optimizer.load_state_dict)(self, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        own = {"copies": self.copies, "_measures": self._measures, "clip_factor": self.clip_factor}
        state: dict[str, Any] = super().__getstate__()
        return state | own

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also called by `load_state_dict`, with the groups of any optimizer of torch's that has this name."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.update(fused=True, foreach=None, differentiable=False)
        self._begin()


def _without_compiler(method: Callable[..., Any]) -> Callable[..., Any]:
    """torch shields these methods from its compiler, and imports it for that: over a second of every process.

    Where nobody has imported it, nobody compiles.
    """
    return method if "torch._dynamo" in sys.modules else inspect.unwrap(method)


# In a function that is compiled the update stays a call of its own: torch's compiler would trace it, and lose it.
_step_eagerly = torch._disable_dynamo(FusedUpdate.step)  # type: ignore[attr-defined]
_step_with_hooks = torch.optim.Optimizer.profile_hook_step(FusedUpdate._step)
