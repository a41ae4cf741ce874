"""One run in a few lines."""

from __future__ import annotations

from typing import Any

from fastbs.rendering.numbers import count, fraction, significant, size
from fastbs.results.files import dump_json


def render_run(document: dict[str, Any], style: str) -> str:
    """`document` is a run.json with its evaluations under "evaluations"; `style` is table or json."""
    if style == "json":
        return dump_json(document).removesuffix("\n")
    config, result = document["config"], document["result"]
    head = f"{document['status']}: {config['model']} at batch size {_batch_size(document)}, lr {config['lr']:g}"
    if result is None:
        return f"{head}: {document['reason']}"
    seconds = {key: significant(value) for key, value in result.items() if key.endswith("_seconds")}
    lines = [
        head if document["reason"] is None else f"{head}: {document['reason']}",
        f" {count(result['updates'])} updates, {count(result['images'])} images in {seconds['train_seconds']} s of"
        f" training ({seconds['wall_seconds']} s wall: start-up {seconds['startup_seconds']},"
        f" evaluation {seconds['eval_seconds']}, checkpoints {seconds['checkpoint_seconds']})",
        f" step {significant(1e3 * result['step_seconds'])} ms,"
        f" {count(config['batch_size'] / result['step_seconds'])} images/s,"
        f" peak memory {size(result['peak_memory_bytes'])}",
    ]
    if result.get("synced_pass_seconds") is not None:
        synced, apart = (significant(1e3 * result[f"{kind}_pass_seconds"]) for kind in ("synced", "unsynced"))
        world = document["world"]
        lines.append(
            f" forward and backward {synced} ms, {apart} ms without gradient sync ({world['backend']}, hosts:"
            f" {len(set(world['hosts']))}); batch norm, if any, over each device's images"
        )
    if document["evaluations"]:
        last = document["evaluations"][-1]
        lines.append(
            f" validation top1 {fraction(last['top1'])} (balanced {fraction(last['balanced_top1'])}),"
            f" training top1 {fraction(last['train_top1'])}, training loss {significant(last['train_loss'])}"
        )
    return "\n".join(lines)


def _batch_size(document: dict[str, Any]) -> str:
    """With several devices, what each does of it."""
    total = document["config"]["batch_size"]
    ranks = (document.get("world") or {"ranks": 1})["ranks"]
    return f"{total} = {ranks} devices x {total // ranks}" if ranks > 1 else f"{total}"
