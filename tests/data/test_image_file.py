"""A file is called readable only if it decodes to its end, in Pillow and in DALI."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from fastbs.data import image_file
from fastbs.data.image_file import Damage, inspect, inspect_all, unpack

SMOOTH = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))
PICTURE = SMOOTH.resize((80, 60), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    return exif


GOOD = {
    "baseline.jpg": encoded(PICTURE, "JPEG"),
    "progressive.jpg": encoded(PICTURE, "JPEG", progressive=True),
    "restart.jpg": encoded(PICTURE, "JPEG", restart_marker_rows=1),
    "gray.jpg": encoded(PICTURE.convert("L"), "JPEG"),
    "cmyk.jpg": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "trailing.jpg": encoded(PICTURE, "JPEG") + b"\n" * 100,
    "tiny.jpg": encoded(PICTURE.resize((1, 1)), "JPEG"),
    "turned.jpg": encoded(PICTURE, "JPEG", exif=turned()),
    "rgb.png": encoded(PICTURE, "PNG"),
    "gray.png": encoded(PICTURE.convert("L"), "PNG"),
    "alpha.png": encoded(PICTURE.convert("RGBA"), "PNG"),
    "palette.png": encoded(PICTURE.convert("P"), "PNG", transparency=0),
    "sixteen.png": encoded(Image.fromarray(np.asarray(PICTURE.convert("L")).astype(np.uint16) * 257), "PNG"),
    "really-png.jpg": encoded(PICTURE, "PNG"),
}
JPEG, PROGRESSIVE, PNG = GOOD["baseline.jpg"], GOOD["progressive.jpg"], GOOD["rgb.png"]


def seen(folder: Path, content: bytes) -> image_file.ImageFile | Damage:
    (folder / "x").write_bytes(content)
    return inspect(folder / "x")


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_image_is_readable_with_its_size_as_seen(tmp_path, name):
    image = seen(tmp_path, GOOD[name])
    assert isinstance(image, image_file.ImageFile)
    assert image.format == ("PNG" if "png" in name else "JPEG")
    expected = {"turned.jpg": (80, 60), "tiny.jpg": (1, 1)}.get(name, (60, 80))
    assert (image.height, image.width) == expected
    assert image.bytes == len(GOOD[name])


@given(st.sampled_from([JPEG, PROGRESSIVE, PNG, GOOD["restart.jpg"]]), st.floats(0, 1, exclude_max=True))
@settings(max_examples=150, deadline=None)
def test_a_file_cut_anywhere_is_refused(tmp_path_factory, content, where):
    cut = content[: int(where * len(content))]
    damage = seen(tmp_path_factory.getbasetemp(), cut)
    assert isinstance(damage, Damage)
    if len(cut) > 100:
        assert damage.kind == "truncated"
        assert f"(truncated after {len(cut)} bytes)" in damage.text


@pytest.mark.parametrize("missing", range(1, 13))
def test_the_last_bytes_of_a_png_are_missed(tmp_path, missing):
    assert isinstance(seen(tmp_path, PNG[:-missing]), Damage)


def test_a_changed_byte_in_the_middle_of_a_png_is_found(tmp_path):
    middle = len(PNG) // 2
    changed = PNG[:middle] + bytes([PNG[middle] ^ 1]) + PNG[middle + 1 :]
    damage = seen(tmp_path, changed)
    assert isinstance(damage, Damage) and damage.kind == "unreadable"


def test_a_jpeg_whose_middle_is_gone_is_found(tmp_path):
    middle = len(JPEG) // 2
    damage = seen(tmp_path, JPEG[:middle] + b"\xff" * 16 + JPEG[middle + 16 :])
    assert isinstance(damage, Damage) and damage.kind == "unreadable"


def segments(jpeg: bytes) -> list[int]:
    """Where each marker of a JPEG's header stands, the first scan's included."""
    places = [2]
    while jpeg[places[-1] + 1] != 0xDA:
        places.append(places[-1] + 2 + int.from_bytes(jpeg[places[-1] + 2 : places[-1] + 4], "big"))
    return places


@pytest.mark.parametrize("stray", [b"\x00", b"ab", b"\xff\xd0", b"\xff\x01"])
def test_stray_bytes_between_the_segments_of_a_jpeg_are_refused(tmp_path, stray):
    """libjpeg skips them, DALI's parser does not."""
    for place in segments(JPEG):
        damage = seen(tmp_path, JPEG[:place] + stray + JPEG[place:])
        assert isinstance(damage, Damage) and "stray bytes in its header" in damage.text


def test_fill_bytes_before_a_marker_are_allowed(tmp_path):
    for place in segments(JPEG):
        assert isinstance(seen(tmp_path, JPEG[:place] + b"\xff\xff" + JPEG[place:]), image_file.ImageFile)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty file"),
        (b"hello", "not JPEG or PNG"),
        (encoded(PICTURE, "GIF"), "not JPEG or PNG"),
        (encoded(PICTURE, "BMP"), "not JPEG or PNG"),
    ],
)
def test_what_is_no_image_is_told_apart(tmp_path, content, kind):
    damage = seen(tmp_path, content)
    assert isinstance(damage, Damage) and damage.kind == kind


def test_a_dangling_link_and_a_huge_image_are_refused_with_the_reason(tmp_path, monkeypatch):
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    assert inspect(tmp_path / "link.jpg") == Damage("unreadable", "cannot be read (No such file or directory)")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert "too large" in seen(tmp_path, JPEG).text


def test_a_program_that_lets_pillow_accept_truncated_files_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    (tmp_path / "cut.jpg").write_bytes(JPEG[:-200])
    (tmp_path / "good.jpg").write_bytes(JPEG)
    rows = inspect_all(str(tmp_path), ["cut.jpg", "good.jpg"])
    assert [isinstance(unpack(row), Damage) for row in rows] == [True, False]
    assert unpack(rows[1]) == inspect(tmp_path / "good.jpg")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def damaged_samples() -> list[bytes]:
    """Cut, overwritten, with bytes put in and left out, mostly in the headers, where parsers differ."""
    draw = random.Random(0)
    samples = [content[:-missing] for content in (JPEG, PROGRESSIVE, PNG) for missing in (1, 8, 300)]
    for content in (JPEG, PROGRESSIVE, GOOD["gray.jpg"], GOOD["turned.jpg"], PNG, GOOD["palette.png"]):
        for _ in range(8):
            place, length = draw.randrange(2, min(700, len(content))), draw.randrange(1, 20)
            noise = draw.randbytes(length)
            samples.append(content[:place] + noise + content[place:])
            samples.append(content[:place] + content[place + length :])
            samples.append(content[:place] + noise + content[place + length :])
    return samples


def test_dali_decodes_whatever_is_called_readable(tmp_path):
    """DALI is the oracle: a pipeline is dead after the first file that it cannot decode."""
    dali = pytest.importorskip("nvidia.dali", reason="DALI is not installed")

    @dali.pipeline_def(batch_size=1, num_threads=1, device_id=None)
    def decode(content: bytes):
        raw = dali.fn.external_source(lambda: np.frombuffer(content, np.uint8), batch=False)
        return dali.fn.decoders.image(raw, device="cpu", output_type=dali.types.RGB)

    filled = [JPEG[:place] + b"\xff\xff" + JPEG[place:] for place in segments(JPEG)]
    samples = [*GOOD.values(), *filled, *damaged_samples()]
    readable = [content for content in samples if isinstance(seen(tmp_path, content), image_file.ImageFile)]
    assert len(readable) >= len(GOOD) + 20  # some damage still decodes: otherwise nothing is tested
    assert len(samples) - len(readable) > 40
    for content in readable:
        pipeline = decode(content)
        pipeline.build()
        shape = pipeline.run()[0].at(0).shape
        image = seen(tmp_path, content)
        assert shape == (image.height, image.width, 3)
