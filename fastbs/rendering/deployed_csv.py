"""What was exported from a sweep, as further columns of its CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEYS = ("exported", "top1_trained", "top1", "agreement", "flips", "error")
TIMES = ("p50_ms", "p99_ms", "images_per_second")


def deployed_columns(deployed: Sequence[Mapping[str, Any]], arm: str, batch_size: int) -> dict[str, Any]:
    """All of one training batch size, kind by kind: "onnx fp16 checks ok", "onnx fp16 p99_ms at 32", ...

    The machine is part of a name where latencies of several are there.
    """
    several = len({cell["machine"] for row in deployed for cell in row["latency"]}) > 1
    columns: dict[str, Any] = {}
    for row in deployed:
        if (row["arm"], row["batch_size"]) == (arm, batch_size):
            named = {key: row[key] for key in KEYS}
            named |= {f"checks {status}": n for status, n in row["checks"].items()}
            for cell in row["latency"]:
                where = f"at {cell['batch_size']}" + (", graph" if cell["cuda_graph"] else "")
                where += f" on {cell['machine']}" if several else ""
                named |= {f"{key} {where}": cell[key] for key in TIMES}
            columns |= {f"{row['to']} {row['precision']} {name}": value for name, value in named.items()}
    return columns
