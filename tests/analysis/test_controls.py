import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.controls import attribute
from fastbs.analysis.spread import Spread

SMALLEST, LARGER = 1, 32
TRAIN, VALIDATION, FEATURES, EPOCHS = 320, 3000, 10, 2
MARGIN = 0.03


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
        Spread(resolution=1 / VALIDATION),
        MARGIN,
    )


def test_at_a_small_constant_rate_the_scaled_rate_explains_the_loss():
    found = sweep(lr=0.02)
    assert found.loss == "proven" and found.cause == "rate"
    assert found.difference.estimate < -0.05
    assert all(control.share > 0.8 for control in found.controls.values())
    assert found.excluded_loss == MARGIN


def test_a_loss_by_averaging_itself_is_not_explained_away():
    found = sweep(lr=0.02, spoil=lambda top1, batch_size: top1 - 0.02 * np.log2(batch_size))
    assert found.loss == "proven" and found.cause == "open"  # the rate gives a part back
    assert all(control.left_over.high < 0 for control in found.controls.values())
    assert found.excluded_loss is None


def test_without_a_loss_there_is_nothing_to_explain():
    found = sweep(lr=0.5, epochs=20)
    assert found.loss == "not proven" and found.cause == "open" and found.excluded_loss is None


def test_one_seed_proves_nothing():
    found = sweep(lr=0.02, seeds=1)
    assert found.loss == "cannot tell" and found.cause == "open" and found.excluded_loss is None


EXACT = Spread(resolution=1e-9)
BASE = {0: 0.95, 1: 0.94, 2: 0.96}
WORSE = {0: 0.80, 1: 0.78, 2: 0.81}
CURED = {0: 0.951, 1: 0.938, 2: 0.96}


def causes(**controls):
    return attribute(BASE, WORSE, {arm.replace("_", "-"): top1 for arm, top1 in controls.items()}, EXACT, 0.01).cause


def test_a_scaled_rate_alone_can_explain_a_loss():
    assert causes(scaled_lr=CURED, same_updates=WORSE) == "rate"
    assert causes(root_lr=CURED, scaled_lr=WORSE) == "rate"
    assert causes(same_updates=CURED, scaled_lr=WORSE, root_lr=WORSE) == "open"  # it saw 32 times the images
    assert causes(same_updates=CURED) == "open"


def test_the_size_itself_is_at_fault_only_where_every_control_and_all_together_leave_a_loss():
    assert causes(same_updates=WORSE, scaled_lr=WORSE, root_lr=WORSE) == "size"
    assert causes(same_updates=WORSE, scaled_lr=WORSE) == "size"
    assert causes(scaled_lr=WORSE, root_lr=WORSE) == "open"  # nobody asked about the updates
    part = {seed: top1 + 0.08 for seed, top1 in WORSE.items()}
    assert causes(same_updates=part, scaled_lr=part) == "open"  # each gives back half


def test_a_rate_that_matters_leaves_the_cause_open():
    better, worse = ({seed: top1 + gain for seed, top1 in WORSE.items()} for gain in (0.03, -0.03))
    assert causes(same_updates=WORSE, scaled_lr=better, root_lr=WORSE) == "open"
    assert causes(same_updates=WORSE, scaled_lr=worse, root_lr=WORSE) == "open"


def test_what_is_left_over_within_the_margin_counts_as_nothing():
    near = {seed: top1 - loss for (seed, top1), loss in zip(BASE.items(), (0.004, 0.005, 0.006), strict=True)}
    assert attribute(BASE, WORSE, {"scaled-lr": near}, EXACT, 0.01).cause == "rate"
    assert attribute(BASE, WORSE, {"scaled-lr": near}, EXACT, 0.005).cause == "open"


def test_a_gain_that_luck_could_give_explains_nothing():
    assert causes(scaled_lr={0: 0.96, 1: 0.78, 2: 0.98}) == "open"


def test_a_lower_mean_alone_is_no_loss():
    found = attribute(BASE, {0: 0.85, 1: 0.99, 2: 0.92}, {"scaled-lr": BASE}, EXACT, 0.01)
    assert found.difference.estimate < 0 and found.loss == "not proven" and found.cause == "open"


def test_controls_that_are_missing_or_have_other_seeds_are_left_out():
    assert attribute(BASE, WORSE, {}, EXACT, 0.01).controls == {}
    assert attribute(BASE, WORSE, {"scaled-lr": {7: 0.9}}, EXACT, 0.01).controls == {}
    assert attribute(BASE, {7: 0.9}, {}, EXACT, 0.01) is None


@given(st.dictionaries(st.integers(0, 4), st.floats(0, 1), min_size=2), st.floats(-0.5, 0.5))
def test_a_shift_of_all_seeds_is_a_loss_exactly_when_it_is_downward(top1, shift):
    found = attribute(top1, {seed: value + shift for seed, value in top1.items()}, {"scaled-lr": top1}, EXACT, 0.01)
    if abs(shift) > 1e-6:
        assert (found.loss == "proven") == (shift < 0)
        assert (found.cause == "rate") == (shift < 0)
