"""What does one touch of every weight cost, and what part of a step is it?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "update"


@replayed
def test_weight_update(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
