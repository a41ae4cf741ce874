"""The curves of a run for TensorBoard: training loss, training accuracy, validation accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from fastbs.results.record import Evaluation


class Curves:
    """Writes one point per evaluation, over images, so that batch sizes share an axis.

    Silent without a folder, and without tensorboard.
    """

    def __init__(self, folder: Path | None, images: int) -> None:
        if folder is None:
            self._writer = None
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self._writer = None
            return
        self._writer = SummaryWriter(str(folder), purge_step=images + 1 if images else None)

    def add(self, evaluation: Evaluation) -> None:
        if self._writer is None:
            return
        for name, value in (
            ("training/loss", evaluation.train_loss),
            ("training/top1", evaluation.train_top1),
            ("validation/loss", evaluation.loss),
            ("validation/top1", evaluation.top1),
            ("lr", evaluation.lr),
        ):
            self._writer.add_scalar(name, value, evaluation.images)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
