"""What all tests share: the card they may need, the photographs they may read, and no deadlines."""

import importlib.util
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # two threads on cores that others use wait for each other, spinning
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # hundreds of processes would each compile what they import
os.environ.pop("PYTEST_XDIST_WORKER", None)  # what a test starts is no worker: pytest-benchmark would measure nothing

if importlib.util.find_spec("hypothesis"):  # a GPU machine may lack it
    from hypothesis import settings

    settings.register_profile("fastbs", parent=settings.get_profile(settings.get_current_profile_name()), deadline=None)
    settings.load_profile("fastbs")


def pytest_ignore_collect(collection_path, config):
    """`-m gpu` reads only files that speak of the marker: others may import what a GPU machine lacks."""
    if config.option.markexpr == "gpu" and collection_path.suffix == ".py":
        return "mark.gpu" not in collection_path.read_text()
    return None


def pytest_collection_modifyitems(items):
    """Skip what needs a card where there is none; torch is imported only if something needs one.

    Files with slow tests come first, before all the README, one long test: several workers then end at about the same
    time.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in slow, len(item.path.parts)))
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked and (reason := why_no_gpu()):
        for item in marked:
            item.add_marker(pytest.mark.skip(reason=reason))


def why_no_gpu() -> str:
    """Empty where torch can use a GPU, otherwise why it cannot."""
    if not importlib.util.find_spec("torch"):
        return "needs a GPU: torch is not installed"
    import torch

    if torch.cuda.is_available():
        return ""
    built = torch.version.cuda
    return f"needs a GPU: torch {torch.__version__} " + ("sees none" if built else "is built without CUDA")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that holds scenes.tar and its like: FASTBS_SHARED_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("FASTBS_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "scenes.tar").is_file():
        pytest.skip(f"the photographs are not here ({folder}/scenes.tar); FASTBS_SHARED_DATA names their folder")
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    """Two classes of 40 small images that differ in what is drawn on them: learnable, quick."""
    from PIL import Image, ImageDraw

    root = tmp_path_factory.mktemp("photos")
    for label in ("bars", "dots"):
        (root / label).mkdir()
        for number in range(40):
            image = Image.new("RGB", (16, 16), (number * 5, 90, 120))
            draw, shift = ImageDraw.Draw(image), number % 4
            if label == "bars":
                draw.rectangle((2 + shift, 2, 4 + shift, 13), fill=(250, 250, 250))
            else:
                draw.ellipse((4 + shift, 5, 9 + shift, 10), fill=(250, 250, 250))
            image.save(root / label / f"{number:02d}.png")
    return root
