"""What differs between the sides besides their numbers, and whether they can be compared all the same."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from fastbs.analysis.comparison.machine_facts import BLOCK, FLAG
from fastbs.analysis.comparison.records import Side
from fastbs.errors import BadInput
from fastbs.results.checked import shown

WORKLOAD = "workload"  # allows all that begins with it
TIERS = ("block", "flag", "note")


def differences(base: Side, head: Side, allow: Collection[str]) -> list[dict[str, Any]]:
    """{"tier", "name", "base", "head", "allowed"} of each difference, by tier.

    "block": not comparable unless allowed by name. "flag": may explain a small change. "note": one side does not know
    it (None). What one side does not have at all, none of its rows depends on. BadInput for an unknown name in `allow`.
    """
    _refuse_unknown(allow, base, head)
    found = [*_workload(base, head), *_machine(base, head)]
    for difference in found:
        name = difference["name"]
        difference["allowed"] = name in allow or (name.startswith(f"{WORKLOAD}.") and WORKLOAD in allow)
    return sorted(found, key=lambda difference: TIERS.index(difference["tier"]))


def _workload(base: Side, head: Side) -> Iterator[dict[str, Any]]:
    for name in sorted(set(base.workload) & set(head.workload)):
        yield from _difference("block", f"{WORKLOAD}.{name}", base.workload[name], head.workload[name])


def _machine(base: Side, head: Side) -> Iterator[dict[str, Any]]:
    for name in (*BLOCK, *FLAG):
        if name in base.machine and name in head.machine:
            yield from _difference("block" if name in BLOCK else "flag", name, base.machine[name], head.machine[name])


def _difference(tier: str, name: str, base: Any, head: Any) -> Iterator[dict[str, Any]]:
    if base != head:
        yield {"tier": "note" if None in (base, head) else tier, "name": name, "base": base, "head": head}


def _refuse_unknown(allow: Collection[str], base: Side, head: Side) -> None:
    workload = [f"{WORKLOAD}.{name}" for name in sorted({*base.workload, *head.workload})]
    known = [*BLOCK, *FLAG, WORKLOAD, *workload]
    for name in sorted(allow):
        if name not in known:
            raise BadInput(f"allow: {shown(name)} is unknown; known: {', '.join(map(shown, known))}")
