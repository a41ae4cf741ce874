"""Hold of a side: starts it in its tree, asks it, and makes sure that it runs the code of that tree."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fastbs
from fastbs.ab.side import VERSION
from fastbs.ab.worktree import Tree
from fastbs.errors import BadInput

OURS = Path(fastbs.__file__).resolve().parents[1]
PATIENCE = 10  # seconds for a side to kill what it measures and to tidy up
LAST = 2000  # characters of what a side printed before it died


class Remote:
    """A side that answers; `opened` is what it said of its plan."""

    def __init__(self, name: str, tree: Tree, code: Path, process: subprocess.Popen[str], printed: Any) -> None:
        self.name = name
        self.tree = tree
        self._code = code
        self._process = process
        self._printed = printed
        self.opened: dict[str, Any] = {}

    def ask(self, what: str, **arguments: Any) -> Any:
        """What the side answers, once it does. BadInput when it refuses what the user asked for, or is too old."""
        self.tell(what, **arguments)
        return self.answer()

    def tell(self, what: str, **arguments: Any) -> None:
        """Ask, and do not wait for the answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is dead: its answer will say so
            self._process.stdin.write(json.dumps({"ask": what, "arguments": arguments}) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._died()
        answer = json.loads(line)
        if "bad_input" in answer:
            raise BadInput(f"{self.name}: {answer['bad_input']}")
        return answer["value"]

    def is_open(self) -> None:
        """Take the answer to "open". BadInput as `answer`; RuntimeError should a process there import other code."""
        self.opened = self.answer()
        if self.opened["version"] != VERSION:
            raise BadInput(f"{self.name}: its fastbs ab speaks version {self.opened['version']}, not {VERSION}")
        imported = {self.opened["code"], *self.opened["measured_code"]}
        if imported != {str(self._code)}:
            raise RuntimeError(f"side {self.name} imports {sorted(imported)}, not {self._code} alone")

    def fileno(self) -> int:
        """What can be read once there is an answer (`select`)."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def _died(self) -> Exception:
        self._process.wait()
        self._printed.seek(0)
        said = self._printed.read().decode(errors="replace").strip()[-LAST:]
        if not self.opened:
            last = said.splitlines()[-1] if said else f"ended with code {self._process.returncode}"
            return BadInput(f"{self.name}: its code does not start ({last}); choose another ref, or mend it")
        return RuntimeError(f"side {self.name} ended with code {self._process.returncode}: {said.splitlines()[-1:]}")


@contextmanager
def opened_side(name: str, tree: Tree, plan: dict[str, Any]) -> Iterator[Remote]:
    """A side that works in the folder of `tree` and has opened `plan`; it and what it measures are dead afterwards."""
    with opening_side(name, tree, plan) as side:
        side.is_open()
        yield side


@contextmanager
def opening_side(name: str, tree: Tree, plan: dict[str, Any]) -> Iterator[Remote]:
    """The same while it opens, so that several can at once: `is_open` waits for it.

    Its code is the fastbs around the folder where there is one, else ours: then it is code of the user's that differs.
    """
    folder = tree.folder
    holds = (at for at in (folder, *folder.parents) if (at / "fastbs" / "__init__.py").is_file())
    code = next(holds, OURS).resolve()
    if not (code / "fastbs" / "ab" / "side.py").is_file():  # looked at, not tried: an editable install would lend ours
        raise BadInput(f"{name}: its fastbs is older than fastbs ab; compare bench files with fastbs compare")
    path = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "fastbs.ab.side", str(os.getpid())],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
            text=True,
        )
        try:
            remote = Remote(name, tree, code, process, printed)
            remote.tell("open", plan=plan)
            yield remote
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
