"""The hyper-parameters of a sweep in a few lines: what all sizes share, what differs, and where a rule ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHARED = {
    "optimizer": "{}",
    "momentum": "momentum {:g}",
    "beta2": "beta2 {:.6g}",
    "eps": "eps {:g}",
    "weight_decay": "weight decay {:g}",
    "warmup_images": "warm-up {:,} images",
    "schedule": "{} rate",
    "norm_momentum": "norm momentum {:g}",
    "micro_batch": "passes of {:,}",
}


def card_lines(cards: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line of what every card has alike, one of the rates and of what else differs, and one for each warning."""
    alike = {name for name in SHARED if len({card[name] for card in cards}) == 1}
    shared = [template.format(cards[0][name]) for name, template in _known(cards[0]) if name in alike]
    own = [f"{card['batch_size']}: {', '.join(_own(card, alike))}" for card in cards]
    sizes: dict[str, list[str]] = {}  # that a warning is for
    for card in cards:
        for warning in card["warnings"]:
            sizes.setdefault(warning, []).append(str(card["batch_size"]))
    warnings = [f"batch {', '.join(own)}: {warning}" for warning, own in sizes.items()]
    return [f"hyper-parameters: {', '.join(shared)}", f"rates ({cards[0]['rule']}): {' · '.join(own)}", *warnings]


def card_line(card: Mapping[str, Any]) -> str:
    """One card in a line: "sgd, lr 0.02, momentum 0.9, ..."."""
    first, *others = [template.format(card[name]) for name, template in _known(card)]
    return ", ".join([first, f"lr {card['lr']:.3g} ({card['rule']})", *others])


def _known(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    whole = card["accumulation"] == 1
    return [
        (name, template)
        for name, template in SHARED.items()
        if card[name] is not None and not (name == "micro_batch" and whole)
    ]


def _own(card: Mapping[str, Any], alike: set[str]) -> list[str]:
    return [
        f"lr {card['lr']:.3g}",
        *(template.format(card[name]) for name, template in _known(card) if name not in alike),
    ]
