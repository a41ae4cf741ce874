"""A training loop as one writes it by hand: the yardstick for what our harness adds. Of fastbs: the net, and turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastbs import models
from fastbs.worker.turns import taking_turns, turn_or_not

EPOCH = 64  # images at least, as many as our synthetic input has


def time_by_hand(
    batch_size: int, image_size: int, threads: int, lr: float, blocks: int, block_seconds: float
) -> list[float]:
    """Seconds per step of each block; runs in a process of its own."""
    torch.set_num_threads(threads)
    net = models.build("small", classes=10, image_size=image_size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, fused=True)
    epoch = max(EPOCH, batch_size)
    images = torch.randn(epoch, 3, image_size, image_size).to(memory_format=torch.channels_last)
    batches = endless(images, torch.randint(10, (epoch,)), batch_size)
    loss_sum, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def seconds_per_step(steps: int) -> float:
        start = time.perf_counter()
        train(net, optimizer, batches, loss_sum, hits, steps)
        return (time.perf_counter() - start) / steps

    with taking_turns() as turn:
        with turn_or_not(turn):
            started = time.perf_counter()
            while time.perf_counter() - started < 0.5:
                seconds = seconds_per_step(3)
        found = []
        for _ in range(blocks):
            with turn_or_not(turn):
                found.append(seconds_per_step(max(1, round(block_seconds / seconds))))
        return found


def endless(images: Tensor, labels: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Another batch at every step, as synthetic input of ours is: the same one again would lie in the cache."""
    while True:
        for first in range(0, len(images) - batch_size + 1, batch_size):
            yield images[first : first + batch_size], labels[first : first + batch_size]


def train(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[tuple[Tensor, Tensor]],
    loss_sum: Tensor,
    hits: Tensor,
    steps: int,
) -> None:
    """Updates of the net; loss and hits are added to `loss_sum` and `hits`."""
    for images, labels in itertools.islice(batches, steps):
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss_sum.add_(loss.detach())
        hits.add_((logits.detach().argmax(1) == labels).sum())
