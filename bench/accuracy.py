"""What a whole training reaches, in this process, and after how long it reached a target."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastbs.analysis.hit import find_hit
from fastbs.results.run_folder import RunFolder
from fastbs.training.run import train


def measure_accuracy(
    config: dict[str, Any], dataset_file: str, target: float, machine: dict[str, Any]
) -> dict[str, Any]:
    """A sample without blocks: the whole run that `config` (a resolved RunConfig) describes.

    "top1" is that of its last evaluation. "time_to_target_seconds" is training time until it held `target`; None if
    it never did. `machine` is the block of the machine that the run was planned on. FloatingPointError
    when the run diverges: then it has no accuracy.
    """
    with TemporaryDirectory() as folder:
        status = train(config, dataset_file, folder, "main", machine)
        record = RunFolder(Path(folder)).record()
    if record is None or record.result is None or status != "ok":
        raise FloatingPointError(f"{status}: {record.reason if record else None}")
    hit = find_hit(record.evaluations, target, config["hold"])
    return {
        "top1": record.last.top1,
        "target": target,
        "time_to_target_seconds": hit.train_seconds if hit else None,
        "train_seconds": record.result.train_seconds,
        "updates": record.result.updates,
        "blocks": [],
    }
