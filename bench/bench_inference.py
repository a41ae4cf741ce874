"""How many images per second does the trained net classify, at every batch size?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "inference"


@replayed
def test_inference(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
