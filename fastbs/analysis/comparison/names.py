"""What a person calls a row."""

from __future__ import annotations

from fastbs.analysis.comparison.records import Key

UNSAID = {"allocator": "fastbs", "arm": "main", "input": "synthetic", "cuda_graph": False}  # needs no word
WORDS = {"image_size": "{} px", "trained_at": "trained at {}", "cuda_graph": "CUDA graph"}


def name_of(curve: Key) -> str:
    """A key without its batch size in words, "throughput small fp32 synthetic eager"; of a foreign file its name."""
    settings = dict(curve)
    if settings["question"] == "benchmark":
        return str(settings["fullname"])
    said = [
        WORDS.get(name, "{}").format(value)
        for name, value in settings.items()
        if name != "batch_size" and value is not None and UNSAID.get(name) != value
    ]
    return " ".join(said)
