"""How far logits are apart, and when that is too far."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.parity import compare_logits
from fastbs.analysis.parity_gate import GATES, ParityGate

seeds = st.integers(0, 2**32 - 1)


def draw(seed, images=50, classes=7):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(images, classes)) * rng.uniform(0.1, 30), rng.integers(0, classes, images), rng


@given(seeds)
def test_a_net_agrees_with_itself(seed):
    logits, labels, _ = draw(seed)
    parity = compare_logits(logits, logits.copy(), labels)
    assert (parity.flips, parity.error_max, parity.agreement) == (0, 0, 1)
    assert parity.top1 == parity.top1_reference == (logits.argmax(1) == labels).mean()
    assert all(gate.broken_by(parity) == [] for gate in GATES.values())


@given(seeds, st.floats(0.01, 100), st.floats(1e-6, 1))
def test_errors_are_in_spreads_so_that_the_scale_of_the_logits_does_not_matter(seed, scale, noise):
    logits, labels, rng = draw(seed)
    other = logits + noise * logits.std() * rng.uniform(-1, 1, logits.shape)
    parity, scaled = (compare_logits(k * logits, k * other, labels) for k in (1, scale))
    assert scaled.flips == parity.flips and scaled.error_max == pytest.approx(parity.error_max, rel=1e-6)
    assert parity.error_max <= noise * (1 + 1e-9)
    assert parity.error_mean <= parity.error_p99 <= parity.error_max


@given(seeds, st.floats(0.01, 3))
def test_a_flip_needs_an_error_of_at_least_half_its_margin(seed, noise):
    logits, labels, rng = draw(seed)
    parity = compare_logits(logits, logits + noise * logits.std() * rng.normal(size=logits.shape), labels)
    assert parity.flips == len(parity.flip_margins) == round((1 - parity.agreement) * parity.images)
    assert all(0 <= margin <= 2 * parity.error_max for margin in parity.flip_margins)


@given(seeds)
def test_the_order_of_images_and_classes_does_not_matter(seed):
    logits, labels, rng = draw(seed)
    other = logits + 0.3 * logits.std() * rng.normal(size=logits.shape)
    rows, columns = rng.permutation(len(logits)), rng.permutation(logits.shape[1])
    one = compare_logits(logits, other, labels)
    two = compare_logits(logits[rows][:, columns], other[rows][:, columns], columns.argsort()[labels[rows]])
    assert (one.flips, one.top1, one.top1_reference) == (two.flips, two.top1, two.top1_reference)
    assert one.error_max == pytest.approx(two.error_max) and one.error_p99 == pytest.approx(two.error_p99)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of its relative errors, which nobody asked for
def test_polygraphy_finds_the_same():
    """An oracle that many use: its comparators on the same logits, image by image."""
    polygraphy = pytest.importorskip("polygraphy.comparator", reason="polygraphy is not installed")
    logits, labels, rng = draw(3, images=200)
    other = logits + 0.2 * logits.std() * rng.normal(size=logits.shape)
    parity = compare_logits(logits, other, labels)
    top1, same_class = polygraphy.TopKPostprocessFunc(k=1), polygraphy.IndicesCompareFunc(index_tolerance=0)

    def pairs():
        for rows in zip(logits, other, strict=True):
            yield [polygraphy.IterationResult(outputs={"logits": row[None]}) for row in rows]

    def within(tolerance):
        compare = polygraphy.SimpleCompareFunc(atol=tolerance * parity.error_max * parity.spread, rtol=0)
        return [bool(compare(here, there)["logits"]) for here, there in pairs()]

    agree = [bool(same_class(top1(here), top1(there))["logits"]) for here, there in pairs()]
    assert agree.count(False) == parity.flips > 0
    assert all(within(1.001)) and within(0.999).count(False) == 1


def test_an_answer_that_is_not_finite_is_wrong_and_breaks_every_gate():
    logits, labels, _ = draw(1)
    other = logits.copy()
    other[4, 2], other[9, 0] = np.nan, np.inf
    parity = compare_logits(logits, other, labels)
    assert parity.not_finite == parity.flips == 2 and parity.error_max is None
    json.dumps(parity.to_json(), allow_nan=False)
    assert all("2 of 50 images give logits that are not finite" in gate.broken_by(parity) for gate in GATES.values())


@pytest.mark.parametrize(
    ("reference", "deployed", "labels"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), [0, 1]),
        (np.full((2, 3), np.nan), np.ones((2, 3)), [0, 1]),
        (np.eye(3), np.eye(3)[:2], [0, 1, 2]),
        (np.eye(3), np.eye(3), [0, 1]),
        (np.empty((0, 3)), np.empty((0, 3)), []),
    ],
)
def test_nothing_is_measured_against_a_reference_that_says_nothing(reference, deployed, labels):
    with pytest.raises(ValueError, match="logits"):
        compare_logits(reference, deployed, np.array(labels, dtype=int))


def test_gates_allow_what_they_say_and_no_more():
    fp16 = GATES["fp16"]
    assert [fp16.allowed_flips(images) for images in (1, 999, 2000, 50_000)] == [1, 1, 2, 50]
    assert [GATES["bf16"].allowed_flips(images) for images in (100, 2000)] == [2, 10]
    logits, labels, _ = draw(5)
    spread = logits.std()
    for flips, error, broken in ((1, 0.009, 0), (2, 0.009, 1), (0, 0.011, 1), (2, 0.011, 2)):
        other = logits.copy()
        for row in range(flips):  # swap the best two: equal to within the error after making them so
            best, second = np.argsort(logits[row])[[-1, -2]]
            logits[row, second] = logits[row, best] - 0.001 * spread
            other[row] = logits[row]
            other[row, second] = logits[row, best] + 0.001 * spread
        other[-1, 0] = logits[-1, 0] + error * logits.std()
        parity = compare_logits(logits, other, labels)
        said = ParityGate(flips=1, flip_share=0.001, error=0.01).broken_by(parity)
        assert parity.flips == flips and len(said) == broken, said
