"""The summary of a sweep folder, finished or not."""

from __future__ import annotations

from typing import Any

from fastbs.analysis.card import make_card
from fastbs.analysis.deployed_rows import deployed_rows
from fastbs.analysis.summary import summarize
from fastbs.config import SweepConfig
from fastbs.errors import BadInput
from fastbs.results.deployed import deployed_nets
from fastbs.results.files import read_json
from fastbs.results.sweep_folder import SweepFolder


def summarize_folder(folder: SweepFolder) -> dict[str, Any]:
    """The document of summary.json from the runs that have ended so far; BadInput where no sweep is.

    "deployed" is there once a run has been exported.
    """
    if not folder.document.exists():
        found = "its sweep is not planned yet" if folder.lock.exists() else "holds no sweep of fastbs"
        raise BadInput(f"{folder.path}: {found}")
    plan = read_json(folder.document, "sweep-plan")
    try:
        summary = summarize(
            config=plan["resolved"],
            dataset=plan["dataset"],
            machine=plan["machine"],
            runs=list(folder.records()),
            planned=[(run["arm"], run["config"]["batch_size"], run["config"]["seed"]) for run in plan["runs"]],
        )
        config = SweepConfig.from_json(plan["resolved"])
        cards = [make_card(config, size, plan["norm"]).to_json() for size in config.batch_sizes]
        for card, search in zip(cards, plan.get("tuning", []), strict=False):
            if not search["interior"]:
                card["warnings"].append("under-tuned: the best of its rates lies at the end of the grid")
        deployed = deployed_rows(deployed_nets(folder))
        return summary | {
            "norm": plan["norm"],
            "parameters": plan["parameters"],
            "cards": cards,
            "tuning": plan.get("tuning", []),
            **({"deployed": deployed} if deployed else {}),
        }
    except KeyError as error:
        raise BadInput(f"{folder.document}: damaged, {error} is missing; start anew with another --out") from error
