"""How long does training take to reach a target, at every batch size?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "accuracy"


@replayed
def test_accuracy(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
