import multiprocessing
import subprocess
import sys
import time

import pytest

from fastbs.errors import BadInput
from fastbs.results.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from fastbs.results.lock import locked
with locked(Path(sys.argv[1]), wait=False):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_holder_is_refused_and_told_who_holds(tmp_path, holder):
    with pytest.raises(BadInput, match=f"process {holder.pid} is writing here"), locked(tmp_path / "lock", wait=False):
        pass


def wait_for_lock(path, acquired):
    with locked(path, wait=True):
        acquired.set()


def test_a_killed_holder_sets_the_lock_free_for_the_one_who_waits(tmp_path, holder):
    acquired = multiprocessing.Event()
    waiter = multiprocessing.Process(target=wait_for_lock, args=(tmp_path / "lock", acquired))
    waiter.start()
    time.sleep(0.3)
    assert not acquired.is_set()
    holder.kill()
    assert acquired.wait(10)
    waiter.join()
