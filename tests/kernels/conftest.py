"""Kernels run in Triton's interpreter only where it was switched on before triton was imported."""

import importlib.util
import os

import pytest


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("interpreter") and (reason := why_no_interpreter()):
            item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("gpu") and os.environ.get("TRITON_INTERPRET") == "1":
            item.add_marker(pytest.mark.skip(reason="kernels are interpreted: TRITON_INTERPRET=1"))


def why_no_interpreter() -> str:
    if not importlib.util.find_spec("triton"):
        return "triton is not installed"
    return "" if os.environ.get("TRITON_INTERPRET") == "1" else "needs TRITON_INTERPRET=1: `make test` sets it"
