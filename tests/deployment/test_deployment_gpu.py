"""The real engines on a real card: built, run, checked."""

import pytest
import torch

from fastbs.analysis.parity_gate import GATES
from fastbs.config import RunConfig
from fastbs.deployment.check import check_artifact
from fastbs.deployment.export import export_run
from fastbs.deployment.open_artifact import open_artifact
from fastbs.sweeps.single import train

LIBRARIES = {"tensorrt": "tensorrt", "torch-tensorrt": "torch_tensorrt", "tensorrt-rtx": "tensorrt_rtx"}


@pytest.fixture(scope="module")
def runs(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for norm in ("batch", "group"):
        train(RunConfig(data=str(photos), norm=norm, batch_size=8, epochs=6, lr=0.05, loader="torch"), folder / norm)
    return folder


@pytest.mark.gpu
@pytest.mark.parametrize("norm", ["batch", "group"])
@pytest.mark.parametrize("precision", list(GATES))
@pytest.mark.parametrize("to", LIBRARIES)
def test_an_engine_is_the_net_that_was_trained(runs, tmp_path, to, precision, norm):
    pytest.importorskip(LIBRARIES[to], reason=f"{to} is not installed", exc_type=Exception)
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    folder, batch = tmp_path / "artefact", {"min": 1, "opt": 8, "max": 32, "each": []}
    export_run(str(runs / norm), to, precision, batch, [], str(folder), str(tmp_path / "cache"))
    found = check_artifact(str(folder), None, None, None, {}, 1)
    assert found["status"] == "ok" and found["engine"] == "run" and found["images"] == 20, found
    card = torch.device("cuda")
    deployed = open_artifact(folder, card, 1)
    images = torch.randn(32, 3, 16, 16, device=card)
    whole = deployed.forward(images)
    parts = torch.cat([deployed.forward(images[i : i + 4]) for i in range(0, 32, 4)])
    assert whole.device.type == "cuda" and whole.dtype == torch.float32
    assert (whole - parts).abs().max() <= GATES[precision].error * whole.std()


@pytest.mark.gpu
def test_every_profile_of_an_engine_is_used(runs, tmp_path):
    pytest.importorskip("tensorrt", reason="tensorrt is not installed")
    folder, batch = tmp_path / "artefact", {"min": 1, "opt": 8, "max": 32, "each": [1, 8, 32]}
    export_run(str(runs / "group"), "tensorrt", "fp16", batch, [], str(folder), str(tmp_path / "cache"))
    found = check_artifact(str(folder), None, None, None, {}, 1)
    assert found["status"] == "ok" and found["batch_sizes"] == [1, 8, 32], found
