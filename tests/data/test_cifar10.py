"""CIFAR-10 from small archives of the official format, over a real connection that fails in all the usual ways."""

import hashlib
import io
import pickle
import struct
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastbs.data import download as downloads
from fastbs.data.check import check
from fastbs.data.folders import open_dataset
from fastbs.data.make_cifar10 import make_cifar10
from fastbs.errors import BadInput

CLASSES = (b"airplane", b"cat", b"truck")
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
PER_BATCH = 6
ARCHIVE = "cifar-10-python.tar.gz"


class Python2Pickler(pickle._Pickler):
    """Writes byte strings as Python 2 did, which is how the official batches are written."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, value: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch[bytes] = save_bytes


def python2_pickle(value: object) -> bytes:
    buffer = io.BytesIO()
    Python2Pickler(buffer, 2).dump(value)
    return buffer.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def pixels_of(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)


def members(**replaced: bytes) -> dict[str, bytes]:
    found = {"batches.meta": python2_pickle({b"label_names": list(CLASSES), b"num_vis": 3072})}
    for number, name in enumerate(BATCHES):
        labels = [index % len(CLASSES) for index in range(PER_BATCH)]
        found[name] = python2_pickle({b"data": pixels_of(number), b"labels": labels, b"batch_label": b"one"})
    return found | replaced


def archive(found: dict[str, bytes], folder: str = "cifar-10-batches-py/") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in found.items():
            info = tarfile.TarInfo(folder + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


GOOD = archive(members())


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class Server:
    """Serves `content`; `cuts` are the lengths after which the next answers break off; `ranges` are the requests."""

    def __init__(self, content: bytes) -> None:
        self.content, self.cuts, self.ranges, self.knows_ranges, self.statuses = content, [], [], True, []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = self.headers.get("Range")
                server.ranges.append(asked)
                if server.statuses:
                    self.send_error(server.statuses.pop(0))
                    return
                start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.knows_ranges else 0
                if start and start >= len(server.content):
                    self.send_error(416)
                    return
                body = server.content[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{ARCHIVE}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def make(self, target: Path, **options: object) -> int:
        return make_cifar10(target, url=self.url, **{"md5": md5(GOOD), "pause": 0} | options)


@pytest.fixture
def server():
    server = Server(GOOD)
    yield server
    server.http.shutdown()
    server.http.server_close()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_is_the_good_one(target: Path) -> None:
    layout = open_dataset(target)
    assert layout.classes == tuple(name.decode() for name in CLASSES)
    assert (len(layout.train), len(layout.validation), layout.test) == (5 * PER_BATCH, PER_BATCH, None)
    assert check(target).problems == ()
    for side, first in (("train", 0), ("test", 5)):
        for file in (target / side).rglob("*.png"):
            batch, row = divmod(int(file.stem), PER_BATCH)
            assert file.parent.name == CLASSES[row % len(CLASSES)].decode()
            expected = pixels_of(first + batch)[row].reshape(3, 32, 32)
            assert (np.moveaxis(np.asarray(Image.open(file)), 2, 0) == expected).all()


def test_the_archive_becomes_class_folders_of_the_very_pixels(server, tmp_path):
    assert server.make(tmp_path / "cifar10") == 6 * PER_BATCH
    assert_is_the_good_one(tmp_path / "cifar10")
    assert names(tmp_path) == ["cifar10"]
    assert server.ranges == [None]


def test_an_interrupted_download_is_continued_where_it_broke_off(server, tmp_path):
    half = len(GOOD) // 2
    server.cuts = [half]
    server.make(tmp_path / "cifar10")
    assert server.ranges == [None, f"bytes={half}-"]
    assert_is_the_good_one(tmp_path / "cifar10")


def test_a_download_is_continued_by_the_next_call(server, tmp_path):
    server.cuts = [1000, 0, 0, 0, 0, 0]
    with pytest.raises(BadInput, match=r"cannot be downloaded \(the connection ended early\).*--from FILE"):
        server.make(tmp_path / "cifar10")
    assert names(tmp_path) == [f"{ARCHIVE}.part"]
    server.cuts.clear()
    server.ranges.clear()
    server.make(tmp_path / "cifar10")
    assert server.ranges == ["bytes=1000-"]
    assert_is_the_good_one(tmp_path / "cifar10")


def test_a_connection_that_breaks_often_but_advances_is_not_given_up(server, tmp_path):
    server.cuts = [1000] * 12
    server.make(tmp_path / "cifar10")
    assert server.ranges == [None, *(f"bytes={1000 * number}-" for number in range(1, 13))]


def test_a_server_without_ranges_sends_all_again(server, tmp_path):
    server.knows_ranges = False
    server.cuts = [1000]
    server.make(tmp_path / "cifar10")
    assert server.ranges == [None, "bytes=1000-"]
    assert_is_the_good_one(tmp_path / "cifar10")


def test_what_is_there_in_full_is_not_fetched_again(server, tmp_path):
    (tmp_path / f"{ARCHIVE}.part").write_bytes(GOOD)
    server.make(tmp_path / "cifar10")
    assert server.ranges == []


def test_a_foreign_part_that_is_too_long_is_replaced(server, tmp_path):
    (tmp_path / f"{ARCHIVE}.part").write_bytes(b"x" * (len(GOOD) + 1))
    server.make(tmp_path / "cifar10")
    assert server.ranges == [f"bytes={len(GOOD) + 1}-", None]


def test_a_busy_server_is_asked_again_and_a_missing_page_is_not(server, tmp_path):
    server.statuses = [503, 503]
    server.make(tmp_path / "a")
    assert len(server.ranges) == 3
    server.statuses = [404]
    with pytest.raises(BadInput, match="404"):
        server.make(tmp_path / "b")
    assert len(server.ranges) == 4


def test_no_server_at_all_is_said_with_the_way_out(server, tmp_path):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(BadInput, match=r"cannot be downloaded \(.*refused.*\); try again, or fetch .* --from FILE"):
        server.make(tmp_path / "cifar10")
    assert names(tmp_path) == []


def test_a_wrong_checksum_is_refused_before_anything_is_opened(server, tmp_path):
    with pytest.raises(BadInput, match=f"its MD5 is {md5(GOOD)} instead of the published 0000"):
        server.make(tmp_path / "cifar10", md5="0000")
    assert names(tmp_path) == []


def test_a_fetched_archive_is_used_without_a_network_and_kept(tmp_path):
    source = tmp_path / "mine.tar.gz"
    source.write_bytes(GOOD)
    told = []
    make_cifar10(tmp_path / "cifar10", source=source, md5=md5(GOOD), progress=lambda *seen: told.append(seen))
    assert_is_the_good_one(tmp_path / "cifar10")
    assert source.exists() and told[-1] == ("images", 36, 36)


def refused(tmp_path: Path, content: bytes, **options: object) -> str:
    """What is said of an archive that has its checksum and is not right, after seeing that nothing was left behind."""
    source = tmp_path / "mine.tar.gz"
    source.write_bytes(content)
    with pytest.raises(BadInput) as error:
        make_cifar10(tmp_path / "cifar10", source=source, **{"md5": md5(content)} | options)
    assert names(tmp_path) == ["mine.tar.gz"]
    assert str(error.value).startswith(f"{source}: ") and "\n" not in str(error.value)
    return str(error.value)


def test_a_truncated_file_and_a_wrong_one_are_refused_by_checksum(tmp_path):
    assert "instead of the published" in refused(tmp_path, GOOD[:-100], md5=md5(GOOD))
    with pytest.raises(BadInput, match=r"nowhere: cannot be read \(No such file or directory\)"):
        make_cifar10(tmp_path / "cifar10", source=tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.6, 0.9])
def test_a_truncated_archive_is_refused_even_with_its_checksum(tmp_path, keep):
    cut = GOOD[: keep if isinstance(keep, int) else int(keep * len(GOOD))]
    assert "not CIFAR-10's python archive" in refused(tmp_path, cut)


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"open({str(self.path)!r}, 'w')",))


@pytest.mark.parametrize("member", ["batches.meta", "data_batch_3", "test_batch"])
def test_a_hostile_pickle_is_not_run(tmp_path, member):
    planted = tmp_path / "planted"
    hostile = python2_pickle({b"data": Hostile(planted)})
    text = refused(tmp_path, archive(members(**{member: hostile})))
    assert f"{member}: a pickle that asks for __builtin__.eval is not opened" in text
    assert not planted.exists()


@pytest.mark.parametrize(
    ("member", "content", "reason"),
    [
        ("batches.meta", {b"label_names": [b"../evil", b"cat"]}, "no usable label_names"),
        ("batches.meta", {b"label_names": [b"cat", b"cat"]}, "no usable label_names"),
        ("batches.meta", [1, 2], "not a batch"),
        ("test_batch", {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, "no label for each image"),
        ("test_batch", {b"data": np.zeros((1, 3072), np.uint8), b"labels": [3]}, "not one of the 3 classes"),
        ("test_batch", {b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]}, "not one of the 3 classes"),
        ("test_batch", {b"data": np.zeros((1, 300), np.uint8), b"labels": [0]}, "no rows of 3072 bytes"),
        ("test_batch", {b"data": np.zeros((1, 3072), np.float32), b"labels": [0]}, "no rows of 3072 bytes"),
    ],
)
def test_contents_that_are_not_cifar_are_refused(tmp_path, member, content, reason):
    assert reason in refused(tmp_path, archive(members(**{member: python2_pickle(content)})))


def test_a_missing_member_and_a_link_out_of_the_archive_are_refused(tmp_path):
    assert "batches.meta is missing" in refused(tmp_path, archive(members(), folder="elsewhere/"))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        link = tarfile.TarInfo("cifar-10-batches-py/batches.meta")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert "not a batch" in refused(tmp_path, buffer.getvalue())


def test_a_full_disk_while_downloading_is_said_at_once(server, tmp_path, monkeypatch):
    with open("/dev/full", "wb", buffering=0) as full, monkeypatch.context() as patched:
        patched.setattr(downloads, "_open", lambda *_: full)
        with pytest.raises(BadInput, match=r"cannot be written \(No space left on device\); free space"):
            server.make(tmp_path / "cifar10")
    assert len(server.ranges) == 1 and names(tmp_path) == []


def test_a_full_disk_while_unpacking_leaves_no_dataset_and_keeps_the_download(server, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(BadInput, match=r"cifar10: cannot be written \(No space left on device\); free space"):
        server.make(tmp_path / "cifar10")
    assert names(tmp_path) == [f"{ARCHIVE}.part"]


def test_a_target_in_use_is_refused_before_the_download(server, tmp_path):
    (tmp_path / "x").touch()
    with pytest.raises(BadInput, match="not empty"):
        server.make(tmp_path)
    assert server.ranges == []
