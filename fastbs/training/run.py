"""A whole run in this process: build, resume, train, evaluate, record."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fastbs.analysis.budget import evaluation_every, total_updates
from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.data.dataset import Dataset
from fastbs.errors import BadInput
from fastbs.measurement.energy import EnergyMeter
from fastbs.measurement.identity import other_machine
from fastbs.measurement.machine import machine as measure_machine
from fastbs.measurement.memory import peak_memory_bytes
from fastbs.results.files import read_json, remove_leftovers
from fastbs.results.record import Evaluation, Result, Status
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint
from fastbs.training.clock import BlockTimer, RunClock
from fastbs.training.evaluate import evaluate
from fastbs.training.optimizers import lr_at
from fastbs.training.progress import Progress
from fastbs.training.set_up import make_run_loader, make_step, prepare_process
from fastbs.training.tensorboard import Curves

FINITE_EVERY = 64  # updates between looks at the loss: a fixed number, so that a diverged run ends at the same update


def train(config: dict[str, Any], dataset: str, folder: str, arm: str, machine: dict[str, Any]) -> Status:
    """Make the run that `config` (a resolved RunConfig) describes, in `folder`; returns how it ended.

    `dataset` is the file that holds the verified Dataset, `machine` the block of the machine that the run was planned
    on. A run that was cut off continues from its checkpoint and ends with the weights, losses and accuracies of an
    undisturbed one (on a CPU bit for bit, at the same thread count); one that is finished is left alone. The caller
    holds the folder's lock. BadInput on another machine: its times would not belong into the same table.
    """
    run = RunConfig.from_json(config)
    images = Dataset.from_json(read_json(Path(dataset), "dataset"))
    records = RunFolder(Path(folder))
    if records.is_finished():
        status: Status = read_json(records.document, "run")["status"]
        return status
    here = measure_machine()
    if difference := other_machine(machine, here):
        raise BadInput(f"{folder}: was planned on another machine ({difference}); choose another --out")
    records.begin(arm=arm, config=config, dataset=images.describe(), machine=here)
    remove_leftovers(records.path)
    training = Training(run, images, records)
    status, reason = training.go()
    records.finish(status, reason, training.result())
    return status


class Training:
    """The moving parts of one run. `go` trains to the end of the budget or to the first loss that is not finite."""

    def __init__(self, run: RunConfig, images: Dataset, records: RunFolder) -> None:
        self.run, self.images, self.records = run, images, records
        self.device = prepare_process(run)
        self.clock = RunClock()
        self.energy = EnergyMeter(self.device)
        self.energy_joules = 0.0
        self.peak_memory = 0  # bytes, of earlier processes of this run
        self.updates = 0
        self.evaluations: list[Evaluation] = []
        self.saved_at = time.monotonic()
        self.step = make_step(run, len(images.classes), self.device)
        self.train_loader = make_run_loader(run, images, "train", self.device)
        self.validation_loader = make_run_loader(run, images, "validation", self.device)
        if records.checkpoint.exists():
            self._load()
        self.train_loader.prepare()
        self.validation_loader.prepare()
        records.rewrite_metrics(self.evaluations)

    def go(self) -> tuple[Status, str | None]:
        run, total = self.run, total_updates(self.run, len(self.images.train))
        every = evaluation_every(run)
        batches = self._endless()
        timer = BlockTimer(self.clock)
        self.clock.started_up()
        with (
            Curves(self.records.path, self.updates * run.batch_size) as curves,
            Progress(total, self.updates, f"batch {run.batch_size}, seed {run.seed}") as progress,
        ):
            self.energy.start()
            timer.resume()
            while self.updates < total:
                batch = next(batches)
                self.step.set_lr(lr_at(run, self.updates * run.batch_size, total * run.batch_size))
                self.step(batch)
                self.updates += 1
                evaluating = self.updates % every == 0 or self.updates == total
                checking = evaluating or self.updates % FINITE_EVERY == 0
                if not timer.count_update() and not checking:
                    continue
                self._synchronize()
                timer.pause()
                if self.updates == total:
                    timer.close()
                if checking and not self.step.loss_is_finite():
                    timer.close()
                    return "diverged", f"the training loss was not finite after {self.updates} updates"
                if evaluating:
                    self.energy_joules += self.energy.stop() or 0.0
                    evaluation = self._evaluate()
                    if not math.isfinite(evaluation.loss):
                        timer.close()
                        return "diverged", f"the validation loss was not finite after {self.updates} updates"
                    self.evaluations.append(evaluation)
                    self.records.append(evaluation)
                    curves.add(evaluation)
                    progress.show(evaluation)
                    self._save(last=self.updates == total)
                    self.energy.start()
                progress.at(self.updates)
                timer.resume()
        return "ok", None

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _endless(self) -> Iterator[Batch]:
        """Batches, epoch after epoch; the time that the step waits for each is added up."""
        while True:
            start = time.perf_counter()
            for batch in self.train_loader:
                self.clock.input_wait += time.perf_counter() - start
                yield batch
                start = time.perf_counter()

    def _evaluate(self) -> Evaluation:
        run = self.run
        images = (self.updates - (self.evaluations[-1].updates if self.evaluations else 0)) * run.batch_size
        loss_sum, hits = self.step.take_metrics()
        with self.clock.counting("evaluation"):
            accuracy = evaluate(
                self.step.model,
                self.validation_loader,
                classes=len(self.images.classes),
                precision=run.precision or "fp32",
                device=self.device,
            )
        return Evaluation(
            images=self.updates * run.batch_size,
            updates=self.updates,
            train_seconds=self.clock.train,
            wall_seconds=self.clock.wall,
            train_loss=loss_sum * run.batch_size / images,
            train_top1=hits / images,
            loss=accuracy.loss,
            top1=accuracy.top1,
            balanced_top1=accuracy.balanced_top1,
            lr=self.step.optimizer.param_groups[0]["lr"],
        )

    def _save(self, *, last: bool) -> None:
        """Checkpoint after an evaluation, when the last one is old enough or the run is at its end."""
        if not last and time.monotonic() - self.saved_at < self.run.checkpoint_seconds:
            return
        with self.clock.counting("checkpoint"):
            state: dict[str, Any] = {
                "config": self.run.to_json(),
                "classes": list(self.images.classes),
                "model": self.step.model.state_dict(),
                "step": self.step.state_dict(),
                "loader": self.train_loader.state_dict(),
                "rng": torch.get_rng_state(),
                "cuda_rng": torch.cuda.get_rng_state() if self.device.type == "cuda" else None,
                "peak_memory": max(self.peak_memory, peak_memory_bytes(self.device)),
                "updates": self.updates,
                "evaluations": [evaluation.to_json() for evaluation in self.evaluations],
                "energy_joules": self.energy_joules,
                "clock": self.clock.state_dict(),
            }
            if last:  # nothing is trained any more: weights and measurements are what is kept
                del state["loader"], state["step"]["optimizer"]
            checkpoint.save(self.records.checkpoint, state)
        self.saved_at = time.monotonic()

    def _load(self) -> None:
        state = checkpoint.load(self.records.checkpoint, self.device)
        self.step.model.load_state_dict(state["model"])
        self.step.load_state_dict(state["step"])
        if "loader" in state:
            self.train_loader.load_state_dict(state["loader"])
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] is not None:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu())
        self.peak_memory = state["peak_memory"]
        self.updates = state["updates"]
        self.evaluations = [Evaluation(**evaluation) for evaluation in state["evaluations"]]
        self.energy_joules = state["energy_joules"]
        self.clock.load_state_dict(state["clock"])

    def result(self) -> Result:
        """What was measured, after `go`."""
        blocks = self.clock.steady_blocks()
        images = sum(updates for updates, _, _ in blocks) * self.run.batch_size
        return Result(
            updates=self.updates,
            skipped_updates=self.step.skipped_updates(),
            images=self.updates * self.run.batch_size,
            train_seconds=self.clock.train,
            wall_seconds=self.clock.wall,
            startup_seconds=self.clock.startup,
            eval_seconds=self.clock.evaluation,
            checkpoint_seconds=self.clock.checkpoint,
            input_wait_seconds=self.clock.input_wait,
            step_seconds=self.clock.step_seconds(),
            update_seconds=statistics.median(self.step.update_seconds) if self.step.update_seconds else None,
            parameters=sum(p.numel() for p in self.step.model.parameters()),
            peak_memory_bytes=max(self.peak_memory, peak_memory_bytes(self.device)),
            minor_faults_per_image=sum(faults for _, _, faults in blocks) / images,
            energy_joules=self.energy_joules if self.energy.source else None,
            energy_source=self.energy.source,
        )
