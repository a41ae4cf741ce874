"""Several ranks together see what one process sees: as a property of the shares, and of every loader."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fastbs.data.dataset import Split
from fastbs.data.loaders.chunk_loader import LoaderSettings
from fastbs.data.order import epoch_order, share_of
from fastbs.errors import BadInput

NAMES = ["dali", "resident", "torch", "synthetic"]


@given(
    ranks=st.integers(1, 8),
    batch_size=st.integers(1, 9),
    batches=st.integers(0, 5),
    over=st.integers(-2, 2),
    epoch=st.integers(0, 3),
)
def test_shares_are_equal_on_all_ranks_and_side_by_side_the_global_batches(ranks, batch_size, batches, over, epoch):
    """Around multiples of the global batch, where a rank could get a batch more, a smaller one, or an empty one."""
    together = ranks * batch_size
    order = epoch_order(0, epoch, max(0, batches * together + over))
    shares = [share_of(order, batch_size, rank, ranks) for rank in range(ranks)]
    assert {len(share) for share in shares} == {len(order) // together * batch_size}
    of_all = [np.concatenate([s[at : at + batch_size] for s in shares]) for at in range(0, len(shares[0]), batch_size)]
    alone = [order[at : at + together] for at in range(0, len(order) - together + 1, together)]
    assert len(of_all) == len(alone)
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(of_all, alone, strict=True))


@given(ranks=st.integers(1, 8), images=st.integers(1, 60), batch_size=st.integers(1, 9))
def test_ranks_evaluate_every_image_once_and_about_equally_many(small, ranks, images, batch_size):
    files = tuple(map(str, range(images)))
    data = replace(small, validation=Split(files, tuple(range(images))))
    plain = {"image_size": 8, "augment": "none", "dtype": torch.float32, "device": torch.device("cpu"), "seed": 0}
    shares = [
        LoaderSettings(
            dataset=data, split="validation", batch_size=batch_size, threads=1, rank=rank, ranks=ranks, **plain
        )
        for rank in range(ranks)
    ]
    seen = [pair for share in shares for pair in zip(share.listing.files, share.listing.labels, strict=True)]
    assert sorted(seen) == sorted(zip(files, range(images), strict=True))
    assert max(share.images for share in shares) - min(share.images for share in shares) <= 1


@pytest.mark.parametrize("name", NAMES)
def test_the_batches_of_two_ranks_are_those_of_one_process_bit_for_bit(loader, small, batches, name):
    """50 images: three global batches of 16 an epoch, resumed in the second epoch too."""
    settings = {"augment": "crop-flip", "seed": 2}
    whole = batches(loader(name, small, batch_size=16, **settings), 8)
    ranks = [loader(name, small, batch_size=8, rank=rank, ranks=2, **settings) for rank in range(2)]
    assert [len(opened) for opened in ranks] == [3, 3]
    first = [batches(opened, 4) for opened in ranks]
    anew = [loader(name, small, batch_size=8, rank=rank, ranks=2, **settings) for rank in range(2)]
    for opened in anew:
        opened.load_state_dict(ranks[0].state_dict())
    shares = [before + batches(opened, 4) for before, opened in zip(first, anew, strict=True)]
    for batch, *parts in zip(whole, *shares, strict=True):
        assert torch.equal(batch.images, torch.cat([part.images for part in parts]))
        assert torch.equal(batch.labels, torch.cat([part.labels for part in parts]))


@pytest.mark.parametrize("name", NAMES[:3])
def test_two_ranks_evaluate_every_image_once(loader, small, numbers, name):
    ranks = [loader(name, small, split="validation", batch_size=8, rank=rank, ranks=2) for rank in range(2)]
    for _ in range(2):
        epochs = [list(opened) for opened in ranks]
        assert [[len(batch.labels) for batch in epoch] for epoch in epochs] == [[8, 3], [8, 2]]
        assert sorted(numbers(epochs[0]) + numbers(epochs[1])) == list(range(50, 71))


def test_more_ranks_than_a_batch_or_validation_can_feed_are_refused(loader, small):
    with pytest.raises(BadInput, match="batch-size: 52 is more than the 50 training images"):
        loader("synthetic", small, batch_size=26, ranks=2)
    with pytest.raises(BadInput, match="21 validation images for 22 ranks"):
        loader("synthetic", small, split="validation", rank=21, ranks=22)
