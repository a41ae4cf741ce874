"""Measure cells in fresh processes, round after round, in an order of its own for each round."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from fastbs import worker
from fastbs.bench.cells import Cell
from fastbs.errors import BadInput


def measure_rounds(
    cells: Sequence[Cell], rounds: int, done: Callable[[Cell, worker.Outcome], None]
) -> list[list[dict[str, Any]]]:
    """What became of each cell: [{"process": round, "status", "reason", "value": sample or None}, ...].

    A round is one fresh process per cell, in random order, so that a machine that slows down favours no row. A cell
    that did not end ok is not tried again in later rounds. BadInput ends everything: it is the user's to mend.
    """
    outcomes: list[list[dict[str, Any]]] = [[] for _ in cells]
    for number in range(rounds):
        left = [index for index, before in enumerate(outcomes) if all(o["status"] == "ok" for o in before)]
        random.Random(number).shuffle(left)
        for index in left:
            outcome = measure_once(cells[index], number)
            outcomes[index].append(as_process(outcome, number))
            done(cells[index], outcome)
    return outcomes


def measure_once(cell: Cell, number: int) -> worker.Outcome:
    """One fresh process for `cell`, with the seed of that round. BadInput is the user's to mend."""
    cell = cell.in_round(number)
    outcome = worker.call(cell.target, cell.arguments, threads=cell.threads, env=cell.env)
    if outcome.bad_input:
        raise BadInput(outcome.reason or "")
    return outcome


def as_process(outcome: worker.Outcome, number: int) -> dict[str, Any]:
    """As `bench_document` takes it."""
    return {"process": number, "status": outcome.status, "reason": outcome.reason, "value": outcome.value}
