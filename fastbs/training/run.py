"""A whole run in this process: build, resume, train, evaluate, record."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch

from fastbs.analysis.budget import evaluation_every, total_updates
from fastbs.analysis.hit import find_hit
from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.data.dataset import Dataset
from fastbs.errors import BadInput
from fastbs.measurement.energy import EnergyMeter
from fastbs.measurement.identity import other_machine
from fastbs.measurement.machine import machine as measure_machine
from fastbs.measurement.memory import peak_memory_bytes
from fastbs.models import norm_of
from fastbs.results.files import read_json, remove_leftovers
from fastbs.results.record import Evaluation, NoiseDraw, Result, Status, from_json
from fastbs.results.run_folder import RunFolder
from fastbs.training import checkpoint
from fastbs.training.clock import BlockTimer, RunClock
from fastbs.training.communication import measure_communication
from fastbs.training.evaluate import evaluate
from fastbs.training.noise_probe import NoiseProbe
from fastbs.training.optimizers import lr_at
from fastbs.training.progress import Progress
from fastbs.training.set_up import black_batch, make_run_loader, make_step, prepare_process
from fastbs.training.tensorboard import Curves
from fastbs.training.world import ALONE, World
from fastbs.worker import Interrupted, interruption

OTHER_DICE = 1_000_033  # times the rank, added to the seed: after the same initial weights, each its own dropout
FINITE_EVERY = 64  # updates between looks at the loss: a fixed number, so that a diverged run ends at the same update
LEAVE_WITHIN = 10.0  # seconds, about, until ranks that are asked to leave look up; Slurm's notice is of 90


def train(
    config: dict[str, Any],
    dataset: str,
    folder: str,
    arm: str,
    machine: dict[str, Any],
    stop_after: float | None = None,
    shared: bool = False,
    world: World = ALONE,
    launch: str | None = None,
) -> Status:
    """Make the run that `config` (a resolved RunConfig) describes, in `folder`; returns how it ended.

    `dataset` is the file that holds the verified Dataset, `machine` the block of the machine that the run was planned
    on. A run that was cut off continues from its checkpoint and ends with the weights, losses and accuracies of an
    undisturbed one (on a CPU bit for bit, at the same thread count); one that is finished is left alone. The caller
    holds the folder's lock. A run to a target that has trained for `stop_after` seconds without holding it is stopped.
    BadInput on another machine: its times would not belong into the same table. `shared`: others compute here
    meanwhile. Interrupted, with a checkpoint of where it stood, when it was asked to leave.

    Called by all ranks of a `world` alike, of which the first writes; `launch` is what their start is called.
    """
    run = RunConfig.from_json(config)
    images = Dataset.from_json(read_json(Path(dataset), "dataset"))
    records = RunFolder(Path(folder))
    if world.first_says(records.is_finished()):
        status: Status = read_json(records.document, "run")["status"]
        return status
    here = measure_machine()
    if difference := other_machine(machine, here):
        raise BadInput(f"{folder}: was planned on another machine ({difference}); choose another --out")
    if world.first:
        block = world.to_json() | {"launch": launch} if launch is not None else None
        records.begin(arm=arm, config=config, dataset=images.describe(), machine=here, world=block, shared=shared)
        remove_leftovers(records.path)
    training = Training(run, images, records, stop_after, world)
    status, reason = training.go()
    result = training.result()
    if world.first:
        records.write_mllog(status, reason, result)
        records.finish(status, reason, result)
    return status


class Training:
    """The moving parts of one run. `go` trains to the target, the end of the budget or a loss that is not finite.

    In a `world` of several ranks each has its own, and all of them decide alike.
    """

    def __init__(
        self,
        run: RunConfig,
        images: Dataset,
        records: RunFolder,
        stop_after: float | None = None,
        world: World = ALONE,
    ) -> None:
        self.run, self.images, self.records, self.stop_after, self.world = run, images, records, stop_after, world
        self.own = run.of_rank(world.ranks)
        self.device = prepare_process(run)
        self.clock = RunClock()
        self.energy = EnergyMeter(self.device)
        self.energy_joules = 0.0
        self.peak_memory = 0  # bytes, of earlier processes of this run
        self.updates = 0
        self.evaluations: list[Evaluation] = []
        self.saved_at = time.monotonic()
        self.step = make_step(self.own, len(images.classes), self.device, world)
        if not world.first:
            torch.manual_seed(run.seed + OTHER_DICE * world.rank)
        self.train_loader = make_run_loader(self.own, images, "train", self.device, world)
        self.validation_loader = make_run_loader(self.own, images, "validation", self.device, world)
        norm = norm_of(self.step.model)
        self.noise = NoiseProbe(self.own, images, self.device, world, norm) if run.noise_scale else None
        if world.first_says(records.checkpoint.exists()):
            self._load()
        self.train_loader.prepare()
        self.validation_loader.prepare()
        if self.noise:
            self.noise.prepare()
        self.communication = measure_communication(self.step, black_batch(self.own, self.device), self.device, world)
        self.look_up_every = self._look_up_every()
        if world.first:
            records.rewrite_metrics(self.evaluations)
            records.rewrite_noise(self.noise.draws if self.noise else ())

    def go(self) -> tuple[Status, str | None]:
        run, total = self.run, total_updates(self.run, len(self.images.train))
        batches = self._endless()
        timer = BlockTimer(self.clock)
        self.clock.started_up()
        with (
            Curves(self.records.path if self.world.first else None, self.updates * run.batch_size) as curves,
            Progress(
                total, self.updates, f"batch {run.batch_size}, seed {run.seed}", shown=self.world.first
            ) as progress,
        ):
            while (ending := self._ending(total)) is None:
                if reason := self._train_to_evaluation(batches, timer, total, progress):
                    timer.close()
                    return "diverged", reason
                evaluation = self._evaluate()
                if not math.isfinite(evaluation.loss):
                    timer.close()
                    return "diverged", f"the validation loss was not finite after {self.updates} updates"
                self.evaluations.append(evaluation)
                if self.world.first:
                    self.records.append(evaluation)
                curves.add(evaluation)
                progress.at(self.updates)
                progress.show(evaluation)
                last = self._ending(total) is not None
                if last:
                    timer.close()
                elif self.noise and self.noise.affordable(self.clock.train):
                    self._draw_noise(self.noise)
                self._save(last=last)
                if not last and self._asked_to_leave(all_are_here=True):
                    self._leave(total)
        return ending

    def _train_to_evaluation(
        self, batches: Iterator[Batch], timer: BlockTimer, total: int, progress: Progress
    ) -> str | None:
        """Make updates until the next evaluation is due; what went wrong, or None."""
        run, every = self.run, evaluation_every(self.run)
        self.energy.start()
        timer.resume()
        while True:
            self.step.set_lr(lr_at(run, self.updates * run.batch_size, total * run.batch_size))
            for _ in range(self.own.accumulation - 1):
                self.step.accumulate(next(batches))
            self.step(next(batches))
            self.updates += 1
            due = self.updates % every == 0 or self.updates == total
            checking = due or self.updates % FINITE_EVERY == 0
            looking_up = checking or self.updates % self.look_up_every == 0
            block_over = timer.count_update()
            if run.seconds is not None:
                block_over = self.world.first_says(block_over)
            if not block_over and not looking_up:
                continue
            self._synchronize()
            timer.pause()
            if checking and not self.world.all_say(self.step.loss_is_finite()):
                return f"the training loss was not finite after {self.updates} updates"
            if due or self._out_of_time():
                self.energy_joules += self._everyones_energy()
                return None
            if self._asked_to_leave(all_are_here=looking_up or run.seconds is not None):
                self.energy_joules += self._everyones_energy()
                self._leave(total)
            progress.at(self.updates)
            timer.resume()

    def _ending(self, total: int) -> tuple[Status, str | None] | None:
        """How the run ends where it stands, right after an evaluation; None while it goes on."""
        run, done = self.run, self.updates >= total or self._out_of_time()
        held = run.target is not None and find_hit(self.evaluations, run.target, run.hold) is not None
        if held if run.until_target else done:
            return "ok", None
        if done:
            best = max(evaluation.top1 for evaluation in self.evaluations)
            return "missed", f"top1 {best:.3f} at best, {run.target:g} was to be held for {run.hold} evaluations"
        if self.stop_after is not None and self.clock.train >= self.stop_after:
            return "stopped", f"dominated: {self.clock.train:.3g} s of training without holding {run.target:g}"
        return None

    def _look_up_every(self) -> int:
        """After how many updates ranks ask whether they are to leave: a number that all share, by the pass that the
        first timed. Alone one asks at the end of every block."""
        if self.communication is None:
            return FINITE_EVERY
        seconds, _ = self.world.of_first(self.communication)
        return max(1, min(FINITE_EVERY, int(LEAVE_WITHIN / seconds / self.own.accumulation)))

    def _asked_to_leave(self, *, all_are_here: bool) -> bool:
        """What the first rank was asked, where all ranks look up at the same update; alone, at any."""
        return (all_are_here or self.world.ranks == 1) and self.world.first_says(interruption.asked())

    def _leave(self, total: int) -> NoReturn:
        """Save where the run stands, and end this process."""
        self._checkpoint(last=False)
        self.world.wait()  # until it is saved: the first rank to leave may end the others
        raise Interrupted(f"asked to leave after {self.updates} of {total} updates")

    def _out_of_time(self) -> bool:
        return self.run.seconds is not None and self.world.first_says(self.clock.train >= self.run.seconds)

    def _draw_noise(self, probe: NoiseProbe) -> None:
        drawn = probe.draw(self.step, images=self.updates * self.run.batch_size, updates=self.updates)
        if drawn is not None and self.world.first:
            self.records.append_noise(drawn)

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
        sums = self.world.gathered(self.step.take_metrics())
        loss_sum, hits = sum(loss for loss, _ in sums), sum(hits for _, hits in sums)
        with self.clock.counting("evaluation"):
            accuracy = evaluate(
                self.step.model,
                self.validation_loader,
                classes=len(self.images.classes),
                precision=run.precision or "fp32",
                device=self.device,
                world=self.world,
            )
        return Evaluation(
            images=self.updates * run.batch_size,
            updates=self.updates,
            train_seconds=self.clock.train,
            wall_seconds=self.clock.wall,
            train_loss=loss_sum * self.own.pass_images / images,
            train_top1=hits / images,
            loss=accuracy.loss,
            top1=accuracy.top1,
            balanced_top1=accuracy.balanced_top1,
            lr=self.step.optimizer.param_groups[0]["lr"],
        )

    def _save(self, *, last: bool) -> None:
        """Checkpoint after an evaluation, when the last one is old enough or the run is at its end."""
        due = last or time.monotonic() - self.saved_at >= self.run.checkpoint_seconds
        if self.world.first_says(due):
            self._checkpoint(last=last)

    def _checkpoint(self, *, last: bool) -> None:
        with self.clock.counting("checkpoint"):
            state: dict[str, Any] = {
                "config": self.run.to_json(),
                "classes": list(self.images.classes),
                "model": self.step.model.state_dict(),
                "step": self.step.state_dict(),
                "loader": self.train_loader.state_dict(),
                "rng": self.world.gathered(self._dice()),
                "peak_memory": max(self.peak_memory, peak_memory_bytes(self.device)),
                "updates": self.updates,
                "evaluations": [evaluation.to_json() for evaluation in self.evaluations],
                "noise": [draw.to_json() for draw in self.noise.draws] if self.noise else [],
                "energy_joules": self.energy_joules,
                "clock": self.clock.state_dict(),
            }
            if last:  # nothing is trained any more: weights and measurements are what is kept
                del state["loader"], state["step"]["optimizer"]
            if self.world.first:
                checkpoint.save(self.records.checkpoint, state)
        self.saved_at = time.monotonic()

    def _load(self) -> None:
        path = self.records.checkpoint
        state = checkpoint.load(path, self.device) if path.exists() else None
        if len(set(self.world.gathered(state and (state["updates"], state["clock"]["train"])))) > 1:
            raise BadInput(f"{path}: another one, or none, on other hosts; share its folder among all of them")
        assert state is not None
        self.step.model.load_state_dict(state["model"])
        self.step.load_state_dict(state["step"])
        if "loader" in state:
            self.train_loader.load_state_dict(state["loader"])
        on_host, *on_card = (dice.cpu() for dice in state["rng"][self.world.rank])
        torch.set_rng_state(on_host)
        for dice in on_card:
            torch.cuda.set_rng_state(dice)
        self.peak_memory = state["peak_memory"]
        self.updates = state["updates"]
        self.evaluations = [Evaluation(**evaluation) for evaluation in state["evaluations"]]
        if self.noise:
            self.noise.draws = [from_json(NoiseDraw, draw) for draw in state["noise"]]
        self.energy_joules = state["energy_joules"]
        self.clock.load_state_dict(state["clock"])

    def _dice(self) -> list[torch.Tensor]:
        """The states of this rank's random numbers: on the host, and on its GPU where it has one."""
        return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if self.device.type == "cuda" else [])]

    def _everyones_energy(self) -> float:
        """Joules since the meter was started: of every GPU, or of every host once."""
        joules = self.world.gathered(self.energy.stop() or 0.0)
        if self.device.type == "cuda":
            return sum(joules)
        return sum(dict(zip(self.world.hosts, joules, strict=True)).values()) if self.world.hosts else joules[0]

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
            noise_seconds=self.noise.seconds if self.noise else 0.0,
            input_wait_seconds=self.clock.input_wait,
            step_seconds=self.clock.step_seconds(),
            update_seconds=statistics.median(self.step.update_seconds) if self.step.update_seconds else None,
            parameters=sum(p.numel() for p in self.step.model.parameters()),
            peak_memory_bytes=max(self.world.gathered(max(self.peak_memory, peak_memory_bytes(self.device)))),
            minor_faults_per_image=sum(faults for _, _, faults in blocks) / images,
            energy_joules=self.energy_joules if self.energy.source else None,
            energy_source=self.energy.source,
            synced_pass_seconds=self.communication[0] if self.communication else None,
            unsynced_pass_seconds=self.communication[1] if self.communication else None,
        )
