import gc
import multiprocessing
import os
import sys
import time
from pathlib import Path

import pytest
import torch

from fastbs.data.loaders import resident
from fastbs.errors import BadInput


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("batch_size", [1, 5, 50])
def test_a_batch_stays_as_it_is_while_it_is_held(loader, small, batches, batch_size, dtype):
    opened = loader("dali", small, batch_size=batch_size, dtype=dtype, augment="crop-flip")
    held, copies = [], []
    for _ in range(6):
        for batch in opened:
            held.append(batch)
            copies.append(batch.images.clone())
    opened.close()
    assert all(torch.equal(batch.images, copy) for batch, copy in zip(held, copies, strict=True))


@pytest.mark.parametrize("name", ["dali", "resident", "torch"])
def test_close_ends_every_thread_and_process_and_iterating_goes_on(loader, small, batches, numbers, name):
    batches(loader(name, small, seed=7), 1)  # what libraries start once and keep
    loader_, whole = loader(name, small), list(loader(name, small))
    gc.collect()
    time.sleep(0.2)
    before = threads(), len(multiprocessing.active_children())
    with loader_:
        head = batches(loader_, 2)
        if name != "resident":
            assert (threads(), len(multiprocessing.active_children())) > before
    deadline = time.monotonic() + 10
    while (threads(), len(multiprocessing.active_children())) > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (threads(), len(multiprocessing.active_children())) <= before
    assert numbers(head + list(loader_)) == numbers(whole)


def test_close_gives_back_the_images_that_resident_kept(loader, small, batches):
    def kept() -> int:
        gc.collect()
        return sum(type(o) is torch.Tensor and o.shape == (50, 32, 32, 3) for o in gc.get_objects())

    before = kept()
    opened = loader("resident", small)
    batches(opened, 1)
    assert kept() == before + 1
    opened.close()
    assert kept() == before


def test_a_batch_that_the_training_set_cannot_fill_is_refused(loader, small):
    with pytest.raises(BadInput, match=r"batch-size: 51 is more than the 50 training images"):
        loader("dali", small, batch_size=51)
    assert len(loader("dali", small, split="validation", batch_size=51)) == 1


def test_resident_refuses_what_it_cannot_keep(loader, small, monkeypatch):
    with pytest.raises(BadInput, match="random-resized.*use loader dali"):
        loader("resident", small, augment="random-resized")
    monkeypatch.setattr(resident, "available_memory_bytes", lambda device: 2 * 50 * 32 * 32 * 3 - 1)
    with pytest.raises(BadInput, match="GB are free.*use loader dali"):
        loader("resident", small)
    monkeypatch.setattr(resident, "available_memory_bytes", lambda device: 2 * 50 * 32 * 32 * 3)
    loader("resident", small)


def test_available_memory_is_below_what_the_machine_has():
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < resident.available_memory_bytes(torch.device("cpu")) <= total


def test_only_dali_and_resident_need_dali(loader, small, batches, monkeypatch):
    for module in [name for name in sys.modules if name.partition(".")[0] == "nvidia" or "loaders." in name]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "fastbs.data.dali_graph")
    monkeypatch.setitem(sys.modules, "nvidia.dali", None)
    for name in ("dali", "resident"):
        with pytest.raises(BadInput, match=f"{name} needs DALI"):
            loader(name, small)
    for name in ("torch", "synthetic"):
        assert len(batches(loader(name, small), 1)) == 1


def test_files_may_have_spaces_and_letters_of_any_script(loader, small, numbers, tmp_path):
    from dataclasses import replace

    strange = tmp_path / "a folder, with ünïcode"
    strange.symlink_to(Path(small.root))
    moved = replace(small, root=str(strange))
    for name in ("dali", "torch"):
        assert numbers(list(loader(name, moved, split="validation"))) == list(range(50, 71))
