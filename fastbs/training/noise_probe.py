"""Gradients of several micro-batches at the same weights: what the noise scale is estimated from."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice

import torch
from torch import Tensor

from fastbs.config import RunConfig
from fastbs.data.batch import Batch
from fastbs.data.dataset import Dataset
from fastbs.results.record import NoiseDraw
from fastbs.training.set_up import make_run_loader
from fastbs.training.step import Step
from fastbs.training.world import ALONE, World

PARTS = 8  # micro-batches of a draw, at the least
WHOLE_PARTS = 4  # the same where they are whole batches: each costs a pass
IMAGES = 128  # of a draw, at the least: for the same time, few large draws tell more than many small ones
OTHER_SEED = 1_000_003  # added to the run's: draws take other images than the steps beside them


class NoiseProbe:
    """Draws from a loader of its own; the run it watches ends with the same weights as without it.

    A micro-batch is an eighth of the images of a pass, or all of them where those are 16 or less, so that a draw needs
    no more memory than a step, but for one more copy of the gradients. With BatchNorm (`norm` is what the net has) it
    is a whole pass: the gradient of fewer images, normalised by themselves, is that of another function. Ranks, each
    with its part of the batch as `run`, share the micro-batches.
    """

    def __init__(
        self, run: RunConfig, dataset: Dataset, device: torch.device, world: World = ALONE, norm: str = "none"
    ) -> None:
        whole = "batch" in norm.split("+")
        smaller = max(min(run.pass_images, IMAGES // PARTS), run.pass_images // PARTS)
        self.micro_batch = run.pass_images if whole else smaller
        parts = max(WHOLE_PARTS if whole else PARTS, IMAGES // self.micro_batch)
        self._own_parts = -(-parts // world.ranks)
        self.parts = self._own_parts * world.ranks
        self._train_images = len(dataset.train)
        self._world = world
        alone = run.replace(batch_size=self.micro_batch, micro_batch=None, seed=run.seed + OTHER_SEED)
        self._loader = make_run_loader(alone, dataset, "train", device, world)
        self._share = run.noise_share
        self._batches = self._endless()
        self.draws: list[NoiseDraw] = []

    def prepare(self) -> None:
        """Let the loader decode ahead what it keeps."""
        self._loader.prepare()

    @property
    def seconds(self) -> float:
        """Spent so far."""
        return sum(draw.seconds for draw in self.draws)

    def affordable(self, train_seconds: float) -> bool:
        """Whether another draw, as long as the last, keeps the sum within its share of the training time.

        Never where a micro-batch is the whole training set: its gradient is always the same.
        """
        if self.micro_batch == self._train_images:
            return False
        next_one = self.draws[-1].seconds if self.draws else 0.0
        return self._world.first_says(self.seconds + next_one <= self._share * train_seconds)

    def draw(self, step: Step, *, images: int, updates: int) -> NoiseDraw | None:
        """One draw at the weights of `step`; None where a gradient was not finite (fp16)."""
        start = time.perf_counter()
        norms: list[Tensor] = []
        epochs: Counter[int] = Counter()
        total: list[Tensor] | None = None
        scale = step.scaler.get_scale()
        parameters = [p for p in step.model.parameters() if p.requires_grad]
        with step.leaving_no_trace(), step.keeping_gradients_apart():
            for epoch, batch in islice(self._batches, self._own_parts):
                epochs[epoch] += 1
                loss, _ = step.net_and_loss(batch.images, batch.labels)
                (loss * scale).backward()
                gradients = [p.grad / scale for p in parameters if p.grad is not None]
                step.optimizer.zero_grad()
                norms.append(_squared_norm(gradients))
                total = gradients if total is None else list(torch._foreach_add(total, gradients))
        assert total is not None
        self._world.add_up(*total)
        squares = [square for own in self._world.gathered([float(norm) for norm in norms]) for square in own]
        of_mean = float(_squared_norm(total)) / self.parts**2
        if not math.isfinite(sum(squares) + of_mean):
            return None
        drawn = NoiseDraw(
            images=images,
            updates=updates,
            micro_batch=self.micro_batch,
            squared_norms=tuple(squares),
            squared_norm_of_mean=of_mean,
            seconds=time.perf_counter() - start,
            train_images=self._train_images,
            epoch_parts=tuple(own * self._world.ranks for own in epochs.values()),
        )
        self.draws.append(drawn)
        return drawn

    def _endless(self) -> Iterator[tuple[int, Batch]]:
        """Batches with the number of their epoch."""
        for epoch in count():
            for batch in self._loader:
                yield epoch, batch


def _squared_norm(tensors: list[Tensor]) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors)).double().square().sum()
