"""Whether two machine blocks are of machines whose times belong into one table."""

from __future__ import annotations

from typing import Any


def other_machine(there: dict[str, Any], here: dict[str, Any]) -> str | None:
    """What differs, in words, or None: processor, cores, cards, torch. Clocks and dirtiness change and do not count."""
    for name, path in (
        ("CPU", ("cpu", "model")),
        ("usable cores", ("cpu", "available_cores")),
        ("torch", ("software", "libraries", "torch")),
    ):
        then, now = _at(there, path), _at(here, path)
        if then != now:
            return f"{name} was {then}, is {now}"
    cards = [[device.get("name") for device in _at(block, ("gpu", "devices")) or []] for block in (there, here)]
    return f"GPUs were {cards[0]}, are {cards[1]}" if cards[0] != cards[1] else None


def _at(block: dict[str, Any], path: tuple[str, ...]) -> Any:
    value: Any = block
    for key in path:
        value = (value or {}).get(key)
    return value
