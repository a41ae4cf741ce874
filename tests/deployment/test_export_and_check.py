"""Real runs, exported and checked: the same net passes in every precision, and what was tampered with does not."""

import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from fastbs.config import RunConfig
from fastbs.deployment.batch_range import BatchRange
from fastbs.deployment.check import check_artifact
from fastbs.deployment.engine_build import RUNS_VARY, build_engine, engine_library, runs_only_in
from fastbs.deployment.export import export_run
from fastbs.deployment.open_artifact import open_artifact
from fastbs.errors import BadInput
from fastbs.results.artifact_folder import ArtifactFolder, sha256
from fastbs.results.files import read_json, write_json
from fastbs.sweeps.single import train
from fastbs.worker import Unsupported

pytest.importorskip("onnxscript", reason="onnxscript is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

BATCH = {"min": 1, "opt": 8, "max": 16, "each": []}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    """A trained net with batch norms and one with group norms."""
    folder = tmp_path_factory.mktemp("runs")
    for norm in ("batch", "group"):
        run = RunConfig(data=str(photos), norm=norm, batch_size=8, epochs=6, lr=0.05, precision="fp32", threads=1)
        document = train(run, folder / norm)
        assert document["evaluations"][-1]["top1"] >= 0.8, document
    return folder


@pytest.fixture(scope="module")
def exported(runs, tmp_path_factory):
    """The folder of an artefact, made once for each kind."""
    made = {}

    def export(norm, to, precision, batch=BATCH):
        key = norm, to, precision, *batch["each"]
        if key not in made:
            folder = tmp_path_factory.mktemp("artefacts") / "-".join(map(str, key))
            capabilities = ["8.6", "12.0"] if to == "tensorrt-rtx" else []
            export_run(str(runs / norm), to, precision, batch, capabilities, str(folder), "unused")
            made[key] = folder
        return made[key]

    return export


@pytest.fixture
def copied(exported, runs, tmp_path):
    """A copy that may be spoilt; check it with `run` of the fixture's own."""

    def copy(norm="batch", to="onnx", precision="fp32", batch=BATCH):
        target = tmp_path / "artefact"
        shutil.copytree(exported(norm, to, precision, batch), target)
        rewrite(target, lambda document: document["run"].update(folder=str(runs / norm)))
        return target

    return copy


def check(folder, limit=None, **gate):
    return check_artifact(str(folder), None, None, limit, gate, 1)


def rewrite(folder, change=lambda document: None):
    """Tamper with artifact.json and cover it up: hashes and digest are made to fit."""
    document = read_json(folder / "artifact.json", "artifact")
    change(document)
    for name, recorded in document["files"].items():
        recorded |= {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size}
    ArtifactFolder(folder).write({key: value for key, value in document.items() if key != "digest"})


def edit_graph(folder, edit):
    """Tamper with the graph, and cover it up."""
    model = onnx.load(folder / "model.onnx")
    edit(model.graph)
    for file in ("model.onnx", "model.onnx.data"):
        (folder / file).unlink()
    onnx.save(model, folder / "model.onnx", save_as_external_data=True, location="model.onnx.data")
    rewrite(folder)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize("to", ["onnx", "tensorrt-rtx"])
def test_an_export_is_the_net_that_was_trained(exported, norm, precision, to):
    if to == "tensorrt-rtx":
        pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    folder = exported(norm, to, precision)
    found = check(folder)
    assert found["failures"] == [] and found["status"] == "ok", found
    assert found == read_json(folder / "check.json", "artifact-check")
    assert found["images"] == 20 and found["batch_sizes"] == [1, 3, 8, 16]
    assert 0 < found["error"]["max"] < {"fp32": 1e-5, "fp16": 5e-3, "bf16": 5e-2}[precision]
    assert ("reference evaluator" in found["evaluator"]) == (precision == "bf16")
    document = ArtifactFolder(folder).read()
    if to == "onnx":
        assert found["engine"] is None and set(document["files"]) == {"model.onnx", "model.onnx.data"}
    elif not torch.cuda.is_available():
        assert found["engine"].startswith("built, not run: no NVIDIA GPU here; ")
        assert [engine["compute_capability"] for engine in document["engines"]] == ["8.6", "12.0"]
        assert all((folder / engine["file"]).stat().st_size > 10_000 for engine in document["engines"])


def test_the_graph_has_no_batch_norm_left_and_computes_in_its_precision(exported):
    for precision, kind in (("fp32", onnx.TensorProto.FLOAT), ("fp16", onnx.TensorProto.FLOAT16)):
        graph = onnx.load(exported("batch", "onnx", precision) / "model.onnx").graph
        assert "BatchNormalization" not in {node.op_type for node in graph.node}
        assert {weight.data_type for weight in graph.initializer if len(weight.dims) == 4} == {kind}
        assert {i.type.tensor_type.elem_type for i in (*graph.input, *graph.output)} == {onnx.TensorProto.FLOAT}


def test_one_profile_per_size_makes_an_engine_and_pads_what_lies_between(exported):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    batch = {"min": 1, "opt": 4, "max": 4, "each": [1, 4]}
    found = check(exported("group", "tensorrt-rtx", "fp16", batch))
    assert found["status"] == "ok" and found["batch_sizes"] == [1, 4]


def test_an_artifact_is_replaced_whole_and_nothing_else_is(runs, tmp_path):
    folder = tmp_path / "artefact"
    for precision in ("fp32", "fp16"):
        export_run(str(runs / "group"), "onnx", precision, BATCH, [], str(folder), "unused")
        assert ArtifactFolder(folder).read()["precision"] == precision
    assert [entry.name for entry in tmp_path.iterdir()] == ["artefact"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="mine: holds something else than an artefact"):
        export_run(str(runs / "group"), "onnx", "fp32", BATCH, [], str(tmp_path / "mine"), "unused")
    assert (tmp_path / "mine" / "thesis.tex").exists()


def test_a_check_belongs_to_the_artifact_that_it_was_made_of(copied):
    folder = ArtifactFolder(copied(precision="fp16"))
    assert folder.finding(folder.check, "artifact-check") is None
    check(folder.path)
    assert folder.finding(folder.check, "artifact-check")["status"] == "ok"
    rewrite(folder.path, lambda document: document.update(precision="fp32"))
    assert folder.finding(folder.check, "artifact-check") is None


def flip_a_byte(folder):
    file = folder / "model.onnx.data"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x10
    file.write_bytes(content)


def swap_two_classes(folder):
    def edit(graph):
        gemm = next(node for node in graph.node if node.op_type == "Gemm")
        for name in gemm.input[1:]:
            weight = next(w for w in graph.initializer if w.name == name)
            values = numpy_helper.to_array(weight)
            axis = next(axis for axis, length in enumerate(values.shape) if length == 2)
            weight.CopyFrom(numpy_helper.from_array(np.flip(values, axis).copy(), name))

    edit_graph(folder, edit)


def normalise_twice(folder):
    def edit(graph):
        half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
        graph.initializer.append(half)
        graph.node.insert(0, onnx.helper.make_node("Mul", ["images", "half"], ["scaled"]))
        for node in graph.node[1:]:
            node.input[:] = ["scaled" if name == "images" else name for name in node.input]

    edit_graph(folder, edit)


def subtract_the_mean_of_the_batch(folder):
    """Right for a batch of copies, wrong for every other: nothing but other neighbours shows it at size 1."""

    def edit(graph):
        axes = numpy_helper.from_array(np.array([0]), "over_batch")
        graph.initializer.append(axes)
        last = next(node for node in graph.node if "logits" in node.output)
        last.output[:] = ["own"]
        graph.node.append(onnx.helper.make_node("ReduceMean", ["own", "over_batch"], ["common"], keepdims=1))
        graph.node.append(onnx.helper.make_node("Sub", ["own", "common"], ["logits"]))

    edit_graph(folder, edit)


def fix_the_batch(folder):
    def edit(graph):
        for value in (*graph.input, *graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = 8
        del graph.value_info[:]

    edit_graph(folder, edit)


def promise_larger_batches_than_the_net_was_fed(folder):
    document = json.loads((folder / "artifact.json").read_text())
    document["batch"]["max"] = 64
    (folder / "artifact.json").write_text(json.dumps(document))


def shift_the_mean(folder):
    rewrite(folder, lambda document: document["preprocessing"].update(mean=[0.0, 0.0, 0.0]))


def rename_the_classes(folder):
    rewrite(folder, lambda document: document["preprocessing"]["classes"].reverse())


def truncate_the_weights(folder):
    file = folder / "model.onnx.data"
    file.write_bytes(file.read_bytes()[:-100])


def truncate_the_graph_and_cover_it_up(folder):
    file = folder / "model.onnx"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    rewrite(folder)


def lose_the_weights(folder):
    (folder / "model.onnx.data").unlink()


def infinite_weight(folder):
    def edit(graph):
        weight = next(w for w in graph.initializer if len(w.dims) == 4)
        values = numpy_helper.to_array(weight).copy()
        values[0, 0] = np.inf
        weight.CopyFrom(numpy_helper.from_array(values, weight.name))

    edit_graph(folder, edit)


def refuse_the_last_images(folder):
    """Of 20 images in batches of 8 the last are 4, a size that is tried nowhere else."""

    def edit(graph):
        four = numpy_helper.from_array(np.array([4]), "four")
        one, two = (
            numpy_helper.from_array(np.array([n], np.int64), name) for n, name in ((1, "just_one"), (0, "first"))
        )
        graph.initializer.extend([four, one, two])
        last = next(node for node in graph.node if "logits" in node.output)
        last.output[:] = ["own"]
        make = onnx.helper.make_node
        graph.node.extend(
            [
                make("Shape", ["images"], ["size"], start=0, end=1),
                make("Sub", ["size", "four"], ["beyond"]),
                make("Abs", ["beyond"], ["far"]),
                make("Min", ["far", "just_one"], ["which"]),
                make("Sub", ["which", "just_one"], ["index"]),  # -1 for four images, and 0 otherwise
                make("Sub", ["first", "index"], ["minus"]),
                make("Add", ["minus", "minus"], ["twice"]),
                make("Gather", ["first", "twice"], ["none"], axis=0),  # 2 is beyond its end
                make("Cast", ["none"], ["nothing"], to=onnx.TensorProto.FLOAT),
                make("Add", ["own", "nothing"], ["logits"]),
            ]
        )

    edit_graph(folder, edit)


def relabel_the_precision(folder):
    rewrite(folder, lambda document: document.update(precision="bf16"))


def relabel_the_batch_size_of_the_training(folder):
    rewrite(folder, lambda document: document["run"].update(batch_size=512))


def promise_what_was_not_exported(folder):
    rewrite(folder, lambda document: document["batch"].update(max=64))


def call_it_something_else(folder):
    rewrite(folder, lambda document: document.update(to="tflite"))


SABOTAGE = {
    refuse_the_last_images: "batch 4: refused, though it is said to take 1..16",
    relabel_the_precision: "precision: bf16 is said, and the graph has weights in fp32",
    relabel_the_batch_size_of_the_training: "run: batch_size is 512, of the run it is 8",
    promise_what_was_not_exported: "profiles: 1..16, tuned for 8 is said, and 1..64, tuned for 8 under batch",
    call_it_something_else: "tflite in fp32 is nothing that fastbs exports",
    flip_a_byte: "model.onnx.data was changed",
    truncate_the_weights: "model.onnx.data has",
    lose_the_weights: "model.onnx.data is missing",
    truncate_the_graph_and_cover_it_up: "cannot be loaded",
    swap_two_classes: "get another class",
    normalise_twice: "of the logits' spread",
    subtract_the_mean_of_the_batch: "batch 1: an answer is off",
    fix_the_batch: "batch 1: refused, though it is said to take 1..16",
    promise_larger_batches_than_the_net_was_fed: "artifact.json was changed",
    shift_the_mean: "preprocessing: mean is [0.0, 0.0, 0.0], of the run it is [123.675",
    rename_the_classes: "preprocessing: classes is",
    infinite_weight: "logits that are not finite",
}


@pytest.mark.parametrize("sabotage", SABOTAGE, ids=lambda sabotage: sabotage.__name__)
def test_sabotage_is_caught(copied, sabotage):
    folder = copied()
    assert check(folder)["status"] == "ok"
    sabotage(folder)
    found = check(folder)
    assert found["status"] == "failed"
    assert any(SABOTAGE[sabotage] in failure for failure in found["failures"]), found["failures"]
    if sabotage in (flip_a_byte, truncate_the_weights, lose_the_weights):
        with pytest.raises(BadInput, match="model.onnx.data"):
            open_artifact(folder, CPU, 1)


def test_what_overflows_in_fp16_is_caught_where_the_runtime_computes_it_in_fp32(runs, tmp_path):
    """One channel after the first norm times 30,000, its readers' weights through it: the same net, but not in fp16."""
    run = tmp_path / "run"
    shutil.copytree(runs / "batch", run)
    state = torch.load(run / "checkpoint.pt", weights_only=True)
    for name in ("stem_norm.weight", "stem_norm.bias"):
        state["model"][name][0] = abs(state["model"][name][0]) * 3e4 + 3e3
    state["model"]["stage1.down.weight"][:, 0] /= 3e4
    torch.save(state, run / "checkpoint.pt")
    folder = tmp_path / "artefact"
    export_run(str(run), "onnx", "fp16", BATCH, [], str(folder), "unused")
    found = check(folder)
    assert found["error"]["max"] < 1e-2, "ONNX Runtime computes it in fp32"
    assert "every result rounded to fp16: 20 of 20 images give logits that are not finite" in found["failures"], found


def test_an_engine_with_another_profile_or_graph_than_it_says_is_caught(copied, exported):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    if torch.cuda.is_available():
        pytest.skip("here the engine itself is run")
    folder = copied("batch", "tensorrt-rtx", "fp32")
    assert check(folder)["engine"].endswith("built again alike")
    own = (folder / "sm86.engine").read_bytes()
    others = [
        (exported("batch", "tensorrt-rtx", "fp32", BATCH | {"each": [1, 8, 16]}) / "sm86.engine").read_bytes(),
        (exported("group", "tensorrt-rtx", "fp32") / "sm86.engine").read_bytes(),
        own[:-2000],
        bytes(len(own)),
    ]
    for other in others:
        (folder / "sm86.engine").write_bytes(other)
        rewrite(folder)
        (failure,) = check(folder)["failures"]
        assert failure.startswith("sm86.engine (") and "is not what the graph beside it gives" in failure


@pytest.mark.slow
def test_builds_of_one_graph_are_alike_though_their_weights_lie_in_another_order(exported):
    """Of a net with group norms in bf16, about every third build: of twelve, all come out alike once in a hundred."""
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    graph = exported("group", "onnx", "bf16") / "model.onnx"
    batch = BatchRange.from_json(BATCH)
    builds = [
        build_engine(engine_library("tensorrt-rtx"), graph, batch, exact_fp32=False, capability="8.6")
        for _ in range(12)
    ]
    assert max(runs_only_in(builds[0], other) for other in builds) < RUNS_VARY / 2


def test_runs_of_bytes_are_found_wherever_they_stand():
    weights = np.random.default_rng(0).bytes(400_000)
    blocks = [weights[start : start + 1001] for start in range(0, len(weights), 1001)]
    assert runs_only_in(b"".join(reversed(blocks)), weights) < 400
    assert runs_only_in(weights[:-16_000], weights) == 0 and 900 < runs_only_in(weights, weights[:-16_000]) < 1100
    assert runs_only_in(weights, np.random.default_rng(1).bytes(400_000)) > 24_000
    assert runs_only_in(bytes(400_000), weights) > 390_000


def test_an_artifact_of_another_run_or_of_an_earlier_training_is_refused(copied, runs):
    folder = copied("batch")
    assert check_artifact(str(folder), str(runs / "group"), None, None, {}, 1)["failures"][0].startswith("stale or for")


def test_other_images_are_noticed_and_images_with_other_classes_refused(copied, runs, photos, tmp_path):
    folder = copied("group")
    upside_down = tmp_path / "images"
    shutil.copytree(photos, upside_down)
    (upside_down / "bars").rename(upside_down / "lines")
    with pytest.raises(BadInput, match="its classes are not those of the trained net"):
        check_artifact(str(folder), None, str(upside_down), None, {}, 1)
    with pytest.raises(BadInput, match="nowhere: the images .* are not there; name them with --data"):
        check_artifact(str(folder), None, "nowhere", None, {}, 1)
    document = read_json(runs / "group" / "run.json", "run")
    moved = tmp_path / "run"
    shutil.copytree(runs / "group", moved)
    rewrite(folder, lambda document: document["run"].update(top1=0.123))
    lines = (moved / "metrics.jsonl").read_text().splitlines()
    lines[-1] = json.dumps(json.loads(lines[-1]) | {"top1": 0.123})
    (moved / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (failure,) = check_artifact(str(folder), str(moved), None, None, {}, 1)["failures"]
    assert failure.startswith("the trained net itself has top1") and "0.1230 in its run" in failure
    assert document["status"] == "ok"


def test_a_limit_takes_images_of_every_class_and_gates_can_be_set(copied):
    folder = copied("group", precision="bf16")
    assert check(folder, limit=6)["images"] == 6
    strict = check(folder, limit=6, error=1e-9)
    assert strict["status"] == "failed" and strict["gates"]["error"] == 1e-9


def test_engines_and_bf16_graphs_say_why_they_cannot_be_called_here(exported):
    with pytest.raises(Unsupported, match="ONNX Runtime cannot compute in bf16 on a CPU"):
        open_artifact(exported("group", "onnx", "bf16"), CPU, 1)
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    with pytest.raises(Unsupported, match="tensorrt-rtx computes on NVIDIA GPUs only"):
        open_artifact(exported("group", "tensorrt-rtx", "fp16"), CPU, 1)


def test_a_run_that_has_no_net_to_export_says_so(runs, tmp_path):
    def attempt(run):
        export_run(str(run), "onnx", "fp32", BATCH, [], str(tmp_path / "artefact"), "unused")

    with pytest.raises(BadInput, match="no run of fastbs"):
        attempt(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(runs / "group", run)
    document = read_json(run / "run.json", "run")
    write_json(run / "run.json", document | {"status": "diverged", "reason": "the loss was not finite"})
    with pytest.raises(BadInput, match="the run is diverged: the loss was not finite; there is no trained net"):
        attempt(run)
    write_json(run / "run.json", document)
    (run / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(BadInput, match="checkpoint.pt: not a readable checkpoint"):
        attempt(run)
