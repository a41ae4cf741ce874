"""Inference on a real card: copies, enqueueing, CUDA graphs."""

import pytest
import torch

from fastbs.bench.cuda_graph import captured
from fastbs.bench.inference import measure_inference
from fastbs.bench.one_by_one import PARTS

SETTINGS = {
    "model": "small",
    "norm": "group",
    "classes": 10,
    "image_size": 32,
    "batch_size": 8,
    "precision": "fp32",
    "step": "eager",
    "device": "cuda",
    "threads": 1,
    "blocks": 2,
    "block_seconds": 0.05,
    "least_calls": 100,
    "detail": True,
}


@pytest.mark.gpu
@pytest.mark.parametrize("cuda_graph", [False, True])
def test_a_call_on_a_card_has_copies_a_pass_and_an_enqueueing(cuda_graph):
    sample = measure_inference(**SETTINGS, cuda_graph=cuda_graph)
    assert all(sample[part] > 0 for part in PARTS)
    alone = sum(sample[f"{part}_seconds"] for part in ("h2d", "compute", "d2h"))
    assert min(sample["latency_seconds"]) > 0.5 * alone  # waited for: half, because clocks move
    assert len(sample["latency_seconds"]) >= 100
    if cuda_graph:
        plain = measure_inference(**SETTINGS, cuda_graph=False)
        assert sample["enqueue_seconds"] < plain["enqueue_seconds"], "one launch instead of many"


@pytest.mark.gpu
def test_a_replayed_pass_computes_what_lies_in_the_images_then():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 4))
    net = net.cuda().eval()
    images, others = torch.randn(2, 5, 3, 8, 8, device="cuda")
    with torch.inference_mode():
        expected = [net(images), net(others)]
        replay = captured(net, images)
        for batch, logits in zip((images.clone(), others), expected, strict=True):
            images.copy_(batch)
            torch.testing.assert_close(replay(), logits)
