"""AdamW over any number of tensors in one launch.

Reads weight, gradient and two averages and writes all but the gradient: 28 bytes per fp32 number, nothing less is
possible; 30 with a copy in 16 bits, 28 again where the gradient has 16 bits too.
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
    SECOND,
    WEIGHT,
    finish,
    numbers_left,
    place,
    read,
    rounded,
    write,
)

# Numbers per group: log2 beta1, 1 - beta1, log2 beta2, beta2, 1 - beta2, epsilon, weight decay, 1 or (to maximize) -1
SETTINGS = tl.constexpr(8)


@triton.jit(do_not_specialize=["tensors"])
def adamw_kernel(
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
    STATISTICS: tl.constexpr,
    CHUNK: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """One program per chunk. See `Launch` for what the arguments hold.

    What all numbers of a tensor share is computed in fp64: 1 - beta^t loses in fp32 what it is about.
    """
    tensor = tl.load(chunks + 2 * tl.program_id(0)).to(tl.int64)
    first = tl.load(chunks + 2 * tl.program_id(0) + 1).to(tl.int64) * CHUNK
    column = table + tensor
    left = numbers_left(table, tensors, tensor, first, found_inf)
    group = tl.load(column + GROUP * tensors)
    setting = settings + group * SETTINGS
    rate = tl.load(tl.load(rates + group).to(tl.pointer_type(tl.float32))).to(tl.float64)
    step = (tl.load(steps + tensor) + 1.0).to(tl.float64)
    stride = (rate / (1.0 - tl.exp2(step * tl.load(setting)))).to(tl.float32)
    taken1 = tl.load(setting + 1).to(tl.float32)
    root = tl.sqrt(1.0 - tl.exp2(step * tl.load(setting + 2))).to(tl.float32)
    beta2 = tl.load(setting + 3).to(tl.float32)
    taken2 = tl.load(setting + 4).to(tl.float32)
    epsilon = tl.load(setting + 5).to(tl.float32)
    kept = (1.0 - rate * tl.load(setting + 6)).to(tl.float32)
    factor = tl.load(setting + 7).to(tl.float32) * tl.load(clip_factor) / tl.load(grad_scale)

    stop = tl.minimum(left, CHUNK).to(tl.int32)
    whole = tl.where(tl.load(column + ALIGNED * tensors) != 0, stop // BLOCK * BLOCK, 0)
    of_gradients, of_averages = _update(
        column, tensors, first, 0, whole, stride, taken1, root, beta2, taken2, epsilon, kept, factor,
        GRADIENT_FORMAT, COPY_FORMAT, STATISTICS, True, BLOCK,
    )  # fmt: skip
    rest_of_gradients, rest_of_averages = _update(
        column, tensors, first, whole, stop, stride, taken1, root, beta2, taken2, epsilon, kept, factor,
        GRADIENT_FORMAT, COPY_FORMAT, STATISTICS, False, BLOCK,
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
    stride: tl.tensor,
    taken1: tl.tensor,
    root: tl.tensor,
    beta2: tl.tensor,
    taken2: tl.tensor,
    epsilon: tl.tensor,
    kept: tl.tensor,
    factor: tl.tensor,
    GRADIENT_FORMAT: tl.constexpr,
    COPY_FORMAT: tl.constexpr,
    STATISTICS: tl.constexpr,
    WHOLE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> tl.tensor:
    """Update the numbers from `start` to `stop` of a chunk that begins at `first`.

    Returns the squares of gradients and of averages, (BLOCK,) each, still to be summed. The order of the statements is
    that of `adamw_reference`, to which the result is equal bit for bit without fused multiply-adds.
    """
    weight = place(column, WEIGHT * tensors, first, tl.float32, WHOLE)
    gradient = place(column, GRADIENT * tensors, first, GRADIENT_FORMAT, WHOLE)
    average = place(column, FIRST * tensors, first, tl.float32, WHOLE)
    square = place(column, SECOND * tensors, first, tl.float32, WHOLE)
    of_gradients, of_averages = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    for block in range(start, stop, BLOCK):
        at = block + tl.arange(0, BLOCK)
        w = read(weight, at, stop, WHOLE) * kept
        g = read(gradient, at, stop, WHOLE) * factor
        m = read(average, at, stop, WHOLE)
        m = m + (g - m) * taken1
        v = read(square, at, stop, WHOLE) * beta2 + g * g * taken2
        w = w - tl.div_rn(m * stride, tl.div_rn(tl.sqrt_rn(v), root) + epsilon)
        write(weight, at, stop, w, WHOLE)
        write(average, at, stop, m, WHOLE)
        write(square, at, stop, v, WHOLE)
        if COPY_FORMAT is not None:
            copy = place(column, COPY * tensors, first, COPY_FORMAT, WHOLE)
            write(copy, at, stop, rounded(w, COPY_FORMAT), WHOLE)
        if STATISTICS:
            of_gradients += g * g
            of_averages += m * m
    return of_gradients, of_averages
