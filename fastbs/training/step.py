"""One weight update: forward, backward, update."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.training.optimizers import make_optimizer
from fastbs.training.precision import autocast

TIMED_EVERY = 16  # one update in so many is timed


class Step:
    """`step(batch)` makes one update and returns the loss, a scalar that stays on the device: no host sync inside.

    With accumulation, all micro-batches of an update but the last go to `accumulate`; the update uses the mean of
    their gradients. Between two calls of `take_metrics` it sums loss and hits of the batches it trained on, also on the
    device.

    With several ranks, `engine` is `model` with gradients that become the mean over ranks in the backward pass that
    ends an update; `config` and batches are those of this rank.
    """

    def __init__(
        self,
        model: nn.Module,
        config: RunConfig,
        device: torch.device,
        engine: DistributedDataParallel | None = None,
    ) -> None:
        self.model = model
        self._engine = engine
        self._net = engine or model
        self.optimizer = make_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.update_seconds: list[float] = []
        self._config = config
        self._device = device
        self._loss = torch.compile(self.net_and_loss) if config.step == "compile" else self.net_and_loss
        self._loss_sum = torch.zeros((), device=device)
        self._hits = torch.zeros((), device=device, dtype=torch.int64)
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] = []
        self._skipped = torch.zeros((), device=device)
        self._calls = 0
        self.optimizer.register_step_pre_hook(self._count_skipped)

    def net_and_loss(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` without the compiler."""
        with autocast(self._config.precision or "fp32", self._device):
            logits = self._net(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self._config.label_smoothing)
        return loss, logits.detach()

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def __call__(self, batch: Batch) -> Tensor:
        loss, logits = self.forward(batch)
        self.backward(loss)
        self._timed_update()
        return self.finish(batch, loss, logits)

    def accumulate(self, batch: Batch) -> None:
        """Add the gradients of this micro-batch to those of the update that the next call makes."""
        with self.keeping_gradients_apart():
            loss, logits = self.forward(batch)
            self.backward(loss)
        self._count(batch, loss.detach(), logits)

    def keeping_gradients_apart(self) -> AbstractContextManager[object]:
        """Passes in here leave the gradients of this rank as they are."""
        return self._engine.no_sync() if self._engine is not None else nullcontext()

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss, a scalar, and the logits (B, classes), detached. The four parts are public to be timed apart."""
        return self._loss(batch.images, batch.labels)

    def backward(self, loss: Tensor) -> None:
        parts = self._config.accumulation
        self.scaler.scale(loss if parts == 1 else loss / parts).backward()

    def update(self) -> None:
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def finish(self, batch: Batch, loss: Tensor, logits: Tensor) -> Tensor:
        """Drop the gradients and add this batch to the sums; returns the loss."""
        self.optimizer.zero_grad()
        loss = loss.detach()
        self._count(batch, loss, logits)
        return loss

    def _count(self, batch: Batch, loss: Tensor, logits: Tensor) -> None:
        self._loss_sum += loss
        self._hits += (logits.argmax(1) == batch.labels).sum()

    def _timed_update(self) -> None:
        self._calls += 1
        if self._calls % TIMED_EVERY != TIMED_EVERY // 2:
            self.update()
        elif self._device.type == "cpu":
            start = time.perf_counter()
            self.update()
            self.update_seconds.append(time.perf_counter() - start)
        else:
            start_event, end_event = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start_event.record()
            self.update()
            end_event.record()
            self._events.append((start_event, end_event))

    def _count_skipped(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        found_inf = getattr(
            optimizer, "found_inf", None
        )  # set by the scaler: the update makes itself void on the device
        if found_inf is not None:
            self._skipped += found_inf

    def skipped_updates(self) -> int:
        """fp16 updates that were void because a gradient overflowed; waits for the device."""
        return int(self._skipped)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the weights; to be taken right after `take_metrics`."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": self._skipped,
            "calls": self._calls,
            "update_seconds": self.update_seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if "optimizer" in state:
            self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self._skipped = state["skipped"]
        self._calls = state["calls"]
        self.update_seconds = state["update_seconds"]

    def loss_is_finite(self) -> bool:
        """Waits for the device: call it now and then, not at every step."""
        return bool(torch.isfinite(self._loss_sum))

    def take_metrics(self) -> tuple[float, int]:
        """Summed loss (of each micro-batch the mean) and number of hits since the last call; waits for the device."""
        sums = float(self._loss_sum), int(self._hits)
        self._loss_sum.zero_()
        self._hits.zero_()
        self.update_seconds += [start.elapsed_time(end) / 1e3 for start, end in self._events]
        self._events.clear()
        return sums

    def warm_up(self, batch: Batch) -> None:
        """Compile, choose algorithms and fill caches on one batch, and leave no trace in weights, buffers or sums."""
        with self.leaving_no_trace():
            loss, _ = self._loss(batch.images, batch.labels)
            loss.backward()

    @contextmanager
    def leaving_no_trace(self) -> Iterator[None]:
        """Passes through the net in here change neither its buffers, nor gradients, nor the random numbers after."""
        buffers = copy.deepcopy(dict(self.model.named_buffers()))
        own = [torch.cuda.current_device()] if self._device.type == "cuda" else []
        with torch.random.fork_rng(own):
            yield
        self.optimizer.zero_grad()
        for name, buffer in self.model.named_buffers():
            buffer.copy_(buffers[name])
