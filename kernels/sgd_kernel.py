"""SGD over any number of tensors in one launch.

Reads weight, gradient and momentum and writes weight and momentum: 20 bytes per fp32 number, nothing less is possible;
22 with a copy in 16 bits, 20 again where the gradient has 16 bits too.
"""

from __future__ import annotations

import triton
import triton.language as tl

from fastbs.kernels.triton_parts import (
    ALIGNED,
    COPY,
    FIRST,
    GRADIENT,
    GROUP,
    WEIGHT,
    finish,
    numbers_left,
    place,
    read,
    rounded,
    write,
)

SETTINGS = tl.constexpr(4)  # numbers per group: momentum, 1 - dampening, weight decay, 1 or (to maximize) -1


@triton.jit(do_not_specialize=["tensors"])
def sgd_kernel(
    table: tl.tensor,
    tensors: tl.tensor,
    chunks: tl.tensor,
    settings: tl.tensor,
    rates: tl.tensor,
    steps: tl.tensor,
    found_inf: tl.tensor,
    grad_scale: tl.tensor,
    clip_factor: tl.tensor,
    partials: tl.tensor,
    counter: tl.tensor,
    statistics: tl.tensor,
    GRADIENT_FORMAT: tl.constexpr,
    COPY_FORMAT: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECOUPLED: tl.constexpr,
    STATISTICS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One program per chunk. See `Launch` for what the arguments hold."""
    tensor = tl.load(chunks + 2 * tl.program_id(0)).to(tl.int64)
    first = tl.load(chunks + 2 * tl.program_id(0) + 1).to(tl.int64) * CHUNK
    column = table + tensor
    left = numbers_left(table, tensors, tensor, first, found_inf)
    group = tl.load(column + GROUP * tensors)
    setting = settings + group * SETTINGS
    rate = tl.load(tl.load(rates + group).to(tl.pointer_type(tl.float32)))
    momentum = tl.load(setting).to(tl.float32)
    taken = tl.load(setting + 1).to(tl.float32)
    decay = tl.load(setting + 2)
    factor = tl.load(setting + 3).to(tl.float32) * tl.load(clip_factor) / tl.load(grad_scale)
    kept = (1.0 - rate.to(tl.float64) * decay).to(tl.float32)
    decay = decay.to(tl.float32)
    begun = tl.load(steps + tensor) != 0

    stop = tl.minimum(left, CHUNK).to(tl.int32)
    whole = tl.where(tl.load(column + ALIGNED * tensors) != 0, stop // BLOCK * BLOCK, 0)
    of_gradients, of_averages = _update(
        column, tensors, first, 0, whole, rate, momentum, taken, decay, kept, factor, begun,
        GRADIENT_FORMAT, COPY_FORMAT, MOMENTUM, NESTEROV, DECOUPLED, STATISTICS, True, BLOCK,
    )  # fmt: skip
    rest_of_gradients, rest_of_averages = _update(
        column, tensors, first, whole, stop, rate, momentum, taken, decay, kept, factor, begun,
        GRADIENT_FORMAT, COPY_FORMAT, MOMENTUM, NESTEROV, DECOUPLED, STATISTICS, False, BLOCK,
    )  # fmt: skip
    squares = (of_gradients + rest_of_gradients, of_averages + rest_of_averages)
    finish(table, tensors, steps, found_inf, squares, partials, counter, statistics, STATISTICS, BLOCK)


@triton.jit
def _update(
    column: tl.tensor,
    tensors: tl.tensor,
    first: tl.tensor,
    start: tl.tensor,
    stop: tl.tensor,
    rate: tl.tensor,
    momentum: tl.tensor,
    taken: tl.tensor,
    decay: tl.tensor,
    kept: tl.tensor,
    factor: tl.tensor,
    begun: tl.tensor,
    GRADIENT_FORMAT: tl.constexpr,
    COPY_FORMAT: tl.constexpr,
    MOMENTUM: tl.constexpr,
    NESTEROV: tl.constexpr,
    DECOUPLED: tl.constexpr,
    STATISTICS: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Update the numbers from `start` to `stop` of a chunk that begins at `first`.

    Returns the squares of gradients and of averages, (BLOCK,) each, still to be summed. The order of the statements is
    that of `sgd_reference`, to which the result is equal bit for bit without fused multiply-adds.
    """
    weight = place(column, WEIGHT * tensors, first, tl.float32, WHOLE)
    gradient = place(column, GRADIENT * tensors, first, GRADIENT_FORMAT, WHOLE)
    average = place(column, FIRST * tensors, first, tl.float32, WHOLE)
    of_gradients, of_averages = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for block in range(start, stop, BLOCK):
        at = block + tl.arange(0, BLOCK)
        w = read(weight, at, stop, WHOLE)
        g = read(gradient, at, stop, WHOLE) * factor
        if DECOUPLED:
            w = w * kept
        else:
            g = g + w * decay
        slope = g
        if MOMENTUM:
            m = read(average, at, stop, WHOLE)
            m = tl.where(begun, m * momentum + g * taken, g)
            write(average, at, stop, m, WHOLE)
            slope = g + m * momentum if NESTEROV else m
            if STATISTICS:
                of_averages += m * m
        w = w - slope * rate
        write(weight, at, stop, w, WHOLE)
        if COPY_FORMAT is not None:
            copy = place(column, COPY * tensors, first, COPY_FORMAT, WHOLE)
            write(copy, at, stop, rounded(w, COPY_FORMAT), WHOLE)
        if STATISTICS:
            of_gradients += g * g
    return of_gradients, of_averages
