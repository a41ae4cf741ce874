import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.analysis.samples_to_target import SamplesFit, fit_samples_to_target
from fastbs.analysis.scale import (
    MeasuredStep,
    ScaledStep,
    assumed_steps,
    calibrated_steps,
    scale_table,
    seconds_to_target,
    step_of_run,
    steps_between,
)
from fastbs.analysis.step_time import StepTimeFit

GPUS = [2**n for n in range(13)]
positive = st.floats(1e-6, 1e-1)


def line(alpha, beta, host=0.0):
    return StepTimeFit(alpha, beta, host, (), ())


def law(e_min=1e6, b_crit=1000.0, sizes=(16, 128, 4096)):
    return SamplesFit(e_min, e_min / b_crit, sizes, (0.0,) * len(sizes), replicates=((e_min, e_min / b_crit),) * 10)


@pytest.fixture(scope="module")
def published(shared_data):
    """The law of ResNet-50 in images, its training images, and the published rows by number of GPUs."""
    document = json.loads((shared_data / "mlperf-rcp.json").read_text())
    reference = document["resnet50_v4.0"]
    images = reference["train_images"]
    sizes, epochs = zip(*reference["points"], strict=True)
    rows = {(row["gpus"], row["gpu"]): row for row in document["submissions"]["rows"]}
    return fit_samples_to_target(sizes, [images * e for e in epochs]), images, rows


def step_of(row, batch_size):
    return MeasuredStep(row["gpus"], batch_size, batch_size / row["images_per_second"])


def of_2528(published):
    _, images, rows = published
    row = rows[2528, "H100"]
    assert row["global_batch"] == 40448
    return [
        step_of_run(2528, 40448, epochs=epochs, train_images=images, seconds=seconds)
        for epochs, seconds in zip(row["epochs"], row["seconds"], strict=True)
    ]


def test_the_result_of_2528_gpus_predicts_that_of_3584_within_10_percent(published):
    law, _, rows = published
    measured = rows[3584, "H100"]["seconds"]
    for many in of_2528(published):  # its fastest and its slowest run
        steps = steps_between(step_of(rows[8, "H100"], 3200), many)
        for step in steps:
            _, alone, _ = seconds_to_target(law, [step], 3584, 57344)
            assert alone == pytest.approx(measured, rel=0.1)
        low, middle, high = seconds_to_target(law, steps, 3584, 57344)
        assert middle == pytest.approx(measured, rel=0.05)
        assert low < measured < high < 1.2 * low


def test_single_nodes_cannot_carry_the_model(published):
    law, _, rows = published
    four, eight = step_of(rows[4, "H100"], 1600), step_of(rows[8, "H100"], 3200)
    with pytest.raises(ValueError, match="400 images on each GPU"):
        steps_between(four, eight)
    assert four.seconds == pytest.approx(eight.seconds, rel=0.005)  # nor do they show any communication
    no_fixed_cost = ScaledStep(line(0, eight.seconds / 400))
    _, predicted, _ = seconds_to_target(law, [no_fixed_cost], 3584, 57344)
    assert predicted < 0.4 * rows[3584, "H100"]["seconds"]
    own, _ = steps_between(eight, of_2528(published)[0])
    assert own.one.fixed_share(400) < 0.08 and own.one.fixed_share(16) > 0.65


def test_the_model_of_2528_gpus_finds_the_published_single_node_times(published):
    law, _, rows = published
    steps = steps_between(step_of(rows[8, "H100"], 3200), of_2528(published)[0])
    _, four, _ = seconds_to_target(law, steps, 4, 1600)
    assert four == pytest.approx(rows[4, "H100"]["seconds"], rel=0.05)


@given(alpha=positive, beta=positive, tree=positive)
def test_two_steps_give_back_the_model_that_made_them(alpha, beta, tree):
    few, many = 8, 2048

    def measured(step, gpus, images):
        return MeasuredStep(gpus, gpus * images, step.seconds(images, gpus))

    own = ScaledStep(line(alpha, beta))
    found, _ = steps_between(measured(own, few, 400), measured(own, many, 400 / 25))
    assert (found.one.alpha, found.one.beta) == pytest.approx((alpha, beta), rel=1e-6, abs=1e-9)
    network = ScaledStep(line(0, beta), tree=tree)
    if network.seconds(400, few) > network.seconds(16, many):
        try:
            _, found = steps_between(measured(network, few, 400), measured(network, many, 16))
        except ValueError as refused:  # the other model has no such costs
            assert "negative" in str(refused)
        else:
            assert (found.tree, found.one.beta) == pytest.approx((tree, beta), rel=1e-6)


@given(alpha=positive, beta=positive, rest=st.floats(0, 1), gpus=st.integers(2, 4096), images=st.integers(1, 512))
def test_calibrated_models_agree_at_the_calibration_and_on_one_gpu(alpha, beta, rest, gpus, images):
    one = line(alpha, beta)
    measured = MeasuredStep(gpus, gpus * images, one.seconds(images) + rest)
    ring, tree = calibrated_steps(one, measured)
    for step in (ring, tree):
        assert step.seconds(images, gpus) == pytest.approx(measured.seconds)
        assert step.seconds(images, 1) == one.seconds(images)
    assert tree.communication(2 * gpus) >= ring.communication(2 * gpus) - 1e-12


def test_a_calibration_that_contradicts_the_single_gpu_is_refused():
    with pytest.raises(ValueError, match="not the same GPU or net"):
        calibrated_steps(line(0.01, 0.001), MeasuredStep(8, 64, 0.017))
    with pytest.raises(ValueError, match="at least two GPUs"):
        calibrated_steps(line(0.01, 0.001), MeasuredStep(1, 8, 0.1))


def test_without_a_calibration_the_ring_moves_the_gradient_twice():
    hidden, exposed = assumed_steps(line(0.01, 0.001), gradient_bytes=100_000_000, bandwidth=1e10)
    assert hidden.communication(4096) == 0
    assert exposed.communication(2) == pytest.approx(0.01)
    assert exposed.communication(10**6) == pytest.approx(0.02, rel=1e-5)


def table(samples, steps, gpus=GPUS, most=512, **settings):
    return scale_table(samples, steps, gpus, most_images=most, train_images=10_000, **settings)


@given(alpha=positive, beta=positive, ring=st.floats(0, 1e-2), tree=st.floats(0, 1e-2), gpus=st.integers(1, 64))
def test_no_other_batch_size_is_faster(alpha, beta, ring, tree, gpus):
    samples, step = law(), ScaledStep(line(alpha, beta), ring, tree)
    (row,) = table(samples, [step], [gpus])["rows"]
    assert row["batch_size"] == gpus * row["images_per_gpu"]
    for images in range(1, min(512, 8192 // gpus) + 1):
        assert row["seconds"] <= seconds_to_target(samples, [step], gpus, gpus * images)[1] * (1 + 1e-9)


def test_with_neither_floor_nor_limit_the_best_size_is_the_closed_form():
    samples, step = law(b_crit=1000.0), ScaledStep(line(0.01, 1e-4))  # B_half 100 on one GPU
    for row in table(samples, [step], [1, 2, 4, 8])["rows"]:
        assert row["batch_size"] == pytest.approx(math.sqrt(1000 * 100 * row["gpus"]), abs=row["gpus"])
        assert row["binds"] is None


def test_rows_say_what_limits_them_and_where_the_law_ends():
    samples, step = law(sizes=(8, 16, 64)), ScaledStep(line(0.01, 1e-4))
    rows = {row["gpus"]: row for row in table(samples, [step], [1, 4, 128, 256], most=16)["rows"]}
    assert (rows[1]["batch_size"], rows[1]["binds"]) == (16, "memory")
    assert (rows[128]["batch_size"], rows[128]["binds"]) == (128, "law")  # twice the largest trained
    assert rows[128]["doubling_saves"] is None
    assert rows[256]["seconds"] is None and rows[256]["batch_size"] is None and rows[256]["binds"] == "law"


def test_without_communication_and_statistics_gpus_scale_perfectly_and_always_pay():
    flat = SamplesFit(1e6, 0.0, (1, 8, 10**6), (0.0,) * 3)
    document = table(flat, [ScaledStep(line(0.0, 1e-3))], most=8)
    assert [row["efficiency"] for row in document["rows"]] == pytest.approx([1.0] * len(GPUS))
    assert document["stops"]["gpus"] is None
    assert all(row["band"] is None for row in document["rows"])  # nothing bounds the law


def test_more_gpus_stop_paying_where_doubling_saves_less_than_was_asked():
    steps = (ScaledStep(line(4e-3, 1.3e-4)), ScaledStep(line(1e-3, 1.3e-4), tree=4e-4))
    document = table(law(e_min=4e7, b_crit=5e4, sizes=(1024, 8192, 65536)), steps)
    saves = {row["gpus"]: row["doubling_saves"] for row in document["rows"]}
    stop = document["stops"]["gpus"]
    assert saves[stop] < 0.2 <= min(saving for gpus, saving in saves.items() if gpus < stop)
    assert min(document["stops"]["of_each_model"]) <= stop <= max(document["stops"]["of_each_model"])
    efficiencies = [row["efficiency"] for row in document["rows"]]
    assert efficiencies == sorted(efficiencies, reverse=True)
    assert all(row["band"][0] <= row["seconds"] <= row["band"][1] for row in document["rows"])
    json.dumps(document, allow_nan=False)
