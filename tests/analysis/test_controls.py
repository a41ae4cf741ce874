import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.controls import attribute

SMALLEST, LARGER = 1, 32
TRAIN, VALIDATION, FEATURES, EPOCHS = 320, 3000, 10, 2


def sgd(seed, batch_size, lr, updates):
    """Validation top1 of a logistic regression after `updates` of SGD; a seed gives data, order and first weights."""
    rng = np.random.default_rng(seed)
    truth = np.ones(FEATURES)
    images = rng.standard_normal((TRAIN + VALIDATION, FEATURES))
    labels = (images @ truth + 0.5 * rng.standard_normal(len(images)) > 0).astype(float)
    weights = rng.standard_normal(FEATURES)
    order = np.concatenate([rng.permutation(TRAIN) for _ in range(1 + updates * batch_size // TRAIN)])
    for update in range(updates):
        batch = order[update * batch_size : (update + 1) * batch_size]
        chance = 1 / (1 + np.exp(-images[batch] @ weights))
        weights += lr * (labels[batch] - chance) @ images[batch] / batch_size
    return float(((images[TRAIN:] @ weights > 0) == labels[TRAIN:]).mean())


def sweep(lr, seeds=4, epochs=EPOCHS, spoil=lambda top1, batch_size: top1):
    """The settings that `attribute` compares, trained at equal epochs and one rate, as by the post."""

    def top1(batch_size, rate, updates):
        return {seed: spoil(sgd(seed, batch_size, rate, updates), batch_size) for seed in range(seeds)}

    updates = epochs * TRAIN // LARGER
    return attribute(
        top1(SMALLEST, lr, LARGER * updates),
        top1(LARGER, lr, updates),
        {
            "same-updates": top1(LARGER, lr, LARGER * updates),
            "scaled-lr": top1(LARGER, lr * LARGER / SMALLEST, updates),
        },
        1 / VALIDATION,
    )


def test_at_a_small_constant_rate_updates_and_rate_explain_the_loss():
    found = sweep(lr=0.02)
    assert found.loss == "proven"
    assert found.difference.estimate < -0.05
    assert found.explained_by == ("updates", "rate")
    assert all(control.share > 0.8 for control in found.controls.values())
    assert found.excluded_loss < 0.03


def test_a_loss_by_averaging_itself_is_not_explained_away():
    found = sweep(lr=0.02, spoil=lambda top1, batch_size: top1 - 0.02 * np.log2(batch_size))
    assert found.loss == "proven"
    assert found.explained_by == ()
    assert all(control.left_over.high < 0 for control in found.controls.values())
    assert found.excluded_loss is None


def test_without_a_loss_there_is_nothing_to_explain():
    found = sweep(lr=0.5, epochs=20)
    assert found.loss == "not proven"
    assert found.explained_by == ()
    assert 0 <= found.excluded_loss < 0.05


def test_one_seed_proves_nothing():
    found = sweep(lr=0.02, seeds=1)
    assert found.loss == "cannot tell"
    assert found.explained_by == () and found.excluded_loss is None


RESOLUTION = 1e-9
BASE = {0: 0.95, 1: 0.94, 2: 0.96}
WORSE = {0: 0.80, 1: 0.78, 2: 0.81}


def test_one_control_can_explain_where_the_other_does_not():
    found = attribute(BASE, WORSE, {"same-updates": WORSE, "scaled-lr": {0: 0.951, 1: 0.938, 2: 0.96}}, RESOLUTION)
    assert found.explained_by == ("rate",)
    assert found.controls["same-updates"].share == pytest.approx(0)


def test_less_than_half_of_a_loss_explains_nothing_however_noisy_the_rest():
    noisy, larger = {0: 0.74, 1: 0.80, 2: 0.86}, {0: 0.60, 1: 0.60, 2: 0.60}
    found = attribute(noisy, larger, {"same-updates": {0: 0.66, 1: 0.66, 2: 0.66}}, RESOLUTION)
    control = found.controls["same-updates"]
    assert found.loss == "proven" and control.gain.low > 0 and control.left_over.high > 0
    assert control.share == pytest.approx(0.3) and found.explained_by == ()


def test_what_an_interval_of_the_whole_loss_leaves_over_explains_nothing():
    """Loss -10.0, left over -4.7 [-9.7, +0.3]: nothing left is possible, and so is nearly all of the loss."""
    larger = {seed: top1 - 0.1 for seed, top1 in BASE.items()}
    found = attribute(BASE, larger, {"scaled-lr": {0: 0.8827, 1: 0.893, 2: 0.9333}}, RESOLUTION)
    control = found.controls["scaled-lr"]
    assert found.loss == "proven" and control.gain.low > 0 and control.share > 0.5 and control.left_over.high > 0
    assert control.left_over.low < found.difference.estimate / 2
    assert found.explained_by == () and found.excluded_loss is None and control.open


def test_of_a_loss_smaller_than_two_points_a_point_may_be_left_open():
    worse = {seed: top1 - loss for (seed, top1), loss in zip(BASE.items(), (0.014, 0.015, 0.016), strict=True)}
    near = {seed: top1 - loss for (seed, top1), loss in zip(BASE.items(), (0.0, 0.002, 0.005), strict=True)}
    found = attribute(BASE, worse, {"scaled-lr": near}, RESOLUTION)
    assert -0.01 < found.controls["scaled-lr"].left_over.low < found.difference.estimate / 2
    assert found.explained_by == ("rate",) and not found.controls["scaled-lr"].open


def test_a_gain_that_luck_could_give_explains_nothing():
    found = attribute(BASE, WORSE, {"scaled-lr": {0: 0.96, 1: 0.78, 2: 0.98}}, RESOLUTION)
    control = found.controls["scaled-lr"]
    assert found.loss == "proven" and control.share > 0.5 and control.left_over.high > 0
    assert control.gain.low < 0 and found.explained_by == ()


def test_a_lower_mean_alone_is_no_loss():
    found = attribute(BASE, {0: 0.85, 1: 0.99, 2: 0.92}, {"scaled-lr": BASE}, RESOLUTION)
    assert found.difference.estimate < 0 and found.loss == "not proven"
    assert found.excluded_loss == -found.difference.low and found.explained_by == ()


def test_controls_that_are_missing_or_have_other_seeds_are_left_out():
    assert attribute(BASE, WORSE, {}, RESOLUTION).controls == {}
    assert attribute(BASE, WORSE, {"scaled-lr": {7: 0.9}}, RESOLUTION).controls == {}
    assert attribute(BASE, {7: 0.9}, {}, RESOLUTION) is None


@given(st.dictionaries(st.integers(0, 4), st.floats(0, 1), min_size=2), st.floats(-0.5, 0.5))
def test_a_shift_of_all_seeds_is_a_loss_exactly_when_it_is_downward(top1, shift):
    found = attribute(top1, {seed: value + shift for seed, value in top1.items()}, {"scaled-lr": top1}, RESOLUTION)
    if abs(shift) > 1e-6:
        assert (found.loss == "proven") == (shift < 0)
        assert (found.explained_by == ("rate",)) == (shift < 0)
