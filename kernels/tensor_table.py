"""Where the tensors of one launch lie: a table on the device, kept for every set of addresses that was seen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fastbs.errors import BadInput
from fastbs.kernels.availability import is_captured

# Rows of the table; a column is a tensor.
WEIGHT, GRADIENT, FIRST, SECOND, COPY, NUMEL, GROUP, ALIGNED = range(8)
ADDRESSES = 5  # the rows that hold addresses
ABSENT = -1  # in place of the address of a gradient that is None; an empty tensor has address 0
ALIGNMENT = 16  # bytes, for 128-bit loads
CHUNK = 8192  # numbers that one program updates: 23.8 million in 284 tensors are 3,119 chunks. Not tuned on a card
SLOTS = 16  # tables kept; gradients that are dropped and made again come back at a few sets of addresses


class TensorTable:
    """Of tensors with `sizes` numbers each, in parameter groups `groups` (one number each).

    `chunks` (number of chunks, 2) int32 on the device: tensor, and how many chunks of it come before. The tensors that
    are larger than a chunk are cut, so that a card's processors have equal loads; there is one chunk at the least.
    """

    def __init__(self, sizes: Sequence[int], groups: Sequence[int], device: torch.device) -> None:
        parts = [(tensor, part) for tensor, size in enumerate(sizes) for part in range(-(-size // CHUNK))]
        self.chunks = torch.tensor(parts or [(0, 0)], dtype=torch.int32).to(device)
        self._fixed = torch.tensor([list(sizes), list(groups)], dtype=torch.int64)
        self._where = device
        shape = (SLOTS, 8, len(sizes))
        # Pinned, because a graph that is captured copies from here at every replay.
        self._host = torch.zeros(shape, dtype=torch.int64, pin_memory=device.type == "cuda")
        self._device = torch.zeros(shape, dtype=torch.int64, device=device)
        self._slots: dict[tuple[int, ...], int] = {}  # the one looked up longest ago first
        self._arrived: set[int] = set()  # slots whose table is on the device
        self._captured: set[int] = set()  # slots that a graph reads
        self._copied: dict[int, torch.cuda.Event] = {}

    def knows(self, addresses: tuple[int, ...]) -> bool:
        return addresses in self._slots

    def at(self, addresses: tuple[int, ...]) -> Tensor:
        """The table (8, tensors) int64 on the device for these addresses: all weights, all gradients, and so on."""
        slot = self._slots.pop(addresses, None)
        if slot is None:
            slot = self._free_slot()
            self._write(slot, addresses)
        self._slots[addresses] = slot
        captured = is_captured(self._where)
        if slot not in self._arrived:
            self._device[slot].copy_(self._host[slot], non_blocking=True)
            if not captured:  # else it is copied at every replay, and not before the first
                self._arrived.add(slot)
                if self._where.type == "cuda":
                    self._copied[slot] = torch.cuda.Event()
                    self._copied[slot].record()
        if captured:
            self._keep(slot)
        return self._device[slot]

    def _keep(self, slot: int) -> None:
        """For a graph. One stays free: updates outside of graphs need it."""
        if len(self._captured | {slot}) == SLOTS:
            raise BadInput(f"{SLOTS} graphs of one optimizer, each with gradients elsewhere: {SLOTS - 1} are possible")
        self._captured.add(slot)

    def _free_slot(self) -> int:
        """An unused one, else the one looked up longest ago that no captured graph reads."""
        unused = set(range(SLOTS)) - set(self._slots.values())
        if unused:
            return unused.pop()
        return self._slots.pop(next(known for known, slot in self._slots.items() if slot not in self._captured))

    def _write(self, slot: int, addresses: tuple[int, ...]) -> None:
        if slot in self._copied and not is_captured(self._where):  # a capture begins when all is done
            self._copied[slot].synchronize()  # the last copy from this slot, SLOTS tables ago
        host = self._host[slot]
        rows = torch.tensor(addresses, dtype=torch.int64).view(ADDRESSES, -1)
        host[:ADDRESSES] = rows
        host[NUMEL : GROUP + 1] = self._fixed
        host[ALIGNED] = (rows % ALIGNMENT == 0).all(0)
        self._arrived.discard(slot)
