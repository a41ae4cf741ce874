"""When and where pytest-benchmark wrote a file; the benches of fastbs are written by it too."""

from __future__ import annotations

from datetime import UTC, datetime

from fastbs.analysis.comparison.records import Start
from fastbs.results.checked import Checked


def start_of(document: Checked) -> Start | None:
    """Its `datetime`, UTC unless it says otherwise, and the name of its machine; None where it has no time."""
    written = document.get("datetime").known(Checked.text)
    node = document.get("machine_info").get("node").known(Checked.text)
    try:
        moment = datetime.fromisoformat(written or "")
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return Start(seconds, seconds, node)
