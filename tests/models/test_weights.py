from __future__ import annotations

import logging

import pytest
import torch

from fastbs import models
from fastbs.errors import BadInput


def build(seed: int, *, classes: int = 5, name: str = "resnet18", **more):
    torch.manual_seed(seed)
    return models.build(name, classes=classes, image_size=32, **more)


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"schema": 1, "model": state, "updates": 3}])
def test_weights_come_back_from_a_state_dict_and_from_a_checkpoint(tmp_path, wrap):
    before = build(0)
    torch.save(wrap(before.state_dict()), tmp_path / "w.pt")
    after = build(1, init=str(tmp_path / "w.pt"))
    torch.testing.assert_close(after.state_dict(), before.state_dict(), rtol=0, atol=0)


def test_a_classifier_for_other_classes_stays_fresh_and_is_logged(tmp_path, caplog):
    before = build(0, classes=5)
    torch.save(before.state_dict(), tmp_path / "w.pt")
    with caplog.at_level(logging.WARNING):
        after = build(1, classes=3, init=str(tmp_path / "w.pt")).state_dict()
    fresh = build(1, classes=3).state_dict()
    for key, value in before.state_dict().items():
        expected = fresh[key] if key.startswith("fc.") else value
        torch.testing.assert_close(after[key], expected, rtol=0, atol=0)
    assert "5 classes there, 3 here: fc starts fresh" in caplog.text


def test_older_files_without_batch_counters_and_files_with_an_auxiliary_head_load(tmp_path):
    before = build(0)
    state = {k: v for k, v in before.state_dict().items() if not k.endswith("num_batches_tracked")}
    torch.save(state | {"AuxLogits.fc.weight": torch.zeros(5, 768)}, tmp_path / "w.pt")
    after = build(1, init=str(tmp_path / "w.pt"))
    torch.testing.assert_close(after.conv1.weight, before.conv1.weight, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("layer1.0.conv1.weight"), "has no layer1.0.conv1.weight"),
        (lambda s: s.update(extra=torch.zeros(1)), "has extra, which the model has not"),
        (lambda s: s.update({"conv1.weight": torch.zeros(64, 3, 7, 7)}), "conv1.weight is 64x3x7x7 .* and 64x3x3x3"),
        (lambda s: s.update({"fc.weight": torch.zeros(5, 9)}), "fc.weight is 5x9 there and 5x512 here"),
    ],
)
def test_the_first_key_that_does_not_fit_is_named(tmp_path, change, said):
    state = build(0).state_dict()
    change(state)
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(BadInput, match=f"^init: .*w.pt: {said}"):
        build(1, init=str(tmp_path / "w.pt"))


def test_a_file_that_is_none_is_refused_and_never_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    torch.save({"model": Trap()}, tmp_path / "trap.pt")
    (tmp_path / "text.pt").write_text("not weights")
    torch.save({"a": 1}, tmp_path / "other.pt")
    for file, said in [
        ("trap.pt", "not a readable weight file"),
        ("text.pt", "not a readable weight file"),
        ("other.pt", "holds no state_dict"),
        ("absent.pt", "no such file"),
    ]:
        with pytest.raises(BadInput, match=f"{file}: {said}"):
            build(0, name="small", init=str(tmp_path / file))
    assert not (tmp_path / "sprung").exists()
