"""What the update kernels share: reading and writing part of a tensor, rounding by bits, and the last program."""

from __future__ import annotations

import triton
import triton.language as tl

from fastbs.kernels import tensor_table

WEIGHT = tl.constexpr(tensor_table.WEIGHT)
GRADIENT = tl.constexpr(tensor_table.GRADIENT)
FIRST = tl.constexpr(tensor_table.FIRST)
SECOND = tl.constexpr(tensor_table.SECOND)
COPY = tl.constexpr(tensor_table.COPY)
NUMEL = tl.constexpr(tensor_table.NUMEL)
GROUP = tl.constexpr(tensor_table.GROUP)
ALIGNED = tl.constexpr(tensor_table.ALIGNED)
ABSENT = tl.constexpr(tensor_table.ABSENT)


@triton.jit
def place(column: tl.tensor, row: tl.tensor, first: tl.tensor, FORMAT: tl.constexpr, WHOLE: tl.constexpr) -> tl.tensor:
    """Pointer to the number `first` of the tensor in this column, whose address is in this row of the table.

    What WHOLE blocks start at is said to be aligned. It must be said of a pointer that is made here: of an argument
    of an inlined function the compiler forgets it, and then loads 32 bits at a time.
    """
    pointer = (tl.load(column + row) + first * (FORMAT.primitive_bitwidth // 8)).to(tl.pointer_type(FORMAT))
    if WHOLE:
        pointer = tl.multiple_of(pointer, 16)
    return pointer


@triton.jit
def read(pointer: tl.tensor, at: tl.tensor, stop: tl.tensor, WHOLE: tl.constexpr) -> tl.tensor:
    """The numbers `at`, as fp32; zeros from `stop` on, where WHOLE blocks do not reach."""
    if WHOLE:
        return tl.load(pointer + at).to(tl.float32)
    else:
        return tl.load(pointer + at, mask=at < stop, other=0.0).to(tl.float32)


@triton.jit
def write(pointer: tl.tensor, at: tl.tensor, stop: tl.tensor, values: tl.tensor, WHOLE: tl.constexpr) -> None:
    if WHOLE:
        tl.store(pointer + at, values)
    else:
        tl.store(pointer + at, values, mask=at < stop)


@triton.jit
def rounded(values: tl.tensor, FORMAT: tl.constexpr) -> tl.tensor:
    """fp32 `values` in FORMAT, to nearest, ties to even; NaN stays NaN.

    bf16 by its bits, so that a card and Triton's interpreter (whose own conversion cuts off) do the same.
    """
    if tl.bfloat16 == FORMAT:
        bits = values.to(tl.uint32, bitcast=True)
        nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
        nearest = tl.where(values == values, nearest, 0x7FC0)
        return nearest.to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return values.to(FORMAT)


@triton.jit
def numbers_left(
    table: tl.tensor, tensors: tl.tensor, tensor: tl.tensor, first: tl.tensor, found_inf: tl.tensor
) -> tl.tensor:
    """How many numbers from `first` on are to be updated: none without a gradient, or where one overflowed."""
    numel = tl.load(table + NUMEL * tensors + tensor)
    present = tl.load(table + GRADIENT * tensors + tensor) != ABSENT
    return tl.where(present & (tl.load(found_inf) == 0), numel - first, 0)


@triton.jit
def finish(
    table: tl.tensor,
    tensors: tl.tensor,
    steps: tl.tensor,
    found_inf: tl.tensor,
    squares: tl.tensor,
    partials: tl.tensor,
    counter: tl.tensor,
    statistics: tl.tensor,
    STATISTICS: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """The program that comes last counts the update for every tensor that had a gradient, and adds up the squares.

    All others have read their step and written their sums by then: the barrier and the atomic addition order it. The
    sums are added in the order of the chunks, so that the same update gives the same statistics. A void update counts
    for no tensor and has statistics NaN. `counter` is zero again for the next launch.
    """
    program, programs = tl.program_id(0), tl.num_programs(0)
    if STATISTICS:
        tl.store(partials + program, tl.sum(squares[0]))
        tl.store(partials + programs + program, tl.sum(squares[1]))
    tl.debug_barrier()
    if tl.atomic_add(counter, 1) == programs - 1:
        live = tl.load(found_inf) == 0
        for start in range(0, tensors, BLOCK):
            at = start + tl.arange(0, BLOCK)
            gradients = tl.load(table + GRADIENT * tensors + at, mask=at < tensors, other=ABSENT)
            counted = tl.where(live, gradients, ABSENT) != ABSENT
            tl.store(steps + at, tl.load(steps + at, mask=counted, other=0.0) + 1.0, mask=counted)
        if STATISTICS:
            of_gradients = tl.zeros((BLOCK,), tl.float64)
            of_averages = tl.zeros((BLOCK,), tl.float64)
            for start in range(0, programs, BLOCK):
                at = start + tl.arange(0, BLOCK)
                inside = at < programs
                # Past the first-level cache, which does not see what other processors wrote.
                of_gradients += tl.load(partials + at, mask=inside, other=0.0, cache_modifier=".cg")
                of_averages += tl.load(partials + programs + at, mask=inside, other=0.0, cache_modifier=".cg")
            void = float("nan")
            tl.store(statistics, tl.where(live, tl.sum(of_gradients), void))
            tl.store(statistics + 1, tl.where(live, tl.sum(of_averages), void))
        tl.store(counter, 0)
