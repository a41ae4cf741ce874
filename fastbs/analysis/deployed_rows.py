"""What is left of the trained nets after their export: a row per training batch size and kind of artefact."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from fastbs.analysis.arms import MAIN
from fastbs.results.deployed import FINDINGS, DeployedNet, LatencyRow


def deployed_rows(nets: Sequence[DeployedNet]) -> list[dict[str, Any]]:
    """Rows by training batch size, kind and precision, those of main runs first; null where nothing is known.

    "exported" counts artefacts, and each of them once in "checks" and once in "latencies". Of all checks that compared
    answers, failed ones too: "top1_trained" and "top1" (fractions) are means over artefacts, "flips" their sum,
    "agreement" the part of all images without a flip, "error" the largest of any, in spreads of the trained net's
    logits, null where a logit is not finite. "evaluators" are those that occur, each with the number of its images and
    of the checks that it made; "other_images" counts checks on others than the run's. "engines" counts engines that
    ran, and those that were "built, not run".
    """
    groups: dict[tuple[str, int, str, str], list[DeployedNet]] = {}
    for net in nets:
        groups.setdefault((net.arm, net.batch_size, net.to, net.precision), []).append(net)
    return [_row(groups[key]) for key in sorted(groups, key=lambda key: (key[0] != MAIN, *key))]


def _row(nets: Sequence[DeployedNet]) -> dict[str, Any]:
    checks = [net.check for net in nets if net.check]
    compared = [check.compared for check in checks if check.compared]
    images = sum(one.images for one in compared)
    flips = sum(one.flips for one in compared)
    timed = Counter(net.latency_finding for net in nets)
    return {
        "batch_size": nets[0].batch_size,
        "arm": nets[0].arm,
        "to": nets[0].to,
        "precision": nets[0].precision,
        "exported": len(nets),
        "checks": _check_counts(nets),
        "evaluators": [
            {"name": name, "images": images, "checks": n}
            for (name, images), n in sorted(Counter(one for check in checks for one in check.evaluators).items())
        ],
        "other_images": sum(not one.same_images for one in compared),
        "engines": {
            "run": sum(check.engine == "run" for check in checks),
            "built, not run": sum(check.engine_not_run for check in checks),
        },
        "failures": [f"{net.folder}: {failure}" for net in nets if net.check for failure in net.check.failures],
        "top1_trained": _mean([one.top1_trained for one in compared]),
        "top1": _mean([one.top1 for one in compared]),
        "agreement": 1 - flips / images if compared else None,
        "flips": flips if compared else None,
        "error": _largest([one.error for one in compared]),
        "latencies": {finding: timed[finding] for finding in FINDINGS},
        "latency": _latency(row for net in nets for row in net.latency),
    }


def _check_counts(nets: Iterable[DeployedNet]) -> dict[str, int]:
    counts = Counter(net.check_finding if net.check is None else "ok" if net.check.ok else "failed" for net in nets)
    return {status: counts[status] for status in ("ok", "failed", "not made", "stale")}


def _latency(rows: Iterable[LatencyRow]) -> list[dict[str, Any]]:
    """By machine, CUDA graph and inference batch size: medians over the artefacts whose row is ok.

    "status_counts" counts all of them, "reason" is that of the first that is not ok. Each artefact's own percentiles
    are over all calls of its processes.
    """
    cells: dict[tuple[str, bool, int], list[LatencyRow]] = {}
    for row in rows:
        cells.setdefault((row.machine or "", row.cuda_graph, row.batch_size), []).append(row)
    return [
        {
            "machine": machine or None,
            "cuda_graph": graph,
            "batch_size": size,
            "status_counts": dict(Counter(row.status for row in cell)),
            "reason": next((row.reason for row in cell if row.reason), None),
            "p50_ms": median(row.p50_ms for row in cell),
            "p99_ms": median(row.p99_ms for row in cell),
            "images_per_second": median(row.images_per_second for row in cell),
        }
        for (machine, graph, size), cell in sorted(cells.items(), key=lambda item: item[0])
    ]


def median(values: Iterable[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return float(statistics.median(known)) if known else None


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


def _largest(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return max(known) if known and len(known) == len(errors) else None
