"""Which batch sizes an exported net takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fastbs.errors import BadInput

Profiles = Literal["one", "each"]


@dataclass(frozen=True)
class BatchRange:
    """Every size from `min` to `max`, tuned for `opt`; or only those of `each`, every one tuned for itself."""

    min: int
    opt: int
    max: int
    each: tuple[int, ...] = ()

    def holds(self, size: int) -> bool:
        return size in self.each if self.each else self.min <= size <= self.max

    def padded(self, size: int) -> int:
        """The smallest size it takes that has room for `size` images; `size` is at most `max`."""
        return min(each for each in self.each if each >= size) if self.each else max(size, self.min)

    def shapes(self) -> list[tuple[int, int, int]]:
        """(min, opt, max) of each optimisation profile of an engine."""
        return [(size, size, size) for size in self.each] or [(self.min, self.opt, self.max)]

    def to_try(self) -> list[int]:
        """Sizes at which an answer must be the same: the smallest, an odd one above, the one tuned for, the largest."""
        odd = self.min + 1 + self.min % 2
        return sorted(set(self.each or (self.min, min(odd, self.max), self.opt, self.max)))

    def describe(self) -> str:
        if self.each:
            return f"one profile per size: {', '.join(map(str, self.each))}"
        return f"{self.min}..{self.max}, tuned for {self.opt}" if self.min < self.max else f"{self.opt} only"

    def to_json(self) -> dict[str, Any]:
        return {"min": self.min, "opt": self.opt, "max": self.max, "each": list(self.each)}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> BatchRange:
        return cls(values["min"], values["opt"], values["max"], tuple(values["each"]))


def batch_range(sizes: Sequence[int], opt: int | None, profiles: Profiles) -> BatchRange:
    """From the sizes that are wanted. BadInput where `opt` lies outside, or cannot be because each has its profile.

    By default `opt` is the largest size up to 32: engines run every other size with what was tuned for that one.
    """
    smallest, largest = min(sizes), max(sizes)
    if smallest < 1:
        raise BadInput(f"batch-sizes: {smallest} is not a number from 1 on")
    if profiles == "each" and opt is not None:
        raise BadInput("opt: with --profiles each, every size is tuned for itself; leave one of the two out")
    if opt is None:
        opt = max([size for size in sizes if size <= 32], default=smallest)
    if not smallest <= opt <= largest:
        raise BadInput(f"opt: {opt} is outside of the batch sizes {smallest} to {largest}")
    return BatchRange(smallest, opt, largest, tuple(sorted(set(sizes))) if profiles == "each" else ())
