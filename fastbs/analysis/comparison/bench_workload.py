"""What the numbers of a bench depend on besides the settings that name its rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastbs.results.checked import Checked

NET = ("image_size", "norm", "classes")  # of a model, as the bench made it
LOADING = ("augment", "loader_threads")  # likewise; matters only where images are read
OF_MODELS = {"throughput": NET, "inference": NET, "accuracy": NET, "data": ()}
OF_PLAN = {"throughput": ("optimizer",), "accuracy": ("optimizer", "target", "epochs", "lr")}


def bench_workload(bench: Checked) -> dict[str, Any]:
    """Flat names and values; None is what the file does not know.

    What holds for one question only is named after it, so that files of different questions make one side. How long and
    how often was measured is no part of it.
    """
    settings = bench.get("settings")
    questions: dict[str, bool] = {}  # whether it reads images
    for row in bench["rows"].each():
        question = row["question"].text()
        reads = question in ("data", "accuracy") or row.get("input").value == "real"
        questions[question] = reads or questions.get(question, False)
    return {
        "protocol": bench.get("protocol").known(Checked.count) or 1,  # unsaid: the first
        **{name: settings.get(name).scalar() for name in ("device", "threads")},
        **{
            f"{question}.{name}": value.scalar()
            for question, reads_images in questions.items()
            for name, value in _of_question(settings, question, reads_images)
        },
    }


def _of_question(settings: Checked, question: str, reads_images: bool) -> Iterator[tuple[str, Checked]]:
    for name in OF_PLAN.get(question, ()):
        yield name, settings.get("plan").get(name)
    if reads_images:
        yield "dataset", settings.get("dataset").get("fingerprint")
    if question in OF_MODELS:
        for model, facts in settings.get("models").items():
            for name in (*OF_MODELS[question], *(LOADING if reads_images else ())):
                yield f"{model}.{name}", facts.get(name)
    if question == "inference":
        for artifact in settings.get("artifacts").each():
            if artifact["backend"].text() != "onnx":  # only engines are tuned for sizes
                named = [artifact[name].scalar() for name in ("backend", "precision", "trained_at")]
                yield f"{' '.join(map(str, named))}.profiles", artifact["profiles"]
