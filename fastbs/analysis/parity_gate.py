"""When a deployed net counts as the same net: how much each precision may change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fastbs.analysis.parity import Parity


@dataclass(frozen=True)
class ParityGate:
    """At most max(`flips`, `flip_share` of the images) other classes, no logit off by more than `error` spreads.

    The defaults per precision are this project's: a format of p bits rounds each of a few dozen layers by 2^-p (fp16
    2^-11, bf16 2^-8), and errors of that order were measured on trained nets (docs/deployment.md).
    """

    flips: int
    flip_share: float
    error: float

    def allowed_flips(self, images: int) -> int:
        return max(self.flips, int(self.flip_share * images))

    def broken_by(self, parity: Parity) -> list[str]:
        """What is not as it should be, a sentence each."""
        found = []
        if parity.not_finite:
            found.append(f"{parity.not_finite} of {parity.images} images give logits that are not finite")
        if parity.flips > (allowed := self.allowed_flips(parity.images)):
            margins = f", by margins of up to {max(parity.flip_margins):.2g} spreads" if parity.flip_margins else ""
            found.append(
                f"{parity.flips} of {parity.images} images get another class than from the trained net{margins}; "
                f"at most {allowed} may (top1 {parity.top1_reference:.4f} -> {parity.top1:.4f})"
            )
        if parity.error_max is not None and parity.error_max > self.error:
            found.append(
                f"a logit is off by {parity.error_max:.2g} of the logits' spread (99 % of them by less than "
                f"{parity.error_p99:.2g}); at most {self.error:g} may be"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


GATES = {
    "fp32": ParityGate(flips=0, flip_share=1e-4, error=1e-4),
    "fp16": ParityGate(flips=1, flip_share=1e-3, error=1e-2),
    "bf16": ParityGate(flips=2, flip_share=5e-3, error=5e-2),
}
