import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbs.config import RunConfig
from fastbs.errors import BadInput
from fastbs.results.mllog import Event, MlperfEvaluation, mlperf_run, read_mllog
from fastbs.results.mllog_events import mllog_lines
from fastbs.results.record import Evaluation, Result

START, STARTUP = 1_700_000_000.25, 2.5  # s: when the run began, and how long it took to start
TRAIN_IMAGES, BATCH = 100, 8  # 12 whole batches an epoch


def evaluation(number, train_seconds, wall_seconds, top1=0.5, updates=12):
    at = {"images": BATCH * updates * number, "updates": updates * number}
    times = {"train_seconds": train_seconds, "wall_seconds": wall_seconds}
    losses = {"train_loss": 1.0, "train_top1": top1, "loss": 1.0, "balanced_top1": top1, "lr": 0.1}
    return Evaluation(top1=top1, **at, **times, **losses)


def run(evaluations, status="ok", reason=None, result=True, **settings):
    """The run.json of such a run."""
    at = evaluations[-1] if evaluations else evaluation(0, 0.0, STARTUP)
    measured = {field.name: 0 for field in dataclasses.fields(Result)}
    measured |= {"updates": at.updates, "images": at.images, "startup_seconds": STARTUP}
    measured |= {"train_seconds": at.train_seconds, "wall_seconds": at.wall_seconds + 1}
    if status == "diverged":
        measured["images"] += 5 * BATCH
    config = RunConfig(data="photos", **{"batch_size": BATCH, "seed": 3, "device": "cpu"} | settings).to_json()
    return {
        "id": "b0008-s3",
        "status": status,
        "reason": reason,
        "config": config,
        "dataset": {"train": TRAIN_IMAGES, "validation": 40},
        "machine": {"gpu": {"devices": [{"name": "NVIDIA H200"}]}, "cpu": {"model": "AMD EPYC"}},
        "started_at": START,
        "result": measured if result else None,
    }


THREE = [evaluation(1, 4.0, 7.0, 0.5), evaluation(2, 8.0, 11.5, 0.8), evaluation(3, 12.0, 16.0, 0.79)]


@pytest.fixture
def write(tmp_path):
    def write(lines) -> Path:
        path = tmp_path / "mlperf.log"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def events_of(document, evaluations, write):
    return read_mllog(write(mllog_lines(document, evaluations)))


def test_a_real_log_says_what_its_submission_says(shared_data):
    path = shared_data / "mlperf-h200-resnet50.log"
    found = mlperf_run(read_mllog(path), path)
    assert (found.benchmark, found.platform) == ("resnet", "1xNVIDIA HGX H200")
    assert (found.batch_size, found.accumulation, found.seed) == (3200, 1, 16768)
    assert (found.train_images, found.eval_images, found.status) == (1281167, 50000, "success")
    assert 721 <= found.seconds <= 722
    assert [e.epochs for e in found.evaluations] == list(range(3, 36, 4))
    assert found.evaluations[-1] == MlperfEvaluation(35, None, 0.76072, 721.148)
    assert found.epochs_to(0.759) == 35 and found.epochs_to(0.5) == 15 and found.epochs_to(0.77) is None


def test_every_mark_of_the_real_log_is_an_event(shared_data):
    path = shared_data / "mlperf-h200-resnet50.log"
    assert len(read_mllog(path)) == path.read_text().count(":::MLLOG") == 345


def test_marks_are_found_behind_prefixes_before_noise_and_twice_on_a_line(write):
    one, two = (Event(time_ms=i, event_type="POINT_IN_TIME", key=f"key{i}", value={"a": "b}"}) for i in (1, 2))
    lines = [":::SYSJSON {}", "0: " + one.line(), f"{one.line()}{two.line()} and the rest", "", "Epoch 1 \x1b[0m{"]
    assert read_mllog(write(lines)) == [one, one, two]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (':::MLLOG {"key": "seed", "va', "line 2: a damaged :::MLLOG"),
        (":::MLLOG " + "[" * 100_000, "line 2: a damaged :::MLLOG"),
        (":::MLLOG [1]", "line 2: a list is not an object"),
        (':::MLLOG {"time_ms": 1, "event_type": "POINT_IN_TIME", "value": 3}', "line 2: key: missing"),
        (':::MLLOG {"time_ms": 1, "event_type": "END", "key": "a", "value": 3}', "line 2: event_type: 'END' is none"),
        (':::MLLOG {"time_ms": NaN, "event_type": "INTERVAL_END", "key": "a", "value": 3}', "line 2: time_ms"),
    ],
)
def test_a_damaged_event_is_refused_with_its_line(write, line, said):
    with pytest.raises(BadInput, match=r"mlperf\.log: ") as refused:
        read_mllog(write(["fine", line]))
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_file_without_events_and_a_log_without_a_run_are_refused(write):
    with pytest.raises(BadInput, match="no line with :::MLLOG"):
        read_mllog(write(["nothing", '{"key": "seed"}']))
    seed = Event(time_ms=1, event_type="POINT_IN_TIME", key="seed", value=1)
    with pytest.raises(BadInput, match="no run_start"):
        mlperf_run([seed], Path("a.log"))
    with pytest.raises(BadInput, match="no global_batch_size"):
        mlperf_run([dataclasses.replace(seed, key="run_start")], Path("a.log"))


def test_a_run_that_did_not_end_has_no_duration():
    begun = [
        Event(time_ms=5, event_type="INTERVAL_START", key="run_start"),
        Event(time_ms=5, event_type="POINT_IN_TIME", key="global_batch_size", value=64),
    ]
    found = mlperf_run(begun, Path("a.log"))
    assert (found.batch_size, found.seconds, found.status, found.seed, found.evaluations) == (64, None, None, None, ())


def test_our_log_read_back_says_what_the_run_was(write):
    path = write(mllog_lines(run(THREE, micro_batch=2), THREE))
    found = mlperf_run(read_mllog(path), path)
    assert (found.batch_size, found.accumulation, found.seed) == (8, 4, 3)
    assert (found.train_images, found.eval_images) == (100, 40)
    assert (found.benchmark, found.platform, found.status) == ("resnet", "1x AMD EPYC", "success")
    assert found.seconds == 16.0 - STARTUP
    assert [(e.images, e.accuracy, e.seconds) for e in found.evaluations] == [
        (96, 0.5, 4.5), (192, 0.8, 9.0), (288, 0.79, 13.5)
    ]  # fmt: skip


def test_a_run_of_whole_epochs_ends_at_that_epoch_though_batches_do_not_divide_the_images(write):
    events = events_of(run(THREE), THREE, write)
    accuracies = [event.metadata["epoch_num"] for event in events if event.key == "eval_accuracy"]
    assert accuracies == [1, 2, 3] and all(isinstance(epoch, int) for epoch in accuracies)
    blocks = [event.metadata for event in events if event.key == "block_start"]
    assert blocks == [{"first_epoch_num": n, "epoch_count": 1} for n in (1, 2, 3)]


@pytest.mark.parametrize(("status", "outcome"), [("ok", "success"), ("missed", "aborted"), ("stopped", "aborted")])
def test_only_a_run_that_is_ok_is_a_success(write, status, outcome):
    last = events_of(run(THREE, status, "why"), THREE, write)[-1]
    assert (last.key, last.metadata["status"], last.metadata["run_status"]) == ("run_stop", outcome, status)
    assert last.metadata["reason"] == "why"
    assert last.time_ms == round(1e3 * (START + 16.0))  # when the last evaluation was done


@pytest.mark.parametrize("evaluations", [THREE, []])
def test_a_diverged_run_ends_in_the_middle_of_a_block(write, evaluations):
    document = run(evaluations, "diverged", "the loss was not finite")
    document["result"] |= {"images": 320, "wall_seconds": 20.0}
    events = events_of(document, evaluations, write)
    assert [event.key for event in events[-5:]] == [
        "block_start",
        "epoch_start",
        "epoch_stop",
        "block_stop",
        "run_stop",
    ]
    assert events[-1].metadata["samples_count"] == 320
    assert events[-1].time_ms == round(1e3 * (START + 20.0))
    assert len([event for event in events if event.key == "eval_accuracy"]) == len(evaluations)


def test_a_run_without_a_result_has_no_log():
    with pytest.raises(ValueError, match="oom, without a result"):
        mllog_lines(run(THREE, "oom", result=False), THREE)


def test_the_gpu_is_named_where_it_computed_and_adamw_by_its_own_keys(write):
    events = events_of(run(THREE, device="cuda", optimizer="adamw", momentum=0.8, weight_decay=0.1), THREE, write)
    values = {event.key: event.value for event in events}
    assert values["submission_platform"] == "1x NVIDIA H200"
    assert (values["opt_name"], values["opt_adamw_beta_1"], values["opt_adamw_weight_decay"]) == ("adamw", 0.8, 0.1)
    assert not any(key.startswith("sgd_") for key in values)


def test_a_schedule_that_ends_is_told_from_a_constant_rate(write):
    def settings(schedule):
        events = events_of(run(THREE, schedule=schedule, lr=0.5, warmup_images=48), THREE, write)
        values = {event.key: event.value for event in events}
        assert values["opt_learning_rate_warmup_epochs"] == 0.5
        names = ("end_learning_rate", "learning_rate_decay_poly_power", "learning_rate_decay_steps")
        return [values[f"sgd_opt_{name}"] for name in names]

    assert settings("constant") == [0.5, 0, None]
    assert settings("linear") == [0.0, 1, 36]
    assert settings("cosine") == [0.0, None, 36]


@st.composite
def clocks(draw):
    """Evaluations of a run whose training, evaluations and start-up after a restart took any time."""
    seconds = st.floats(0, 1e4)
    train, wall, made = 0.0, draw(seconds), []
    startup = wall
    for number in range(1, draw(st.integers(1, 6)) + 1):
        trained = draw(seconds)
        train, wall = train + trained, wall + trained + draw(seconds)
        made.append(evaluation(number, train, wall, updates=draw(st.just(5))))
    return startup + draw(seconds), made


@given(clocks())
def test_times_rise_intervals_nest_and_epochs_add_up_to_the_training_time(drawn):
    startup, evaluations = drawn
    document = run(evaluations)
    document["result"]["startup_seconds"] = startup
    events = [Event(**without_namespace(line)) for line in mllog_lines(document, evaluations)]
    times = [event.time_ms for event in events]
    assert times == sorted(times)
    open_intervals, trained, began = [], 0, 0
    for event in events:
        name = event.key.removesuffix("_start").removesuffix("_stop")
        if event.event_type == "INTERVAL_START":
            open_intervals.append(name)
            began = event.time_ms if name == "epoch" else began
        elif event.event_type == "INTERVAL_END":
            assert open_intervals.pop() == name
            trained += event.time_ms - began if name == "epoch" else 0
    assert not open_intervals
    assert trained / 1e3 == pytest.approx(evaluations[-1].train_seconds, abs=2e-3 * len(evaluations))


def without_namespace(line):
    fields = json.loads(line.removeprefix(":::MLLOG "))
    assert fields.pop("namespace") == ""
    return fields


def complaints(path):
    """Keys that MLCommons' own checker of v4.0 logs complains about, and its other complaints."""
    compliance = pytest.importorskip(
        "mlperf_logging.compliance_checker.mlp_compliance", reason="mlperf-logging is not installed"
    )
    checker = compliance.ComplianceChecker("training", "4.0.0", quiet=True, werror=False)
    passed = checker.check_file(str(path), "training_4.0.0/common.yaml")
    assert passed == (not checker.has_messages())
    return set(checker.overwritable), checker.not_overwritable


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("status", ["ok", "missed", "diverged"])
def test_the_checker_of_mlperf_accepts_our_log(write, status, optimizer):
    assert complaints(write(mllog_lines(run(THREE, status, optimizer=optimizer), THREE))) == (set(), [])


def test_as_a_closed_one_it_fails_only_in_the_values_that_the_imagenet_rules_prescribe(write):
    def closed(top1, **settings):
        evaluations = [*THREE, evaluation(4, 16.0, 20.0, top1)]
        lines = mllog_lines(run(evaluations, **settings), evaluations)
        return complaints(write(line.replace('"open"', '"closed"') for line in lines))

    values = {"sgd_opt_end_learning_rate", "sgd_opt_weight_decay"}
    assert closed(0.8) == (values, [])
    assert closed(0.8, weight_decay=2e-4) == ({"sgd_opt_end_learning_rate"}, [])
    assert closed(0.8, lr=0.0015, weight_decay=2e-4)[0] == {"sgd_opt_end_learning_rate", "sgd_opt_base_learning_rate"}
    others = [dataclasses.replace(e, top1=e.top1 / 2) for e in THREE]
    lines = mllog_lines(run(others, weight_decay=2e-4), others)
    missed = complaints(write(line.replace('"open"', '"closed"') for line in lines))
    assert missed[0] == {"sgd_opt_end_learning_rate"} and "0.7590" in missed[1][0] and len(missed[1]) == 1


def test_the_checker_can_fail(write):
    lines = mllog_lines(run(THREE), THREE)
    keys, _ = complaints(write(line for line in lines if '"init_stop"' not in line))
    assert {"init_stop", "run_start"} <= keys
