"""The user's own model, as module:function."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches

from torch import nn

from fastbs.errors import BadInput


def own_model(name: str, *, classes: int, image_size: int) -> nn.Module:
    """What function(classes=..., image_size=...) of an importable module returns; BadInput names what is wrong.

    The current directory counts as importable, after everything that is installed.
    """
    function = _function(name)
    try:
        model = function(classes=classes, image_size=image_size)
    except Exception as error:  # the user's code: anything may come
        raise BadInput(
            f"model: {name}(classes={classes}, image_size={image_size}) failed: {_said(error)}; --debug shows where"
        ) from error
    if not isinstance(model, nn.Module):
        raise BadInput(f"model: {name} returned {type(model).__name__}; it must return a torch.nn.Module")
    return model


def _function(name: str) -> Callable[..., object]:
    module_name, _, function_name = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's code runs here too
        raise BadInput(f"model: {name}: module {module_name!r} cannot be imported: {_said(error)}") from error
    function: object = getattr(module, function_name, None)
    if not callable(function):
        where = getattr(module, "__file__", None) or module_name
        functions = [known for known, value in vars(module).items() if callable(value)]
        close = get_close_matches(function_name, functions, n=1)
        meant = f"; did you mean {module_name}:{close[0]}?" if close else ""
        raise BadInput(f"model: {name}: {where} has no function {function_name!r}{meant}")
    return function


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
