from __future__ import annotations

import sys

import pytest
import torch

from fastbs import models
from fastbs.errors import BadInput

SOURCE = """
from torch import nn
number = 3

def net(*, classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * image_size**2, classes))

def text(*, classes, image_size):
    return "net"

def without_arguments():
    return None
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A current directory with the user's own module, found by nobody before and after."""
    (tmp_path / "my_nets_for_this_test.py").write_text(SOURCE)
    (tmp_path / "my_broken_nets_for_this_test.py").write_text("import no_such_module_anywhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("nets_for_this_test")]:
        del sys.modules[name]


def test_a_function_in_the_current_directory_is_called_with_classes_and_size(here):
    model = models.build("my_nets_for_this_test:net", classes=5, image_size=8)
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such_module_anywhere:net", "module 'no_such_module_anywhere' cannot be imported: ModuleNotFoundError"),
        ("my_broken_nets_for_this_test:net", "cannot be imported: ModuleNotFoundError: No module named 'no_such"),
        ("my_nets_for_this_test:nets", "has no function 'nets'; did you mean my_nets_for_this_test:net\\?"),
        ("my_nets_for_this_test:number", "my_nets_for_this_test.py has no function 'number'"),
        ("my_nets_for_this_test:", "has no function ''"),
        (":net", "module '' cannot be imported"),
        ("my_nets_for_this_test:text", "returned str; it must return a torch.nn.Module"),
        ("my_nets_for_this_test:without_arguments", "failed: TypeError: .*unexpected keyword"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_one_line(here, name, said):
    with pytest.raises(BadInput, match=said) as caught:
        models.build(name, classes=5, image_size=8)
    assert str(caught.value).startswith(f"model: {name}")
    assert "\n" not in str(caught.value)
