import json

import pytest
import torch

from fastbs.data.loaders import chunk_loader, dali

READING = ["dali", "resident", "torch"]
ALL = [*READING, "synthetic"]


def same(some, others):
    pairs = zip(some, others, strict=True)
    return all(torch.equal(a.images, b.images) and torch.equal(a.labels, b.labels) for a, b in pairs)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_batches_are_channels_last_in_the_compute_dtype(loader, small, name, dtype):
    for batch_size in (1, 8):
        images, labels = next(iter(loader(name, small, dtype=dtype, batch_size=batch_size)))
        assert images.shape == (batch_size, 3, 32, 32) and images.dtype == dtype
        assert images.stride() == (3 * 32 * 32, 1, 3 * 32, 3)
        assert labels.shape == (batch_size,) and labels.dtype == torch.int64


@pytest.mark.parametrize("name", ALL)
def test_training_drops_what_does_not_fill_a_batch_and_evaluation_hands_out_all(loader, small, name):
    for size, train, validation in [(8, [8] * 6, [8, 8, 5]), (7, [7] * 7, [7, 7, 7]), (50, [50], [21])]:
        for split, expected in (("train", train), ("validation", validation)):
            opened = loader(name, small, split=split, batch_size=size)
            for _ in range(2):
                assert len(opened) == len(expected)
                assert [len(batch.labels) for batch in opened] == expected


@pytest.mark.parametrize("name", READING)
def test_evaluation_gives_every_image_once_in_order_with_its_label(loader, small, numbers, name):
    opened = loader(name, small, split="validation", batch_size=8, augment="crop-flip")
    for _ in range(3):
        epoch = list(opened)
        assert numbers(epoch) == list(range(50, 71))
        assert torch.cat([batch.labels for batch in epoch]).tolist() == [i % 3 for i in range(50, 71)]


@pytest.mark.parametrize("name", READING)
def test_training_shuffles_every_epoch_anew_and_keeps_labels_with_images(loader, small, numbers, name):
    opened = loader(name, small, batch_size=8)
    epochs = [list(opened) for _ in range(3)]
    orders = [numbers(epoch) for epoch in epochs]
    for epoch, order in zip(epochs, orders, strict=True):
        assert len(set(order)) == 48 and set(order) <= set(range(50))
        assert torch.cat([batch.labels for batch in epoch]).tolist() == [i % 3 for i in order]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize("name", READING)
def test_the_seed_decides_the_order(loader, small, batches, name):
    first, again, other = (batches(loader(name, small, seed=seed, augment="crop-flip"), 8) for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("name", READING)
def test_smaller_batches_cut_the_same_stream_of_images_into_smaller_pieces(loader, small, name):
    def epochs(batch_size):
        opened = loader(name, small, batch_size=batch_size, augment="crop-flip")
        return [[torch.cat(parts) for parts in zip(*opened, strict=True)] for _ in range(2)]

    whole = epochs(1)
    for batch_size in (4, 50):
        for (images, labels), (all_images, all_labels) in zip(epochs(batch_size), whole, strict=True):
            kept = 50 - 50 % batch_size
            assert len(labels) == kept
            assert torch.equal(images, all_images[:kept]) and torch.equal(labels, all_labels[:kept])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("split", ["train", "validation"])
def test_resumed_anywhere_the_rest_is_bit_identical(loader, small, batches, name, split):
    settings = {"split": split, "batch_size": 4, "augment": "crop-flip", "dtype": torch.bfloat16, "seed": 3}
    uninterrupted = batches(loader(name, small, **settings), 26)
    for done in (1, 12, 17):
        interrupted = loader(name, small, **settings)
        batches(interrupted, done)
        resumed = loader(name, small, **settings)
        resumed.load_state_dict(json.loads(json.dumps(interrupted.state_dict())))
        assert same(batches(resumed, 26 - done), uninterrupted[done:])


def test_the_rest_of_an_epoch_ends_where_the_epoch_ends(loader, small):
    started, resumed = loader("dali", small), loader("dali", small)
    for _ in zip(range(2), started, strict=False):
        pass
    resumed.load_state_dict(started.state_dict())
    assert len(list(resumed)) == 4
    assert len(list(resumed)) == 6


def test_loading_a_state_moves_a_loader_back(loader, small, batches):
    for name in ALL:
        opened = loader(name, small)
        state = opened.state_dict()
        first = batches(opened, 9)
        opened.load_state_dict(state)
        assert same(batches(opened, 9), first)


@pytest.mark.parametrize("name", ALL)
def test_iterating_after_a_break_goes_on_where_it_was(loader, small, name):
    opened = loader(name, small)
    iterator = iter(opened)
    broken = [next(iterator), next(iterator)]
    assert same(broken + list(opened), list(loader(name, small)))


@pytest.mark.parametrize(
    "change", [{"batch_size": 4}, {"seed": 9}, {"split": "validation"}, {"augment": "crop-flip"}, {"image_size": 16}]
)
def test_a_state_of_other_batches_is_refused(loader, small, change):
    state = loader("dali", small).state_dict()
    with pytest.raises(ValueError, match=next(iter(change))):
        loader("dali", small, **change).load_state_dict(state)


def test_a_state_of_another_data_set_is_refused(loader, small, photographs):
    from dataclasses import replace

    state = loader("dali", small).state_dict()
    with pytest.raises(ValueError, match="dataset"):
        loader("dali", replace(small, fingerprint="f" * 16)).load_state_dict(state)


@pytest.mark.parametrize("segment", [1, 48, 100])
def test_where_the_dali_graph_is_built_anew_cannot_be_seen(loader, small, batches, monkeypatch, segment):
    settings = {"augment": "crop-flip", "batch_size": 8}
    whole = batches(loader("dali", small, **settings), 40)
    monkeypatch.setattr(dali, "SEGMENT", segment)
    opened = loader("dali", small, **settings)
    assert same(batches(opened, 20), whole[:20])
    resumed = loader("dali", small, **settings)
    resumed.load_state_dict(opened.state_dict())
    assert same(batches(resumed, 20), whole[20:])


@pytest.mark.parametrize("name", ["dali", "resident"])
def test_the_size_of_chunks_cannot_be_seen(loader, small, batches, monkeypatch, name):
    for split in ("train", "validation"):
        settings = {"split": split, "batch_size": 4, "augment": "crop-flip"}  # 21 images do not fill their last chunk
        expected = batches(loader(name, small, **settings), 40)
        for size in (1, 1000):
            monkeypatch.setattr(chunk_loader, "CHUNK", size)
            assert same(batches(loader(name, small, **settings), 40), expected)


def test_all_loaders_that_read_give_the_same_training_images(loader, small, batches):
    for augment in ("none", "crop-flip"):
        first, *others = (batches(loader(name, small, augment=augment), 8) for name in READING)
        for other in others:
            for a, b in zip(first, other, strict=True):
                assert torch.equal(a.labels, b.labels)
                torch.testing.assert_close(a.images, b.images, rtol=0, atol=1e-5)


def test_one_synthetic_batch_is_handed_out_again_and_again(loader, small, batches):
    first, *others = batches(loader("synthetic", small), 10)
    assert all(torch.equal(first.images, other.images) for other in others)
    assert {other.images.data_ptr() for other in others} == {first.images.data_ptr()}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("batch_size", [1, 8])
def test_preparing_hands_out_nothing_and_changes_nothing(loader, small, batches, name, batch_size):
    plain, prepared = (loader(name, small, batch_size=batch_size, augment="crop-flip") for _ in range(2))
    prepared.prepare()
    prepared.prepare()
    assert prepared.state_dict() == plain.state_dict()
    assert same(batches(prepared, 9), batches(plain, 9))
