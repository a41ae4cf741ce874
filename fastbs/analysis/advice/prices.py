"""What each batch size costs until the target, measured or from the curve, for the number of images asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from fastbs.analysis.advice.curve import Curve
from fastbs.analysis.advice.limits import Costs, Limits
from fastbs.analysis.advice.material import Material, SizeFacts


@dataclass(frozen=True)
class Prices:
    """`curve` is a sentence where there is none: then only measured sizes have a price."""

    material: Material
    curve: Curve | str
    limits: Limits

    @property
    def image_factor(self) -> float:
        """Epochs to the target are taken to stay what they are with more or fewer training images."""
        return (self.limits.images or self.material.dataset["train"]) / self.material.dataset["train"]

    def measured_seconds(self, size: SizeFacts) -> float | None:
        """From its runs; on another machine from their images and the step time there."""
        if not self.material.elsewhere or size.images is None:
            return None if size.seconds is None or self.material.elsewhere else size.seconds * self.image_factor
        if not self._timed(size.batch_size):
            return None
        return size.images / size.batch_size * self.material.step_curve.seconds(size.batch_size) * self.image_factor

    def seconds(self, batch_size: float) -> float | None:
        """What the choice goes by: the curve, and where runs missed the target what that costs, if it is more."""
        size = self.material.at(int(batch_size)) if batch_size == int(batch_size) else None
        if not isinstance(self.curve, Curve):
            return self.measured_seconds(size) if size and size.reliable else None
        scale = self.curve.scale
        return None if scale is None else scale * self.weight(batch_size) * self.image_factor

    def weight(self, batch_size: float) -> float:
        """Time up to a factor, in the unit of the curve's shape."""
        if not isinstance(self.curve, Curve):
            raise ValueError("no curve")
        measured = self.measured_weights.get(int(batch_size)) if batch_size == int(batch_size) else None
        if measured is not None and not self.curve.covers(batch_size):
            return measured
        shape = self.curve.shape(batch_size)
        return shape if measured is None else max(shape, measured)

    @cached_property
    def measured_weights(self) -> dict[int, float]:
        """`weight` by measured time, of sizes that the curve does not speak for: with misses, or beyond its ends."""
        if not isinstance(self.curve, Curve) or not self.curve.scale:
            return {}
        scale = self.curve.scale * self.image_factor
        return {
            size.batch_size: seconds / scale
            for size in self.material.sizes
            if size.reliable and not self._spoken_for_whole(size)
            if (seconds := self.measured_seconds(size)) is not None
        }

    def _spoken_for_whole(self, size: SizeFacts) -> bool:
        """The curve says what it costs: it covers the size, and no run failed there."""
        return self._spoken_for(size.batch_size) and (size.all_reached or self.is_late(size))

    def is_late(self, size: SizeFacts) -> bool:
        """Its runs that missed the target only had too small a budget."""
        return isinstance(self.curve, Curve) and size.batch_size in self.curve.late

    @property
    def late_after(self) -> float | None:
        """Images after which the runs of late sizes ended without the target; None where there is none."""
        late = [size for size in self.material.sizes if self.is_late(size)]
        return max((max(size.missed_after.values()) for size in late), default=None)

    def images(self, batch_size: float) -> float | None:
        """To the target; measured where they were."""
        size = self.material.at(int(batch_size)) if batch_size == int(batch_size) else None
        if size and size.images is not None and not self.is_late(size):
            return size.images * self.image_factor
        if not isinstance(self.curve, Curve) or not self.curve.covers(batch_size):
            return None
        found = self.curve.images(batch_size)
        return None if found is None else found * self.image_factor

    def _spoken_for(self, batch_size: float) -> bool:
        return isinstance(self.curve, Curve) and self.curve.covers(batch_size)

    def _timed(self, batch_size: float) -> bool:
        return min(self.material.step_means) <= batch_size <= max(self.material.step_means)

    def costs(self, batch_size: float) -> Costs:
        images, joules = self.images(batch_size), self.material.joules_per_image(batch_size)
        return Costs(
            seconds=self.seconds(batch_size),
            memory_bytes=self.material.memory(batch_size),
            joules=None if images is None or joules is None else images * joules,
        )

    @cached_property
    def candidates(self) -> Sequence[int]:
        """Sizes that may be recommended: measured ones to count on, and on the curve powers of two between such."""
        measured = {size.batch_size for size in self.material.sizes if size.reliable and not self.is_late(size)}
        measured = {size for size in measured if self.seconds(size) is not None or self._spoken_for(size)}
        if not isinstance(self.curve, Curve):
            return sorted(measured)
        timed = {size.batch_size for size in self.material.sizes if size.steps}
        powers = {2**k for k in range(int(self.curve.largest).bit_length())}
        return sorted({*filter(self._accumulates, measured), *filter(self.may_be_used, timed | powers)})

    def may_be_used(self, batch_size: int) -> bool:
        """The curve speaks for it, nothing failed beside it, and it is a multiple of the micro-batch."""
        return self._spoken_for(batch_size) and not self._beside_a_failure(batch_size) and self._accumulates(batch_size)

    def _beside_a_failure(self, batch_size: int) -> bool:
        """It failed, or an untried one has a neighbour where some runs did."""
        own = self.material.at(batch_size)
        if own and (own.trainings or self.broken(own)):
            return self.broken(own)
        tried = [size for size in self.material.trained if size.trainings or self.broken(size)]
        below = max((s for s in tried if s.batch_size < batch_size), key=lambda s: s.batch_size, default=None)
        above = min((s for s in tried if s.batch_size > batch_size), key=lambda s: s.batch_size, default=None)
        alone = not any(size.reliable for size in tried)
        whole = [size.all_reached or self.is_late(size) or alone for size in (below, above) if size]
        return not all(whole) or any(size and self.broken(size) for size in (below, above))

    def broken(self, size: SizeFacts) -> bool:
        """Tried, and not to be counted on; where no size reached the target that alone is held against none."""
        if self.is_late(size):
            return False
        if any(other.reliable for other in self.material.sizes):
            return size.failed
        return size.failed and size.status not in ("ok", "missed")

    def _accumulates(self, batch_size: int) -> bool:
        micro = self.material.requested.run.micro_batch
        return micro is None or batch_size <= micro or batch_size % micro == 0
