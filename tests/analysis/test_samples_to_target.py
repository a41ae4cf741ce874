"""Images to a target against batch size: published points, simulated ones, and what the fit must refuse."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.samples_to_target import fit_samples_to_target

SIZES = (2, 8, 32, 128, 512)


@pytest.fixture(scope="module")
def published(shared_data):
    return json.loads((shared_data / "mlperf-rcp.json").read_text())


@pytest.mark.parametrize(
    ("name", "e_min", "b_crit", "rms"), [("resnet50_v4.0", 34.69, 47_066, 0.037), ("ssd_v4.1", 3.60, 1_699, 0.043)]
)
def test_published_points_give_the_published_fit(published, name, e_min, b_crit, rms):
    fit = fit_samples_to_target(*zip(*published[name]["points"], strict=True))
    assert fit.e_min == pytest.approx(e_min, rel=0.005) and fit.b_crit == pytest.approx(b_crit, rel=0.005)
    assert fit.rms_log_residual == pytest.approx(rms, abs=0.0005) and fit.breaks_law_at == ()


def test_the_point_that_breaks_the_law_is_named_and_does_not_bend_the_fit(published):
    points = [*published["ssd_v4.1"]["points"], published["ssd_v4.1"]["breaks_the_law_at"]]
    fit = fit_samples_to_target(*zip(*points, strict=True))
    assert fit.breaks_law_at == (4096,) and fit.b_crit == pytest.approx(1_699, rel=0.005)


@given(st.floats(0.5, 2000), st.floats(10, 1e6), st.floats(0.01, 100))
def test_lawful_points_are_found_exactly_whatever_the_unit(b_crit, e_min, unit):
    images = [unit * e_min * (1 + size / b_crit) for size in SIZES]
    fit = fit_samples_to_target(SIZES, images)
    assert fit.e_min == pytest.approx(unit * e_min, rel=1e-3) and fit.b_crit == pytest.approx(b_crit, rel=1e-3)
    assert fit.breaks_law_at == () and fit.rms_log_residual < 1e-3
    for size, expected in zip(SIZES, images, strict=True):
        assert fit.images(size) == pytest.approx(expected, rel=1e-3)
        assert fit.updates(size) == pytest.approx(expected / size, rel=1e-3)


def test_the_order_of_the_points_does_not_matter():
    images = [[90.0, 110.0], [120.0, 130.0], [200.0, 260.0], [500.0, 470.0], [1500.0, 1600.0]]
    assert fit_samples_to_target(SIZES, images) == fit_samples_to_target(SIZES[::-1], images[::-1])


def simulated(rng, b_crit, spread, seeds=5, sizes=SIZES):
    return [list(1000 * (1 + size / b_crit) * np.exp(spread * rng.standard_normal(seeds))) for size in sizes]


@pytest.mark.parametrize(
    ("sizes", "seeds", "spread", "off_the_law"),
    [
        ((4, 8, 32), 1, 0.05, 0.0),
        ((2, 8, 32, 128), 1, 0.05, 0.0),
        (SIZES, 5, 0.15, 0.0),
        (SIZES, 5, 0.05, 0.05),  # every size a little off, as the published ones are
        ((4, 8, 16, 32, 64, 128, 256, 512), 3, 0.1, 0.04),
    ],
)
def test_intervals_cover_the_truth_however_few_sizes_and_seeds_there_are(sizes, seeds, spread, off_the_law):
    rng, covered, trials = np.random.default_rng(1), np.zeros(3), 100
    for _ in range(trials):
        b_crit = math.exp(rng.uniform(math.log(2 * sizes[0]), math.log(sizes[-1])))
        off = np.exp(off_the_law * rng.standard_normal(len(sizes)))
        images = np.array(simulated(rng, b_crit, spread, seeds, sizes)) * off[:, None]
        fit = fit_samples_to_target(sizes, list(images))
        found = [fit.interval(lambda f: f.b_crit), fit.interval(lambda f: f.e_min), fit.band(sizes[-1])]
        truths = [b_crit, 1000, 1000 * (1 + sizes[-1] / b_crit)]
        covered += [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    assert (covered >= 0.91 * trials).all()  # 95 %, less lawful sizes taken for breaking and three errors of counting


def test_intervals_are_no_wider_than_the_scatter_asks_for():
    rng = np.random.default_rng(4)
    intervals = [fit_samples_to_target(SIZES, simulated(rng, 60, 0.1, 3)).b_crit_interval for _ in range(50)]
    assert np.median([interval.high / interval.low for interval in intervals]) < 2
    assert sum(interval.bounded for interval in intervals) >= 48


def test_lawful_data_seldom_seem_to_break_the_law_and_two_sizes_that_do_cannot_hide_each_other():
    rng, sizes, trials = np.random.default_rng(9), 2 ** np.arange(8), 100
    accused = found = 0
    for _ in range(trials):
        images = np.array(simulated(rng, 30, 0.05, 3, sizes))
        accused += bool(fit_samples_to_target(sizes, list(images)).breaks_law_at)
        images[-2:] *= [[1.3], [1.6]]
        found += fit_samples_to_target(sizes, list(images)).breaks_law_at == (64, 128)
    assert accused <= 0.07 * trials and found >= 0.85 * trials


def test_it_says_when_there_are_fewer_sizes_than_a_fit_should_have():
    for sizes, thin in [((1, 2, 8), True), ((1, 2, 4, 8), True), ((1, 4, 32), True), ((1, 2, 4, 16), False)]:
        assert fit_samples_to_target(sizes, [100.0 + size for size in sizes]).thin == thin


def test_seeds_and_sizes_both_make_the_interval_wider():
    rng = np.random.default_rng(2)

    def width(fit):
        return math.log(fit.b_crit_interval.high / fit.b_crit_interval.low)

    quiet, noisy = (fit_samples_to_target(SIZES, simulated(rng, 50, spread)) for spread in (0.01, 0.2))
    assert width(noisy) > 3 * width(quiet)
    bent = [1000 * (1 + size / 50) * factor for size, factor in zip(SIZES, (1, 1.2, 0.85, 1.15, 0.95), strict=True)]
    straight = [1000 * (1 + size / 50) for size in SIZES]
    assert width(fit_samples_to_target(SIZES, bent)) > 0.3 > width(fit_samples_to_target(SIZES, straight))


def test_images_that_do_not_grow_leave_b_crit_open_above_and_those_in_proportion_below():
    flat = fit_samples_to_target(SIZES, [1000.0] * 5)
    assert flat.b_crit == math.inf == flat.b_crit_interval.high and flat.images(512) == pytest.approx(1000)
    steep = fit_samples_to_target(SIZES, [10.0 * size for size in SIZES])
    assert steep.b_crit == 0 and steep.e_min == 0 and steep.updates(512) == pytest.approx(10)


def test_a_band_widens_beyond_the_data_and_says_where_it_extrapolates():
    fit = fit_samples_to_target(SIZES, simulated(np.random.default_rng(3), 50, 0.1))
    widths = [fit.band(size).high / fit.band(size).low for size in (512, 1024, 4096)]
    assert widths[0] * 1.2 < widths[1] and widths[1] * 1.4 < widths[2]
    assert [fit.extrapolates(size) for size in (0.9, 1, 512, 1024, 1025)] == [True, False, False, False, True]
    assert fit.band(32).low <= fit.images(32) <= fit.band(32).high


def test_three_times_the_largest_published_batch_is_inside_the_band(published):
    points = [point for point in published["resnet50_v4.0"]["points"] if point[0] <= 13_056]
    band = fit_samples_to_target(*zip(*points, strict=True)).band(65_536)
    assert band.low < 84.5 < band.high


@pytest.mark.parametrize(
    ("sizes", "images", "said"),
    [
        ((8, 64), (1.0, 2.0), "three different batch sizes"),
        ((8, 16, 32), (1.0, 2.0, 3.0), "span a factor of eight"),
        ((8, 8, 64), (1.0, 2.0, 3.0), "three different batch sizes"),
        ((8, 16, 64), (1.0, math.inf, 3.0), "above 0 and finite"),
        ((8, 16, 64), (1.0, [], 3.0), "above 0 and finite"),
        ((8, 16, 64), (1.0, 0.0, 3.0), "above 0 and finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_too_little_is_refused_with_what_is_needed(sizes, images, said):
    with pytest.raises(ValueError, match=said):
        fit_samples_to_target(sizes, images)
