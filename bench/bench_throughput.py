"""How many images per second does training take in, at every batch size?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "throughput"


@replayed
def test_throughput(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
