"""Which batch size at inference: the largest whose 99th percentile of latency keeps a limit."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

from fastbs.analysis.deployed_rows import median
from fastbs.results.deployed import DeployedNet, LatencyRow

FINE, NONE_WITHIN, TOO_LITTLE = 0, 1, 4  # exit codes


def advise_inference(nets: Sequence[DeployedNet], limit: float, sweep: str, run: str) -> dict[str, Any]:
    """What keeps p99 within `limit` seconds, for each kind of artefact (format and precision) of a sweep.

    The training batch size plays no part: the exported net has the same layers and shapes whatever it was, so the
    artefacts of all runs count alike. Only those count whose check is ok, and an engine only if it is the engine that
    was run. "p99_ms" is the largest of these artefacts, "images_per_second" their median; a size that one of them could
    not be measured at keeps no limit. `sweep` and `run` (one of its runs) are folders, for commands.

    "exit_code" is 0 where a size of some kind is within, 1 where none that was measured is or none passed its check, 4
    where nothing is known. "next" has the commands that would tell of what is not. "best" gives most images/s of all
    that is within, null where nothing is.
    """
    kinds: dict[tuple[str, str], list[DeployedNet]] = {}
    for net in nets:
        kinds.setdefault((net.to, net.precision), []).append(net)
    found = [row for kind in sorted(kinds) for row in _of_kind(kinds[kind], 1e3 * limit, sweep)]
    within = [row for row in found if row["within"]]
    known = any(row["least"] for row in found) or (nets and all(row["failed"] == row["exported"] for row in found))
    commands = [row["next"] for row in found if row["next"]]
    return {
        "limit_ms": 1e3 * limit,
        "exit_code": FINE if within else NONE_WITHIN if known else TOO_LITTLE,
        "best": _best(within),
        "kinds": found,
        "next": list(dict.fromkeys(commands)) if commands or known else _from_nothing(sweep, run),
    }


def _best(within: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    best = max(within, key=lambda row: row["fastest"]["images_per_second"], default=None)
    return best and {key: best[key] for key in ("to", "precision", "machine", "cuda_graph")} | best["fastest"]


def _of_kind(nets: Sequence[DeployedNet], limit_ms: float, sweep: str) -> list[dict[str, Any]]:
    """One row for each machine and use of CUDA graphs that good artefacts were measured with; else one that says why
    there is none."""
    good = [net for net in nets if net.check and net.check.ok and not net.check.engine_not_run]
    row = {
        "to": nets[0].to,
        "precision": nets[0].precision,
        "exported": len(nets),
        "ok": len(good),
        "failed": sum(net.check is not None and not net.check.ok for net in nets),
    }
    ways: dict[tuple[str, bool], dict[int, list[LatencyRow]]] = {}
    for net in good:
        for one in net.latency:
            ways.setdefault((one.machine or "", one.cuda_graph), {}).setdefault(one.batch_size, []).append(one)
    timed = {way: timed for way, sizes in ways.items() if (timed := _timed(sizes))}
    if not timed:
        return [row | _way(None, False, {}, limit_ms) | _missing(nets, good, sweep)]
    return [
        row | _way(machine or None, graph, sizes, limit_ms) | {"missing": None, "next": None}
        for (machine, graph), sizes in sorted(timed.items())
    ]


def _timed(sizes: dict[int, list[LatencyRow]]) -> dict[int, dict[str, Any]]:
    """By inference batch size, those that every artefact could be measured at."""
    return {
        size: {
            "batch_size": size,
            "artefacts": len(rows),
            "p99_ms": max(row.p99_ms for row in rows if row.p99_ms is not None),
            "images_per_second": median(row.images_per_second for row in rows),
        }
        for size, rows in sorted(sizes.items())
        if all(row.status == "ok" for row in rows)
    }


def _way(machine: str | None, graph: bool, sizes: dict[int, dict[str, Any]], limit_ms: float) -> dict[str, Any]:
    """Of the sizes that keep the limit, "within" is the largest and "fastest" the one with most images/s; "least" has
    the least p99 of all. Null where there is none."""
    kept = [one for one in sizes.values() if one["p99_ms"] <= limit_ms]
    return {
        "machine": machine,
        "cuda_graph": graph,
        "batch_sizes": list(sizes),
        "within": kept[-1] if kept else None,
        "fastest": max(kept, key=lambda one: one["images_per_second"], default=None),
        "least": min(sizes.values(), key=lambda one: one["p99_ms"], default=None),
    }


def _missing(nets: Sequence[DeployedNet], good: Sequence[DeployedNet], sweep: str) -> dict[str, Any]:
    """Why no latency of this kind counts, and the command that would change it; none where nothing here would."""
    if good:
        rows = [row for net in good for row in net.latency]
        reason = next((row.reason for row in rows if row.reason), None)
        said = f"not measured: {reason}" if reason else _stale("not measured", [net.latency_finding for net in good])
        again = shlex.join(["fastbs", "bench", "inference", "--artifact", good[0].folder])
        cannot = rows and all(row.status == "unsupported" for row in rows)
        return {"missing": said, "next": None if cannot else again}
    if all(net.check and not net.check.ok for net in nets):
        return {"missing": "no artefact passed its check", "next": None}
    unrun = next((net for net in nets if net.check and net.check.ok), None)
    if unrun and unrun.check:
        said = f"engine {unrun.check.engine}; check it where its card is"
        return {"missing": said, "next": shlex.join(["fastbs", "check", unrun.folder])}
    said = _stale("not checked", [net.check_finding for net in nets])
    return {"missing": said, "next": shlex.join(["fastbs", "check", sweep])}


def _stale(missing: str, findings: Sequence[str]) -> str:
    return f"{missing} since artefact or run changed" if "stale" in findings else missing


def _from_nothing(sweep: str, run: str) -> list[str]:
    """All three steps, with what any machine can compute."""
    return [
        shlex.join(["fastbs", "export", sweep, "--to", "onnx", "--precision", "fp32"]),
        shlex.join(["fastbs", "check", sweep]),
        shlex.join(["fastbs", "bench", "inference", "--artifact", run]),
    ]
