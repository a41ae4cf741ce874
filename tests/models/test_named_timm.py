"""timm is stood in for by a module with its functions: what we ask of it and say about it, not timm, is tested here."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest
from torch import nn

from fastbs import models
from fastbs.errors import BadInput


@pytest.fixture
def timm(monkeypatch):
    """Knows resnet18, whose weights cannot be had, and vit, which is made for one size; notes what it was asked."""
    asked = []

    def create_model(name, **options):
        asked.append((name, options))
        if options["pretrained"]:
            raise RuntimeError("no weights\nfor this name")
        return nn.Linear(1, options["num_classes"])

    fake = SimpleNamespace(
        __version__="1.0",
        is_model=lambda name: name in ("resnet18", "vit"),
        list_models=lambda: ["resnet18", "vit"],
        get_pretrained_cfg=lambda name, allow_unregistered: SimpleNamespace(fixed_input_size=name == "vit"),
        create_model=create_model,
        asked=asked,
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    return fake


def test_classes_reach_timm_and_the_size_only_nets_that_need_it(timm):
    models.build("timm:resnet18.some_weights", classes=5, image_size=64)
    models.build("timm:vit", classes=5, image_size=64)
    assert timm.asked == [
        ("resnet18.some_weights", {"pretrained": False, "num_classes": 5}),
        ("vit", {"pretrained": False, "num_classes": 5, "img_size": 64}),
    ]


def test_an_unknown_name_gets_the_close_ones(timm):
    with pytest.raises(BadInput, match="^model: timm:rsnet18 is not known to timm 1.0; close: timm:resnet18"):
        models.build("timm:rsnet18", classes=5, image_size=64)


def test_weights_that_cannot_be_had_are_said_in_one_line(timm):
    with pytest.raises(
        BadInput, match="^model: timm:resnet18 cannot be built: RuntimeError: no weights for this name$"
    ):
        models.build("timm:resnet18", classes=5, image_size=64, pretrained=True)


def test_missing_timm_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BadInput, match=r"needs timm .*'fastbs\[peers\]'"):
        models.build("timm:resnet18", classes=5, image_size=64)
