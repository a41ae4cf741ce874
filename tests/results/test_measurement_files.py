import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastbs.errors import BadInput
from fastbs.results import measurement_files
from fastbs.results.files import write_json
from fastbs.results.measurement_files import read_measurements
from fastbs.results.record import Evaluation, Result
from fastbs.results.run_folder import RunFolder

BENCH = {"benchmarks": [], "fastbs": {"schema": 1, "kind": "bench", "rows": [{"question": "step"}]}}
FOREIGN = {"benchmarks": [{"fullname": "t", "stats": {"median": 1.0}}]}


def written(path, document):
    write_json(path, document)
    return path


def sweep(folder, seconds=0.01, ids=("b0008-s0",), status="ok"):
    """A sweep of as many runs as ids, each of which ended at once."""
    result = Result(
        updates=1,
        skipped_updates=0,
        images=8,
        train_seconds=1.0,
        wall_seconds=2.0,
        startup_seconds=0.5,
        eval_seconds=0.1,
        checkpoint_seconds=0.1,
        input_wait_seconds=0.0,
        step_seconds=seconds,
        update_seconds=None,
        parameters=10,
        peak_memory_bytes=1000,
        minor_faults_per_image=None,
        energy_joules=None,
        energy_source=None,
    )
    zeros = dict.fromkeys(("train_loss", "train_top1", "loss", "balanced_top1", "lr"), 0.0)
    evaluation = Evaluation(images=8, updates=1, train_seconds=1.0, wall_seconds=2.0, top1=0.5, **zeros)
    for seed, name in enumerate(ids):
        run = RunFolder(folder / "runs" / name)
        config = {"batch_size": 8, "seed": seed, "lr": 0.1}
        run.begin(arm="main", config=config, dataset={"fingerprint": "f"}, machine={})
        run.append(evaluation)
        if status != "running":
            run.finish(status, None, result)
    plan = {"schema": 1, "kind": "sweep-plan", "runs": [{"id": name} for name in ids]}
    return written(folder / "sweep.json", plan).parent


def test_a_file_is_of_the_kind_that_it_holds(tmp_path):
    bench, foreign = written(tmp_path / "b.json", BENCH), written(tmp_path / "a.json", FOREIGN)
    files = read_measurements([bench, foreign, sweep(tmp_path / "sweep")])
    assert [file.kind for file in files] == ["bench", "foreign", "sweep"]
    assert [file.name for file in files] == [str(bench), str(foreign), str(tmp_path / "sweep")]
    assert files[0].document == BENCH and files[1].document == FOREIGN
    assert [run.id for run in files[2].runs] == ["b0008-s0"]


def test_a_folder_gives_its_files_by_name(tmp_path):
    for name in ("c", "a", "b"):
        written(tmp_path / f"{name}.json", FOREIGN | {"datetime": name})
    (tmp_path / "note.txt").write_text("not a measurement")
    assert [file.document["datetime"] for file in read_measurements([tmp_path])] == ["a", "b", "c"]


def test_runs_that_have_not_ended_are_left_out(tmp_path):
    sweep(tmp_path, ids=("b0008-s1",), status="running")
    with pytest.raises(BadInput, match="no run has ended"):
        read_measurements([tmp_path])
    sweep(tmp_path, ids=("b0008-s0",))
    write_json(
        tmp_path / "sweep.json",
        {"schema": 1, "kind": "sweep-plan", "runs": [{"id": "b0008-s0"}, {"id": "b0008-s1"}, {"id": "b0008-s2"}]},
    )
    assert [run.id for run in read_measurements([tmp_path])[0].runs] == ["b0008-s0"]


def test_the_same_measurements_do_not_count_twice(tmp_path):
    once = written(tmp_path / "once.json", FOREIGN)
    (tmp_path / "copies").mkdir()
    copy = written(tmp_path / "copies" / "copy.json", FOREIGN)
    for paths in ([once, once], [once, copy], [once, tmp_path / "copies"]):
        with pytest.raises(BadInput, match="given twice"):
            read_measurements(paths)
    first, second = sweep(tmp_path / "first"), sweep(tmp_path / "second")
    with pytest.raises(BadInput, match="second: given twice, it holds the same as .*first"):
        read_measurements([first, second])
    other = sweep(tmp_path / "other", seconds=0.02)
    assert len(read_measurements([first, other, once])) == 3


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a readable JSON"),
        ('{"benchmarks": [', "not a readable JSON"),
        ("\xff\xfe", "not a readable JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("9" * 5000, "not a readable JSON"),
        ("[]", "not a JSON object"),
        ("{}", "not a bench, a pytest-benchmark file or a sweep"),
        ('{"benchmarks": {"a": {"stats": 1}}}', "not a bench, a pytest-benchmark file or a sweep"),
        ('{"benchmarks": [{"name": "BM_x", "real_time": 1.0}]}', "not a bench, a pytest-benchmark file or a sweep"),
        ('{"fastbs": {"schema": 1, "kind": "peers", "rows": []}}', "not a bench, a pytest-benchmark file or a sweep"),
        ('{"fastbs": {"schema": 2, "kind": "bench", "rows": []}}', "schema 2 is newer than 1; update fastbs to read"),
        ('{"fastbs": {"kind": "bench", "rows": []}}', "no schema"),
        ('{"fastbs": {"schema": 1, "kind": "bench", "rows": []}}', "holds no measurement"),
        ('{"fastbs": {"schema": 1, "kind": "bench"}}', "holds no measurement"),
        ('{"benchmarks": []}', "holds no measurement"),
    ],
)
def test_what_is_not_a_measurement_is_refused_on_one_line(tmp_path, content, says):
    path = tmp_path / "a.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(BadInput, match=says) as refused:
        read_measurements([path])
    assert str(refused.value).startswith(f"{path}: ") and "\n" not in str(refused.value)


def test_paths_without_measurements_are_refused(tmp_path):
    with pytest.raises(BadInput, match="nowhere.json: not a readable file"):
        read_measurements([tmp_path / "nowhere.json"])
    with pytest.raises(BadInput, match="neither a sweep nor a .json file"):
        read_measurements([tmp_path])
    written(tmp_path / "noise.json", {"schema": 1, "kind": "calibration"})
    with pytest.raises(BadInput, match=r"noise\.json: not a bench"):
        read_measurements([tmp_path])


def test_a_file_of_the_largest_size_is_read_and_no_larger_one(tmp_path, monkeypatch):
    path = written(tmp_path / "a.json", FOREIGN)
    monkeypatch.setattr(measurement_files, "LARGEST", path.stat().st_size)
    assert len(read_measurements([path])) == 1
    path.write_text(path.read_text() + " ")
    with pytest.raises(BadInput, match="a.json: more than .* bytes; leave out the raw rounds"):
        read_measurements([path])


@pytest.mark.parametrize(
    "runs",
    [
        [{"id": "../elsewhere"}],
        [{"id": ""}],
        [{"id": "x" * 10_000}],
        [{"id": "a\0b"}],
        [{"id": 3}],
        [{}],
        ["b0008-s0"],
        {"b0008-s0": 1},
        None,
        [{"id": "b0008-s0"}, {"id": "b0008-s0"}],
    ],
)
def test_a_damaged_plan_is_refused(tmp_path, runs):
    sweep(tmp_path)
    write_json(tmp_path / "sweep.json", {"schema": 1, "kind": "sweep-plan", "runs": runs})
    with pytest.raises(BadInput, match=str(tmp_path)):
        read_measurements([tmp_path])


@given(
    st.binary(max_size=40) | st.recursive(st.none() | st.floats() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
@settings(max_examples=200)
def test_no_content_makes_anything_but_a_refusal(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.json"
    for whole in (content, b'{"benchmarks": ' + content + b"}", b'{"fastbs": {"kind": "bench", "rows": ' + content):
        path.write_bytes(whole)
        with pytest.raises(BadInput):
            read_measurements([path])
