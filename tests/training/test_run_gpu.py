"""What only a card can show: a whole run on it, and every step mode equal to eager there."""

import importlib.util

import pytest
import torch

pytestmark = pytest.mark.gpu
LOADERS = ["torch", *(["dali", "resident"] if importlib.util.find_spec("nvidia.dali") else [])]


@pytest.mark.parametrize("loader", LOADERS)
def test_a_run_on_the_card_learns_and_measures(photos, tmp_path, loader):
    from fastbs.config import RunConfig
    from fastbs.data.check import verified_dataset
    from fastbs.measurement.machine import machine
    from fastbs.results.files import write_json
    from fastbs.results.run_folder import RunFolder
    from fastbs.training.resolve import resolve
    from fastbs.training.run import train

    dataset = verified_dataset(photos)
    write_json(tmp_path / "dataset.json", dataset.to_json())
    run = RunConfig(data=str(photos), batch_size=8, epochs=20, loader=loader, augment="none")
    config = resolve(run.to_json(), dataset.to_json())["run"]
    assert config["device"] == "cuda" and config["precision"] in ("bf16", "fp32")
    assert train(config, str(tmp_path / "dataset.json"), str(tmp_path / "run"), "main", machine()) == "ok"
    record = RunFolder(tmp_path / "run").record()
    assert record.last.top1 > 0.9
    assert 0 < record.result.update_seconds < record.result.step_seconds
    assert 0 < record.result.peak_memory_bytes < 2 << 30


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_run_on_the_card_accumulates_draws_its_noise_and_ends_at_its_target(photos, tmp_path, name):
    from fastbs.config import RunConfig
    from fastbs.data.check import verified_dataset
    from fastbs.measurement.machine import machine
    from fastbs.results.files import write_json
    from fastbs.results.run_folder import RunFolder
    from fastbs.training.resolve import resolve
    from fastbs.training.run import train

    dataset = verified_dataset(photos)
    write_json(tmp_path / "dataset.json", dataset.to_json())
    settings = {"target": 0.8, "until_target": True, "eval_images": 24, "noise_scale": True, "noise_share": 0.9}
    run = RunConfig(
        data=str(photos), batch_size=8, micro_batch=4, epochs=40, loader="torch", precision=name, **settings
    )
    config = resolve(run.to_json(), dataset.to_json())["run"]
    assert train(config, str(tmp_path / "dataset.json"), str(tmp_path / "run"), "main", machine()) == "ok"
    record = RunFolder(tmp_path / "run").record()
    assert [evaluation.top1 >= 0.8 for evaluation in record.evaluations[-2:]] == [True, True]
    assert record.noise and record.noise[0].micro_batch == 4 and len(record.noise[0].squared_norms) == 32
    assert all(draw.squared_norm_of_mean <= max(draw.squared_norms) for draw in record.noise)


@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16", "fp16"])
@pytest.mark.parametrize("mode", ["eager", "compile"])
def test_every_step_mode_and_precision_follows_fp32_eager(name, mode):
    from fastbs.config import RunConfig
    from fastbs.data.batch import Batch
    from fastbs.models import build
    from fastbs.training import precision
    from fastbs.training.step import Step

    cuda = torch.device("cuda")

    def losses(name, mode):
        torch.manual_seed(0)
        precision.set_up(name, cuda)
        model = build("small", classes=4, image_size=32).to(cuda, memory_format=torch.channels_last)
        step = Step(model, RunConfig(data="photos", batch_size=16, lr=0.02, precision=name, step=mode), cuda)
        generator, found = torch.Generator().manual_seed(0), []
        for _ in range(20):
            labels = torch.randint(4, (16,), generator=generator)
            images = torch.randn(16, 3, 32, 32, generator=generator) + labels.view(-1, 1, 1, 1)
            images = images.to(cuda, precision.batch_dtype(name)).to(memory_format=torch.channels_last)
            found.append(step(Batch(images, labels.to(cuda))))
        return torch.stack(found).cpu()

    tolerance = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 6e-2, "fp16": 2e-2}[name]
    torch.testing.assert_close(losses(name, mode), losses("fp32", "eager"), rtol=tolerance, atol=tolerance)
