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
    world = document.get("world") or {"ranks": 1}
    size_of_batch = f"{config['batch_size']}"
    if world["ranks"] > 1:
        size_of_batch += f" = {world['ranks']} devices x {config['batch_size'] // world['ranks']}"
    head = f"{document['status']}: {config['model']} at batch size {size_of_batch}, lr {config['lr']:g}"
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
        synced, apart = result["synced_pass_seconds"], result["unsynced_pass_seconds"]
        lines.append(
            f" forward and backward {significant(1e3 * synced)} ms, without gradient sync {significant(1e3 * apart)} ms"
            f" ({world['backend']}, {count(len(set(world['hosts'])))} host{'s' if len(set(world['hosts'])) > 1 else ''});"
            " layers with batch statistics take them from each device's part"
        )
    if document["evaluations"]:
        last = document["evaluations"][-1]
        lines.append(
            f" validation top1 {fraction(last['top1'])} (balanced {fraction(last['balanced_top1'])}),"
            f" training top1 {fraction(last['train_top1'])}, training loss {significant(last['train_loss'])}"
        )
    return "\n".join(lines)
