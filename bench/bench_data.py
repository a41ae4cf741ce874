"""How fast do images arrive, at every batch size, from every loader?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "data"


@replayed
def test_data(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
