"""A training loop as one writes it by hand: the yardstick for what our harness adds. Of fastbs: the net, and turns."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastbs import models
from fastbs.worker.turns import taking_turns, turn_or_not


def time_by_hand(
    batch_size: int, image_size: int, threads: int, lr: float, blocks: int, block_seconds: float
) -> list[float]:
    """Seconds per step of each block; runs in a process of its own."""
    torch.set_num_threads(threads)
    net = models.build("small", classes=10, image_size=image_size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9, nesterov=True, fused=True)
    images = torch.randn(batch_size, 3, image_size, image_size).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch_size,))
    loss_sum, hits = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def seconds_per_step(steps: int) -> float:
        start = time.perf_counter()
        train(net, optimizer, images, labels, loss_sum, hits, steps)
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


def train(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    loss_sum: Tensor,
    hits: Tensor,
    steps: int,
) -> None:
    """Updates of the net; loss and hits are added to the last two."""
    for _ in range(steps):
        logits = net(images)
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss_sum.add_(loss.detach())
        hits.add_((logits.detach().argmax(1) == labels).sum())
