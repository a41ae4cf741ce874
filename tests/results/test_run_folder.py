import json

import pytest

from fastbs.errors import BadInput
from fastbs.results.record import Evaluation, Result
from fastbs.results.run_folder import RunFolder

DATASET = {"fingerprint": "f"}


def evaluation(updates):
    return Evaluation(
        images=updates * 8,
        updates=updates,
        train_seconds=1.0,
        wall_seconds=2.0,
        train_loss=0.5,
        train_top1=0.9,
        loss=0.6,
        top1=0.8,
        balanced_top1=0.8,
        lr=0.1,
    )


def result():
    numbers = dict.fromkeys(Result.__dataclass_fields__, 1)
    return Result(**numbers | {"energy_joules": None, "energy_source": None})


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(arm="main", config={"batch_size": 8, "seed": 0, "lr": 0.1}, dataset=DATASET, machine={})
    return folder


def test_a_run_that_has_not_ended_has_no_record(folder):
    assert folder.record() is None
    assert not folder.is_finished()


def test_a_finished_run_is_read_back_as_it_was_written(folder):
    folder.append(evaluation(10))
    folder.append(evaluation(20))
    folder.finish("ok", None, result())
    record = folder.record()
    assert (record.status, record.batch_size, record.result) == ("ok", 8, result())
    assert record.evaluations == (evaluation(10), evaluation(20))
    assert record.last.updates == 20
    assert folder.is_finished()


def test_a_line_that_is_still_being_written_is_left_out(folder):
    folder.append(evaluation(10))
    with open(folder.metrics, "a") as file:
        file.write('{"images": 1')
    assert folder.evaluations() == (evaluation(10),)


def test_another_experiment_in_the_same_folder_is_refused_by_the_key_that_differs(folder):
    with pytest.raises(BadInput, match="lr 0.1, not 0.2"):
        folder.begin(arm="main", config={"batch_size": 8, "seed": 0, "lr": 0.2}, dataset=DATASET, machine={})


def test_other_images_in_the_same_folder_are_refused(folder):
    with pytest.raises(BadInput, match="other images"):
        folder.begin(arm="main", config={"batch_size": 8}, dataset={"fingerprint": "g"}, machine={})


def test_a_failed_run_is_open_again_and_a_diverged_one_is_not(folder):
    folder.finish("failed", "boom", None)
    assert not folder.is_finished()
    folder.begin(arm="main", config={"batch_size": 8, "seed": 0, "lr": 0.1}, dataset=DATASET, machine={})
    assert folder.record() is None
    folder.finish("diverged", "nan", None)
    assert folder.is_finished()


@pytest.fixture
def finished(folder):
    folder.append(evaluation(10))
    folder.finish("ok", None, result())
    return folder


@pytest.mark.parametrize("key", ["id", "arm", "status", "reason", "config", "result"])
def test_a_run_json_without_one_of_its_keys_is_refused_by_its_path(finished, key):
    document = json.loads(finished.document.read_text())
    del document[key]
    finished.document.write_text(json.dumps(document))
    with pytest.raises(BadInput, match=rf"run\.json: damaged.*{key}.* is missing"):
        finished.record()


@pytest.mark.parametrize(
    "values",
    [
        {"config": {"batch_size": 8, "seed": 0}},
        {"config": {"batch_size": "8", "seed": 0, "lr": 0.1}},
        {"config": 8},
        {"status": "fine"},
        {"status": []},
        {"result": {"updates": 3}},
        {"result": []},
        {"result": result().to_json() | {"step_seconds": "fast"}},
        {"result": result().to_json() | {"step_seconds": float("nan")}},
        {"result": result().to_json() | {"updates": None}},
    ],
)
def test_a_run_json_that_holds_something_else_is_refused_by_its_path(finished, values):
    finished.document.write_text(json.dumps(json.loads(finished.document.read_text()) | values))
    with pytest.raises(BadInput, match=r"run\.json: damaged"):
        finished.record()


@pytest.mark.parametrize("status", ["ok", "missed"])
def test_a_run_that_is_ok_has_a_result_and_others_need_none(finished, status):
    finished.finish(status, None, None)
    if status == "ok":
        with pytest.raises(BadInput, match=r"run\.json: damaged.*result missing"):
            finished.record()
    else:
        assert finished.record().result is None


@pytest.mark.parametrize("content", [None, b"", b'{"images": 1'])
def test_a_run_that_is_ok_without_evaluations_is_refused_by_its_metrics(finished, content):
    finished.metrics.unlink()
    if content is not None:
        finished.metrics.write_bytes(content)
    with pytest.raises(BadInput, match=r"metrics\.jsonl: missing or empty"):
        finished.record()


@pytest.mark.parametrize("line", [b"\xff\xfe\x00", b"[]", b"3", b"{}", b"\n3", b'{"images": NaN}', b"not json"])
def test_metrics_that_are_not_ours_are_refused_by_their_path(finished, line):
    finished.metrics.write_bytes(finished.metrics.read_bytes() + line + b"\n")
    with pytest.raises(BadInput, match=r"metrics\.jsonl: not lines of fastbs metrics"):
        finished.record()


def test_metrics_that_cannot_be_read_are_refused_by_their_path(finished):
    finished.metrics.unlink()
    finished.metrics.mkdir()
    with pytest.raises(BadInput, match=r"metrics\.jsonl"):
        finished.record()
