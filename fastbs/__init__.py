"""fastbs: which batch size? Measured, explained, compared.

The verbs load what they need when they are first used: `fastbs.sweep(config, out)`, `fastbs.train(config, out)`,
`fastbs.measure_step(make_step, batch_sizes)`, `fastbs.advise(records)`.
"""

from __future__ import annotations

import importlib
from typing import Any

_VERBS = {
    "sweep": "fastbs.sweeps.sweep",
    "train": "fastbs.sweeps.single",
    "measure_step": "fastbs.bench.measure_step",
    "advise": "fastbs.sweeps.advise",
}

__all__ = ["__version__", *_VERBS]


def __getattr__(name: str) -> Any:
    if name in _VERBS:
        return getattr(importlib.import_module(_VERBS[name]), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version  # 40 ms that few need

        try:
            return version("fastbs")
        except PackageNotFoundError:
            return "0+source"
    raise AttributeError(f"module 'fastbs' has no attribute {name!r}")
