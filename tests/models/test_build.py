from __future__ import annotations

import pytest
import torch
from torch import nn

from fastbs import models
from fastbs.errors import BadInput
from fastbs.models.build import OURS
from fastbs.models.normalisation import NORMS

SMALL = {"small": 32, "resnet18": 32, "resnet50": 32, "inception_v3": 75}  # a size at which each is quick


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine the threads of such small work wait for each other longer than they work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_every_model_of_ours_is_tested_here():
    assert set(SMALL) == set(OURS)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("norm", NORMS)
def test_logits_have_one_row_an_image_and_every_parameter_learns(name, norm):
    torch.manual_seed(0)
    model = models.build(name, classes=7, image_size=SMALL[name], norm=norm)
    images = torch.randn(2, 3, SMALL[name], SMALL[name]).contiguous(memory_format=torch.channels_last)
    logits = model.to(memory_format=torch.channels_last)(images)
    assert logits.shape == (2, 7)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    if norm != "batch":  # two values of a channel normalise to -1 and 1 whatever they were, and pass no gradient on
        assert [key for key, p in model.named_parameters() if not p.grad.any()] == []


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("norm", NORMS)
def test_a_net_has_the_normalisation_it_was_asked_for(name, norm):
    with torch.device("meta"):
        model = models.build(name, classes=7, image_size=SMALL[name], norm=norm)
    assert models.norm_of(model) == norm
    biased = {m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d)}
    assert biased == {norm == "none"}


@pytest.mark.parametrize("name", ["small", "resnet18"])
@pytest.mark.parametrize("norm", NORMS)
def test_layout_does_not_change_the_answer(name, norm):
    torch.manual_seed(0)
    model = models.build(name, classes=7, image_size=SMALL[name], norm=norm).eval()
    images = torch.randn(2, 3, SMALL[name], SMALL[name])
    with torch.no_grad():
        planar = model(images)
        interleaved = model.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(interleaved, planar, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_without_normalisation_logits_start_neither_vanished_nor_blown_up(name):
    torch.manual_seed(0)
    size = 139 if name == "inception_v3" else 32
    model = models.build(name, classes=100, image_size=size, norm="none").eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, size, size))
    assert 0.1 < logits.std() < 4


@pytest.mark.parametrize(
    ("name", "image_size", "norm", "count"),
    [
        ("small", 32, "group", 70_618 + 990 * 65),
        ("resnet18", 224, "batch", 11_689_512),  # these three as torchvision counts them
        ("resnet50", 224, "batch", 25_557_032),
        ("inception_v3", 299, "batch", 27_161_264 - 3_326_696),  # less the auxiliary head
    ],
)
def test_parameters_at_1000_classes(name, image_size, norm, count):
    with torch.device("meta"):
        model = models.build(name, classes=1000, image_size=image_size)
    assert parameters(model) == count
    assert models.norm_of(model) == norm


def test_inception_gives_the_optimizer_284_tensors():
    with torch.device("meta"):
        model = models.build("inception_v3", classes=1000, image_size=299)
    assert len(list(model.parameters())) == 284


@pytest.mark.parametrize(("image_size", "side"), [(32, 4), (64, 8), (65, 3), (224, 7)])
def test_resnets_keep_the_resolution_of_small_images(image_size, side):
    with torch.device("meta"):
        model = models.build("resnet18", classes=7, image_size=image_size)
        seen = []
        model.layer4.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
        model(torch.empty(2, 3, image_size, image_size))
    assert seen == [(2, 512, side, side)]


def test_equal_seeds_give_equal_nets():
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(models.build("small", classes=3, image_size=32).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["stem.weight"], states[2]["stem.weight"])


@pytest.mark.parametrize("norm", NORMS)
def test_small_learns_to_tell_simple_images_apart(norm):
    """Four classes, one lit quadrant each, under noise: chance is a fourth."""
    torch.manual_seed(0)
    model = models.build("small", classes=4, image_size=16, norm=norm)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def draw(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.randint(4, (count,))
        images = 0.3 * torch.randn(count, 3, 2, 8, 2, 8)
        images[torch.arange(count), :, labels // 2, :, labels % 2] += 1
        return images.view(count, 3, 16, 16), labels

    for _ in range(60):
        images, labels = draw(16)
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    images, labels = draw(200)
    with torch.no_grad():
        assert (model(images).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"name": "smal"}, "model: 'smal' is unknown; did you mean small? known: small, resnet18, resnet50"),
        ({"name": "zzz"}, "model: 'zzz' is unknown; known: small"),
        ({"name": "small", "norm": "layer"}, "norm: 'layer' is unknown; known: group, batch, none"),
        ({"name": "small", "pretrained": True}, "pretrained: small brings no weights"),
        ({"name": "small", "image_size": 1}, "image-size: 1 is too small for small"),
        (
            {"name": "inception_v3", "image_size": 74},
            "image-size: 74 is too small for inception_v3; it needs at least 75",
        ),
        ({"name": "timm:resnet18", "norm": "group"}, "norm: timm:resnet18 decides"),
        ({"name": "mine:net", "norm": "group"}, "norm: mine:net decides"),
    ],
)
def test_a_mistake_is_named_with_the_way_out(asked, said):
    with pytest.raises(BadInput) as caught:
        models.build(**({"classes": 7, "image_size": 32} | asked))
    assert str(caught.value).startswith(said)
