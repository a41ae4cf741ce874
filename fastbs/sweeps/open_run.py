"""The folder of a single run, begun or taken up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastbs.config import RunConfig
from fastbs.data.check import verified_dataset
from fastbs.errors import BadInput
from fastbs.results.files import make_folder, remove_leftovers, write_json
from fastbs.results.lock import locked
from fastbs.results.run_folder import RunFolder
from fastbs.sweeps.sweep import resolve
from fastbs.worker.ranks import Rank


def open_run(run: RunConfig, out: Path, rank: Rank | None = None) -> dict[str, Any]:
    """Check images and settings and begin the run's record: {"config" (resolved), "dataset" (file), "machine"}.

    `rank` is None for a run of one process, otherwise the first of its ranks. BadInput when `out` holds something else
    or another process works there.
    """
    ranks, local_ranks = (rank.ranks, rank.local_ranks) if rank else (1, 1)
    run.of_rank(ranks)
    dataset = verified_dataset(Path(run.data))
    if run.batch_size > len(dataset.train):
        raise BadInput(f"batch-size: {run.batch_size} is larger than the training set of {len(dataset.train):,} images")
    known = resolve(run, dataset, local_ranks)
    folder, images = RunFolder(out), out / "dataset.json"
    make_folder(out)
    if not folder.document.exists() and (there := sorted(entry.name for entry in out.iterdir())):
        raise BadInput(f"{out}: holds {there[0]} but no run of fastbs; choose an empty folder with --out")
    restarted = rank is not None and rank.restarts > 0  # those who were here before may still be dying
    with locked(folder.lock, wait=restarted):
        remove_leftovers(out)
        world = {"ranks": ranks, "launch": rank.launch} if rank else None
        folder.begin(arm="main", config=known["run"], dataset=dataset.describe(), machine=known["machine"], world=world)
        write_json(images, dataset.to_json())
    return {"config": known["run"], "dataset": str(images), "machine": known["machine"]}
