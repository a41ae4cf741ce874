"""The same training by three tools, every function in a process of its own.

Each returns {"seconds", "top1"}: from the first line after the imports until validation accuracy is known, so that the
making of net, loader and workers counts. Each is as its users write it: in fastbs a fused optimizer and a channels_last
net, in the others torch's defaults. These read through the DataLoader that fastbs brings (PIL, workers kept).
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fastbs import models
from fastbs.config import RunConfig
from fastbs.data.dataset import Dataset
from fastbs.data.loaders import make_loader
from fastbs.data.loaders.torch_loader import TorchLoader
from fastbs.results.files import read_json
from fastbs.results.run_folder import RunFolder
from fastbs.training.run import train
from fastbs.training.set_up import prepare_process


def by_fastbs(config: dict[str, Any], dataset: str, machine: dict[str, Any]) -> dict[str, Any]:
    """A run as `fastbs train` makes it, with its records, its TensorBoard curves and its checkpoint."""
    import torch.utils.tensorboard  # noqa: F401, imports are not what is compared

    if config["loader"] != "torch":
        import fastbs.data.loaders.dali  # noqa: F401

    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        status = train(config, dataset, folder, "main", machine)
        seconds = time.perf_counter() - start
        record = RunFolder(Path(folder)).record()
    if record is None or status != "ok":
        raise RuntimeError(f"{status}: {record.reason if record else 'no record'}")
    return {"seconds": seconds, "top1": record.last.top1}


def by_plain_loop(config: dict[str, Any], dataset: str, machine: dict[str, Any]) -> dict[str, Any]:
    """The loop of PyTorch's tutorials: DataLoader, forward, backward, step."""
    start = time.perf_counter()
    run, images = _set_up(config, dataset)
    device = torch.device(run.device or "cpu")
    net = _net(run, images).to(device)
    optimizer = _optimizer(net, run)
    with _loader(run, images, "train", device) as batches:
        for _ in range(int(run.epochs)):
            for batch in batches:
                optimizer.zero_grad()
                F.cross_entropy(net(batch.images), batch.labels).backward()
                optimizer.step()
    net.eval()
    hits = 0
    with torch.no_grad(), _loader(run, images, "validation", device) as batches:
        for batch in batches:
            hits += int((net(batch.images).argmax(1) == batch.labels).sum())
    return {"seconds": time.perf_counter() - start, "top1": hits / len(images.validation)}


def by_lightning(config: dict[str, Any], dataset: str, machine: dict[str, Any]) -> dict[str, Any]:
    """Lightning's Trainer without logger, checkpoints and progress bar, fed by a DataLoader."""
    import lightning

    class Classifier(lightning.LightningModule):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net, self.hits = net, 0

        def training_step(self, batch: Any, _: int) -> Tensor:
            return F.cross_entropy(self.net(batch.images), batch.labels)

        def validation_step(self, batch: Any, _: int) -> None:
            self.hits += int((self.net(batch.images).argmax(1) == batch.labels).sum())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return _optimizer(self.net, run)

    start = time.perf_counter()
    run, images = _set_up(config, dataset)
    trainer = lightning.Trainer(
        max_epochs=int(run.epochs),
        accelerator="gpu" if run.device == "cuda" else "cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    classifier, device = Classifier(_net(run, images)), torch.device(run.device or "cpu")
    with _loader(run, images, "train", device) as batches:
        trainer.fit(classifier, batches)
    with _loader(run, images, "validation", device) as batches:
        trainer.validate(classifier, batches, verbose=False)
    return {"seconds": time.perf_counter() - start, "top1": classifier.hits / len(images.validation)}


def _set_up(config: dict[str, Any], dataset: str) -> tuple[RunConfig, Dataset]:
    run = RunConfig.from_json(config)
    prepare_process(run)  # threads, seed, and no TF32, as ours
    return run, Dataset.from_json(read_json(Path(dataset), "dataset"))


def _net(run: RunConfig, images: Dataset) -> nn.Module:
    return models.build(run.model, classes=len(images.classes), image_size=run.image_size or 0, norm=run.norm)


def _optimizer(net: nn.Module, run: RunConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=run.lr, momentum=run.momentum, nesterov=True)


def _loader(run: RunConfig, images: Dataset, split: Any, device: torch.device) -> TorchLoader:
    """A DataLoader that decodes with PIL and normalises in its workers, as most scripts do."""
    loader = make_loader(
        "torch",
        images,
        split,
        batch_size=run.batch_size if split == "train" else run.eval_batch_size,
        image_size=run.image_size or 0,
        augment=run.augment or "none",
        dtype=torch.float32,
        device=device,
        seed=run.seed,
        threads=run.loader_threads or 1,
    )
    assert isinstance(loader, TorchLoader)
    return TorchLoader(loader.settings, "float32")
