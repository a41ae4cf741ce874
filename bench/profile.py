"""fastbs profile: every batch size in a process of its own, where its step's time goes, and what bounds it."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from fastbs import worker
from fastbs.analysis.step_bound import step_bound, step_shares, unexplained
from fastbs.bench.cells import SMALL_LR
from fastbs.bench.plan import BenchPlan
from fastbs.bench.setting import Setting, open_setting
from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.profiling import nsys
from fastbs.profiling.torch_trace import STEPS
from fastbs.results.files import SCHEMA, dump_json, make_folder, read_json, write_atomic, write_json
from fastbs.worker.cores import require_cores
from fastbs.worker.environment import environment

Tool = Literal["torch", "nsys"]
Say = Callable[[str], None]
DOCUMENT = "profile.json"
TARGET = "fastbs.bench.profiled_step:profile_training_step"


def run_profile(plan: BenchPlan, tool: Tool | None, out: Path | None, say: Say, gpus: int = 1) -> dict[str, Any]:
    """The document of kind "profile": a row per batch size of the plan's one model, precision, loader and step.

    `gpus` processes of this machine share every batch, each with a GPU, or on a CPU with its part of the threads; rows
    are what the first of them does. `out` takes the document and, of a `tool`, the files that it leaves. BadInput names
    what cannot be.
    """
    if tool == "nsys" and gpus > 1:
        raise BadInput("tool: nsys records one process here; leave --gpus out")
    require_cores("gpus", gpus)
    if out is not None:
        _require_ours(out)
    with open_setting(plan) as setting:
        loader = plan.loaders[0] if plan.loaders else "dali" if plan.data else "synthetic"
        _require_cards(setting, gpus)
        threads = plan.threads or max(1, setting.threads // gpus)
        base = setting.run(plan.models[0], setting.precisions[0], loader)
        base = base.replace(step=plan.step_modes[0], lr=SMALL_LR, threads=threads)
        for size in plan.batch_sizes:
            base.replace(batch_size=size).of_rank(gpus)
        dataset = setting.dataset_file(base.model, loader)
        rows = []
        for number, size in enumerate(plan.batch_sizes, 1):
            run = base.replace(batch_size=size)
            row = _profiled(run, dataset, gpus, out if tool == "torch" else None)
            if tool == "nsys" and row["status"] == "ok":
                assert out is not None
                row["nsys"] = _captured(run, dataset, setting, out, say)
            rows.append(row)
            ended = row["status"] if row["reason"] is None else f"{row['status']}: {row['reason']}"
            say(f"{number}/{len(plan.batch_sizes)} batch {size} {ended}")
        document = {
            "schema": SCHEMA,
            "kind": "profile",
            "settings": {
                **setting.describe(),
                "precision": base.precision,
                "loader": loader,
                "step": base.step,
                "threads": threads,  # of each process
                "gpus": gpus,
            },
            "machine": setting.machine,
            "rows": rows,
        }
    if out is not None:
        write_atomic(out / DOCUMENT, dump_json(document))
    return document


def _require_cards(setting: Setting, gpus: int) -> None:
    visible = len(setting.machine["gpu"]["devices"])
    if setting.device == "cuda" and gpus > visible:
        raise BadInput(f"gpus: {gpus} were asked for, and {visible} are visible")


def _profiled(run: RunConfig, dataset: str, gpus: int, out: Path | None) -> dict[str, Any]:
    """One row; its trace goes to `out` if that is given."""
    trace = out / f"batch-{run.batch_size:05d}.pt.trace.json.gz" if out else None
    arguments = {"config": run.to_json(), "dataset": dataset, "trace": str(trace.resolve()) if trace else None}
    if gpus == 1:
        outcome = worker.call(TARGET, arguments, threads=run.threads)
    else:
        outcome = worker.call_together(TARGET, arguments, gpus, threads=run.threads)
    if outcome.bad_input:
        raise BadInput(outcome.reason or "")
    row = {"batch_size": run.batch_size, "status": outcome.status, "reason": outcome.reason}
    return row | (finished_row(run.batch_size, outcome.value, trace.name if trace else None) if outcome.value else {})


def finished_row(batch_size: int, sample: dict[str, Any], trace: str | None) -> dict[str, Any]:
    """What follows from a sample of `profile_training_step`.

    Times are seconds per step. "communication_seconds" is what a pass forward and backward takes longer when the
    gradients of all ranks are averaged in it, None for one process.
    """
    traced = sample["traced"]
    step, busy = sample["step_seconds"], traced["busy_seconds"]
    row = {name: value for name, value in sample.items() if name != "traced"}
    together, apart = sample["synced_pass_seconds"], sample["unsynced_pass_seconds"]
    row |= {
        "images_per_second": batch_size / step,
        "h2d_seconds": traced["h2d_seconds"],
        "communication_seconds": None if together is None else together - apart,
        "busy_seconds": busy,
        "gpu_busy": None if busy is None else min(1.0, busy / step),
        "idle_seconds": None if busy is None else max(0.0, step - busy),
        "by_phase": traced["by_phase"],
        "arithmetic_seconds": traced["arithmetic_seconds"],
        "largest_other": traced["largest_other"],
        "trace": trace,
    }
    shares = step_shares(row)
    return row | {"unexplained": unexplained(row), "shares": shares, "bound": step_bound(shares)}


def _captured(run: RunConfig, dataset: str, setting: Setting, out: Path, say: Say) -> dict[str, Any]:
    """What nsys recorded of the steps of one batch size; without nsys or a GPU, the command that would."""
    report = out / f"batch-{run.batch_size:05d}"
    request = report.with_suffix(".request.json")
    write_json(request, {"config": run.to_json(), "dataset": read_json(Path(dataset), "dataset")})
    command = nsys.capture_command(request, report)
    found: dict[str, Any] = {"command": shlex.join(command), "report": None, "phases": None, "kernels": None}
    missing = "this machine has no GPU" if setting.device != "cuda" else None
    missing = missing or (None if shutil.which("nsys") else "nsys is not on PATH")
    if missing:
        say(f"not captured, {missing}; where both are: {found['command']}")
        return found
    done = _run(command, setting.threads)
    if done.returncode or not report.with_suffix(".nsys-rep").exists():
        say(f"nsys ended with {done.returncode}: {(done.stderr.strip().splitlines() or ['it says nothing'])[-1]}")
        if advice := nsys.conflict_advice(done.stderr + done.stdout):
            say(advice)
        return found
    tables = [_run(nsys.report_command(report, name), None).stdout for name in (nsys.PHASE_REPORT, nsys.KERNEL_REPORT)]
    try:
        read = {"phases": nsys.read_phases(tables[0], STEPS), "kernels": nsys.read_kernels(tables[1], STEPS)}
    except ValueError as error:
        say(f"{report.name}.nsys-rep is there, its reports cannot be read: {error}")
        read = {}
    return found | {"report": f"{report.name}.nsys-rep"} | read


def _run(command: list[str], threads: int | None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment(threads, None), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )


def _require_ours(out: Path) -> None:
    """Make the folder; BadInput where it holds what no profile wrote."""
    make_folder(out)
    foreign = sorted(file.name for file in out.iterdir() if file.name != DOCUMENT and not file.match("batch-*.*"))
    if foreign:
        raise BadInput(f"{out}: holds {foreign[0]}, which no profile wrote; choose another --out")
