"""Any code of the user's that takes a batch size: how it is named, found again in a fresh process, and timed."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from fastbs.errors import BadInput
from fastbs.measurement.allocator import allocator
from fastbs.measurement.memory import memory_held
from fastbs.measurement.steady import measure_steady
from fastbs.worker import started

FILE_AS = "fastbs_own_step"  # the name under which a file is imported: not __main__, so that a script does not start


def measure_own_step(
    function: str, batch_size: int, device: str, threads: int, blocks: int, block_seconds: float
) -> dict[str, Any]:
    """A sample: blocks of the step that `function`, as `reference` names it, returns for `batch_size`.

    Where device is "cuda", the ends of blocks wait for the card through torch; on a CPU torch is imported only if the
    user's code does. `threads` is set for torch; other libraries have theirs from the environment. What the user's code
    raises passes through.
    """
    make_step = load(function)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
    with _its_own_failures():
        step = make_step(batch_size)
    if not callable(step):
        raise BadInput(
            f"function: {function} returned {type(step).__name__} for batch size {batch_size}; "
            "it must return one step, a callable without arguments"
        )
    with _its_own_failures():
        steady = measure_steady(step, device, blocks=blocks, block_seconds=block_seconds)
    return steady.to_json() | {
        "images": batch_size,
        "phases": None,
        "memory": memory_held(device),
        "allocator": allocator(),
    }


@contextmanager
def _its_own_failures() -> Iterator[None]:
    """What is missing to the user's code is a failure of that size, not something that fastbs could not find."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise RuntimeError(f"ModuleNotFoundError: {error}") from error


def reference(make_step: Callable[[int], Callable[[], object]] | str) -> str:
    """The name by which a fresh process finds `make_step`: "module:name", or "file.py:name" of a script that runs.

    The file is relative to the current directory if it lies below it. BadInput for what only this process can know:
    lambdas, functions inside functions, methods, notebook cells; and in a fresh process, where a script that is
    imported would measure itself without end.
    """
    if started.VARIABLE in os.environ:
        raise BadInput(
            "function: its file measures as soon as it is imported, and fresh processes import it; "
            'put what it does under if __name__ == "__main__":'
        )
    if isinstance(make_step, str):
        return make_step
    name = getattr(make_step, "__qualname__", None) or repr(make_step)
    module = sys.modules.get(getattr(make_step, "__module__", None) or "")
    if module is None or getattr(module, name, None) is not make_step:
        raise _unreachable(name)
    if module.__name__ != "__main__":
        return f"{module.__name__}:{name}"
    if module.__spec__ is not None:  # python -m
        return f"{module.__spec__.name}:{name}"
    file = getattr(module, "__file__", None)
    if file is None:
        raise _unreachable(name)
    path, here = Path(file).resolve(), Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{name}"


def load(function: str) -> Callable[..., object]:
    """The function that "module:name" or "file.py:name" names; BadInput says what is wrong with it.

    The current directory counts as importable, after everything that is installed; a file's own folder, before, as when
    Python runs it.
    """
    where, _, name = function.rpartition(":")
    module = _import_file(Path(where), function) if where.endswith(".py") else _import_module(where, function)
    found: object = getattr(module, name, None)
    if not callable(found):
        functions = [known for known, value in vars(module).items() if callable(value)]
        close = get_close_matches(name, functions, n=1)
        meant = f"; did you mean {where}:{close[0]}?" if close else ""
        raise BadInput(f"function: {function}: {module.__file__ or where} has no function {name!r}{meant}")
    return found


def _import_file(file: Path, function: str) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        raise BadInput(f"function: {function}: there is no file {path}")
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(FILE_AS, path)
    assert spec is not None and spec.loader is not None  # the name ends with .py
    module = sys.modules[FILE_AS] = importlib.util.module_from_spec(spec)
    with _import_errors_said(function):
        spec.loader.exec_module(module)
    return module


def _import_module(name: str, function: str) -> ModuleType:
    if not name:
        raise BadInput(f"function: {function!r} is neither module:name nor file.py:name")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    with _import_errors_said(function):
        return importlib.import_module(name)


@contextmanager
def _import_errors_said(function: str) -> Iterator[None]:
    try:
        yield
    except (BadInput, MemoryError):
        raise
    except Exception as error:  # the user's code runs here: anything may come
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise BadInput(
            f"function: {function} cannot be imported: {said}; "
            "it is looked for in the current directory and on PYTHONPATH"
        ) from error


def _unreachable(name: str) -> BadInput:
    return BadInput(
        f"function: a fresh process cannot import {name}; put it in a file, as a function at its top level, and give "
        '"file.py:name"'
    )
