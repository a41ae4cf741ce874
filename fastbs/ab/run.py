"""`fastbs ab` as a function: open both sides, measure in turns, compare in pairs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastbs.ab.interleave import Pairs, Stop, measure_in_turns
from fastbs.ab.remote import Remote, opening_side
from fastbs.ab.worktree import checked_out
from fastbs.analysis.bench_document import bench_document
from fastbs.analysis.comparison.compare import compare
from fastbs.analysis.comparison.gate import Gate
from fastbs.analysis.comparison.options import Options
from fastbs.analysis.comparison.records import Key, Side
from fastbs.analysis.comparison.sides import make_side
from fastbs.errors import BadInput
from fastbs.results.files import dump_json
from fastbs.results.measurement_files import MeasurementFile


@dataclass(frozen=True)
class Arm:
    """One of the two: a name, a git ref ("." the working tree), and what differs from the common plan."""

    name: str
    ref: str
    settings: dict[str, Any]


def run_ab(
    arms: tuple[Arm, Arm],
    plan: dict[str, Any],
    *,
    folder: Path,
    stop: Stop,
    options: Options,
    gate: Gate,
    progress: Callable[[str], None],
) -> tuple[dict[str, Any], Pairs]:
    """The document of kind "comparison", from pairs, and the pairs. BadInput for what the user must mend.

    `plan` is that of a bench as JSON. Settings that differ between the arms are no part of what names a row, and no
    reason not to compare.
    """
    with opened(arms, plan, folder) as (base, head):
        _refuse_other_cells(base, head, arms)
        pairs = measure_in_turns(base, head, stop, progress)
        sides = tuple(side_of(remote, pairs.outcomes[index]) for index, remote in enumerate((base, head)))
    varied = {name for arm in arms for name in arm.settings}
    if varied:
        sides = tuple(_without(side, _named(varied)) for side in sides)
        options = replace(options, allow=options.allow | {"workload"})
    return compare(sides[0], sides[1], options=replace(options, paired=True), gate=gate), pairs


@contextmanager
def opened(arms: tuple[Arm, Arm], plan: dict[str, Any], folder: Path) -> Iterator[tuple[Remote, Remote]]:
    """Both sides, each in its own tree."""
    with ExitStack() as stack:
        trees = [stack.enter_context(checked_out(arm.ref, folder)) for arm in arms]
        base, head = (
            stack.enter_context(opening_side(arm.name, tree, plan | arm.settings))
            for arm, tree in zip(arms, trees, strict=True)
        )
        base.is_open()
        head.is_open()
        yield base, head


def side_of(remote: Remote, outcomes: Sequence[Sequence[dict[str, Any]]]) -> Side:
    """What a side measured, read as from a bench file."""
    opened = remote.opened
    document = bench_document(
        opened["cells"],
        outcomes,
        settings=opened["settings"],
        machine=opened["machine"],
        timed=opened["timed"],
    )
    side = make_side([MeasurementFile(remote.name, "bench", json.loads(dump_json({"fastbs": document})))])
    return replace(side, commit=remote.tree.commit, dirty=remote.tree.dirty)


def _refuse_other_cells(base: Remote, head: Remote, arms: tuple[Arm, Arm]) -> None:
    names = _named({name for arm in arms for name in arm.settings})
    rows = [
        [
            {name: value for name, value in cell["identity"].items() if name not in names}
            for cell in side.opened["cells"]
        ]
        for side in (base, head)
    ]
    if rows[0] != rows[1]:
        raise BadInput(f"{base.name} and {head.name} do not measure the same rows; name what both have")
    if any(rows[0].count(row) > 1 for row in rows[0]):
        raise BadInput("--a, --b: several values on one side; give one to each")


def _without(side: Side, names: frozenset[str]) -> Side:
    """The same rows and curves under keys without these names."""

    def unnamed(key: Key) -> Key:
        return tuple(entry for entry in key if entry[0] not in names)

    return replace(
        side,
        records=tuple(replace(record, key=unnamed(record.key)) for record in side.records),
        curves={unnamed(key): said for key, said in side.curves.items()},
    )


IDENTITY_OF = {
    "models": ("model",),
    "precisions": ("precision",),
    "loaders": ("loader", "input"),
    "steps": ("step", "backend"),
    "allocators": ("allocator",),
    "optimizer": ("optimizer",),
    "image_size": ("image_size",),
    "function": ("name",),
}


def _named(settings: set[str]) -> frozenset[str]:
    """The parts of a row's identity that settings of a plan decide."""
    return frozenset(name for setting in settings for name in IDENTITY_OF.get(setting, ()))
