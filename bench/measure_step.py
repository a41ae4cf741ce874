"""`fastbs.measure_step`: the curve of any code that takes a batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fastbs.bench.cells import make_cells
from fastbs.bench.measure import measure
from fastbs.bench.own_step import reference
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import open_setting
from fastbs.rendering.bench import render_bench


@dataclass(frozen=True)
class Measured:
    """What was measured; `print` shows the table."""

    document: dict[str, Any]  # of kind "bench", as under the key "fastbs" of a bench file

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One per batch size, smallest first; `status` says whether it has numbers."""
        return sorted(self.document["rows"], key=lambda row: row["batch_size"])

    @property
    def curve(self) -> dict[str, Any]:
        """The fit t(B) = max(host, alpha + beta B) over the sizes that are ok, and what follows from it."""
        curve: dict[str, Any] = self.document["curves"][0]
        return curve

    def __str__(self) -> str:
        return render_bench(self.document, "table")


def measure_step(
    make_step: Callable[[int], Callable[[], object]] | str,
    batch_sizes: Sequence[int],
    *,
    processes: int = 3,
    blocks: int = 5,
    block_seconds: float = 0.5,
    device: Literal["cpu", "cuda"] | None = None,
    threads: int | None = None,
    file: Path | str | None = None,
) -> Measured:
    """Time the steps that `make_step(batch_size)` returns, callables without arguments, in fresh processes.

    `make_step` is a function of a module or of a script (whose own calls then stand under `if __name__ == "__main__":`,
    as for multiprocessing), or its name, "module:name" or "file.py:name". On a GPU steps may be asynchronous: the
    device is waited for at the ends of blocks of about `block_seconds`. `file` takes the pytest-benchmark document of
    `fastbs bench step`. A size that runs out of memory or raises is a row that says so; BadInput for anything else.
    """
    plan = BenchPlan.from_json(
        {
            "questions": ["step"],
            "function": reference(make_step),
            "batch_sizes": sorted({int(size) for size in batch_sizes}),
            "processes": processes,
            "blocks": blocks,
            "block_seconds": block_seconds,
            "device": device,
            "threads": threads,
        },
        "measure_step",
    )
    if file is not None:
        from fastbs.bench.run import run_bench  # needs pytest-benchmark, whose file it is

        return Measured(run_bench(plan, Path(file))["fastbs"])
    with open_setting(plan) as setting:
        return Measured(measure(make_cells(plan, setting)["step"], plan, setting))
