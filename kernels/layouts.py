"""Whether gradients lie in memory as their parameters do: what a routine that is given addresses takes for granted."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_traceable_wrapper_subclass_type

from fastbs.errors import BadInput

_strides = Tensor.stride  # half the time of a look-up at each tensor


class Layouts:
    """Of `parameters` that are updated together, whose gradients a routine reads in format `dtype`.

    Autograd lays a gradient out as its parameter. One that was made by hand may lie otherwise, and one of bf16 may
    belong to a parameter of fp32: those are copied.
    """

    def __init__(self, parameters: Sequence[Tensor], dtype: torch.dtype) -> None:
        self._parameters, self._dtype = parameters, dtype
        self._places = [_place(parameter) for parameter in parameters]
        # What has two dimensions can lie in two ways.
        several = [n for n, parameter in enumerate(parameters) if sum(size > 1 for size in parameter.shape) > 1]
        self._of_several = itemgetter(*several) if len(several) > 1 else itemgetter(slice(None))
        self._strides: list[tuple[int, ...]] = []
        self._others: list[int] | None = None  # numbers of gradients that must be copied; None before the first look

    def arranged(self, gradients: list[Tensor]) -> list[Tensor]:
        """The gradients, with copies of those that do not lie as their parameters.

        Looks at all of them the first time; later, for the sake of time, only when one with several dimensions has
        other strides than before.
        """
        strides = [*map(_strides, self._of_several(gradients))]
        if self._others is None or strides != self._strides:
            self._strides = strides
            self.look(gradients)
        for number in self._others or ():
            like = torch.empty_like(self._parameters[number], dtype=self._dtype)
            gradients[number] = like.copy_(gradients[number])
        return gradients

    def look(self, gradients: Sequence[Tensor]) -> bool:
        """Whether other gradients than before must be copied.

        BadInput where a parameter is not what it was at the first update.
        """
        others = []
        for number, (parameter, gradient) in enumerate(zip(self._parameters, gradients, strict=True)):
            if _place(parameter) != self._places[number]:
                raise BadInput(
                    f"parameter of shape {tuple(parameter.shape)}: changed device, format, shape or layout after the "
                    "first update; make the optimizer after that, and load its state"
                )
            if not (gradient.dtype == self._dtype and same_layout(gradient, parameter)):
                others.append(number)
        changed, self._others = others != self._others, others
        return changed


def same_layout(one: Tensor, other: Tensor) -> bool:
    """Whether equal numbers lie at equal places; where there is but one, the stride says nothing."""
    sizes = zip(one.shape, one.stride(), other.stride(), strict=True)
    return all(size == 1 or mine == theirs for size, mine, theirs in sizes)


def refuse_what_has_no_plain_layout(parameter: Tensor, gradient: Tensor | None) -> None:
    """BadInput for what torch's fused routines would update wrongly, or fail at in words of their own."""
    shape = tuple(parameter.shape)
    if is_traceable_wrapper_subclass_type(type(parameter)) or parameter.device.type == "meta":
        raise BadInput(
            f"parameter of shape {shape}: a {type(parameter).__name__} on {parameter.device} holds no numbers "
            "of its own; use torch.optim"
        )
    if gradient is not None and gradient.layout != torch.strided:
        raise BadInput(f"parameter of shape {shape}: its gradient is sparse; use torch.optim.SGD or SparseAdam")
    if not parameter.is_floating_point():
        raise BadInput(f"parameter of shape {shape}: {parameter.dtype} fits no fused routine; use torch.optim")
    if not same_layout(torch.empty_like(parameter), parameter):
        raise BadInput(f"parameter of shape {shape}: its numbers have gaps or overlaps in memory; clone() it")


def _place(parameter: Tensor) -> tuple[object, ...]:
    return parameter.device, parameter.dtype, parameter.shape, parameter.stride()
