"""How fast is the user's own step, at every batch size?"""

from __future__ import annotations

from typing import Any

from fastbs.bench.session import check_row, replayed

QUESTION = "step"


@replayed
def test_step(row: dict[str, Any], benchmark: Any) -> None:
    check_row(row, benchmark)
