"""The fresh process itself: tie our life to the caller's, take the lock, call the target, tell how it ended."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from fastbs.errors import BadInput
from fastbs.results.lock import locked
from fastbs.worker import failures, started
from fastbs.worker.lifetime import die_with
from fastbs.worker.outcome import OtherRankLost


def answer_to(request: dict[str, Any]) -> dict[str, Any]:
    """Call the target: {"status", "reason", "value", ...} whatever happens inside it."""
    try:
        lock = request["lock"]
        with locked(Path(lock), wait=True) if lock else contextlib.nullcontext():
            module, _, function = request["target"].partition(":")
            value = getattr(importlib.import_module(module), function)(**request["arguments"])
            json.dumps(value, allow_nan=False)
            return {"status": "ok", "reason": None, "value": value}
    except BaseException as error:
        if not isinstance(error, BadInput | OtherRankLost):  # their message says all there is
            traceback.print_exc()
        return {"value": None} | failures.of_exception(error)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is the caller's to handle: it kills us
    request = json.load(sys.stdin)
    die_with(request["parent"])
    os.environ[started.VARIABLE] = repr(request["started"])
    told = json.dumps(answer_to(request)).encode()
    with os.fdopen(int(sys.argv[1]), "wb") as answer:
        answer.write(told)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # what libraries do while the interpreter shuts down can hang or crash, and is nobody's measurement


if __name__ == "__main__":
    main()
