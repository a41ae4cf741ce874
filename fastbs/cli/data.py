"""fastbs data: make or check folders of images."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fastbs.results.files import dump_json


@click.group()
def data() -> None:
    """Make or check folders of images."""


@data.group()
def make() -> None:
    """Make a folder of images, one subfolder per class."""


@make.command()
@click.argument("target", type=click.Path(path_type=Path))
def digits(target: Path) -> None:
    """scikit-learn's handwritten digits: 1,797 real images of ten classes, 32x32."""
    from fastbs.data.make_digits import make_digits

    click.echo(f"{target}: {make_digits(target):,} images", err=True)


@make.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--images", type=click.IntRange(1), default=600, show_default=True)
@click.option("--classes", type=click.IntRange(2), default=6, show_default=True)
@click.option("--size", type=click.IntRange(1), default=64, show_default=True, help="Side, pixels.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--encoding", type=click.Choice(["jpeg", "png"]), default="jpeg", show_default=True)
def synthetic(target: Path, images: int, classes: int, size: int, seed: int, encoding: str) -> None:
    """Invented images that can be learnt, any size and count."""
    from fastbs.data.make_synthetic import make_synthetic

    made = make_synthetic(target, images=images, classes=classes, size=size, seed=seed, format=encoding)
    click.echo(f"{target}: {made:,} images", err=True)


@make.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--from", "source", type=click.Path(path_type=Path), help="The official archive, already here.")
def cifar10(target: Path, source: Path | None) -> None:
    """CIFAR-10 from its official archive, checksum verified: 50,000 + 10,000 images, 32x32."""
    from fastbs.data.make_cifar10 import make_cifar10

    click.echo(f"{target}: {make_cifar10(target, source=source):,} images", err=True)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--format", "style", type=click.Choice(["table", "json"]), default="table", show_default=True)
def check(folder: Path, style: str) -> None:
    """List everything in FOLDER that training would refuse, and what it would not notice. Exit code 1 on errors."""
    from fastbs.data.check import check as check_folder

    report = check_folder(folder)
    if style == "json":
        click.echo(dump_json(report.to_json()), nl=False)
    else:
        for problem in report.problems:
            click.echo(f"{problem.kind}: {problem.path}: {problem.text}")
        click.echo(f"{report.images:,} images, {len(report.errors)} errors, {len(report.warnings)} warnings")
    sys.exit(1 if report.errors else 0)
