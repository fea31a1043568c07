"""The process that decodes untrusted images, with real files and real limits."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import DTypeLike

from edge.cameras.image_decoder import FILE_LIMITS, UPLOAD_LIMITS, ImageDecoder
from edge.errors import EmotionEdgeError
from edge.reading import Image
from tests.support.daemon import wait_until
from tests.support.images import black_png, encoded, scans, with_orientation
from tests.support.samples import picture


@pytest.fixture(scope="module")
def decoder() -> Iterator[ImageDecoder]:
    with ImageDecoder() as decoder:
        yield decoder


def processes() -> list[int]:
    """Ids of the running decoder processes."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return [pid for pid in found if b"decode_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@lru_cache(maxsize=1)
def slow_jpeg() -> bytes:
    """Make a valid JPEG of a few hundred kilobytes that takes many seconds to decode."""
    return scans(encoded(picture(3000, 3000), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 90)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tiff", ".ppm"])
def test_pixels_are_opencv_s(decoder: ImageDecoder, suffix: str) -> None:
    file = encoded(picture(), suffix)
    assert np.array_equal(decoder.decode(file, FILE_LIMITS), cv2.imdecode(np.frombuffer(file, np.uint8), 1))


def test_grey_transparent_and_deep_images_become_bgr(decoder: ImageDecoder) -> None:
    shown = picture(60, 40)
    grey = np.asarray(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), np.uint8)
    assert np.array_equal(decoder.decode(encoded(grey, ".png")), np.dstack([grey] * 3))
    clear = np.dstack([shown, np.zeros((40, 60), np.uint8)])
    assert np.array_equal(decoder.decode(encoded(clear, ".png")), shown)
    deep = cv2.imencode(".png", shown.astype(np.uint16) * 257)[1].tobytes()
    assert np.array_equal(decoder.decode(deep), shown)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_upright_by_exif(decoder: ImageDecoder, orientation: int) -> None:
    file = with_orientation(encoded(picture(60, 40)), orientation)
    assert np.array_equal(decoder.decode(file), cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR))
    same = with_orientation(encoded(picture(60, 40), ".png"), orientation)
    assert decoder.decode(same).shape == decoder.decode(file).shape


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("extended", [False, True])
def test_webp_is_upright_by_exif(decoder: ImageDecoder, orientation: int, extended: bool) -> None:
    """extended: the file has a VP8X chunk that announces Exif, as cameras write it."""
    file = encoded(picture(60, 40), ".webp")
    plain = decoder.decode(file)
    turned = with_orientation(file, orientation)
    if extended:
        size = (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
        turned = turned[:12] + b"VP8X" + (10).to_bytes(4, "little") + b"\x08\0\0\0" + size + turned[12:]
        turned = turned[:4] + (len(turned) - 8).to_bytes(4, "little") + turned[8:]
    assert np.array_equal(decoder.decode(turned), upright(plain, orientation))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_tiff_is_upright_by_its_orientation(decoder: ImageDecoder, orientation: int, kind: DTypeLike) -> None:
    file = cv2.imencode(".tiff", picture(60, 40).astype(kind) * (257 if kind is np.uint16 else 1))[1].tobytes()
    turned = decoder.decode(with_orientation(file, orientation), FILE_LIMITS)
    assert np.array_equal(turned, upright(picture(60, 40), orientation))


def upright(stored: Image, orientation: int) -> Image:
    """The picture that Exif's orientation makes of the pixels as they are stored."""
    flat = stored.transpose(1, 0, 2)
    return [
        stored,
        stored[:, ::-1],
        stored[::-1, ::-1],
        stored[::-1],
        flat,
        flat[:, ::-1],
        flat[::-1, ::-1],
        flat[::-1],
    ][orientation - 1]


def test_large_images_are_scaled_down_unless_they_are_the_board_s_own(decoder: ImageDecoder) -> None:
    assert decoder.decode(encoded(picture(4000, 1000))).shape == (480, 1920, 3)
    assert decoder.decode(with_orientation(encoded(picture(3000, 500)), 6)).shape == (1920, 320, 3)
    assert decoder.decode(encoded(picture(4000, 1000)), FILE_LIMITS).shape == (1000, 4000, 3)
    shown = picture(4400, 1100)
    small = np.asarray(cv2.resize(shown, (1920, 480), interpolation=cv2.INTER_AREA), int)
    assert np.abs(decoder.decode(encoded(shown)).astype(int) - small).mean() < 2


def test_a_process_serves_many_images_and_ends_when_there_are_none() -> None:
    file = encoded(picture(60, 40))
    with ImageDecoder(idle_s=0.5) as decoder:
        decoder.decode(file)
        first = processes()[-1]
        for _ in range(5):
            decoder.decode(file)
        assert first in processes()
        wait_until(lambda: first not in processes(), "the process ends")
        assert decoder.decode(file).shape == (40, 60, 3)
        assert first not in processes()


def test_one_that_died_is_replaced(decoder: ImageDecoder) -> None:
    file = encoded(picture(60, 40))
    decoder.decode(file)
    for pid in processes():
        os.kill(pid, signal.SIGKILL)
    assert decoder.decode(file).shape == (40, 60, 3)


def test_too_many_pixels_are_refused_before_any_is_decoded(decoder: ImageDecoder) -> None:
    with pytest.raises(EmotionEdgeError, match="40000 x 30000 pixels, over 50 million"):
        decoder.decode(black_png(1, 1).replace(b"\0\0\0\1" * 2, (40000).to_bytes(4) + (30000).to_bytes(4)), FILE_LIMITS)


def test_an_image_that_needs_too_much_memory_is_refused_and_the_next_one_is_not(decoder: ImageDecoder) -> None:
    with pytest.raises(EmotionEdgeError, match="over 90 MB of memory"):
        decoder.decode(black_png(7000, 7000))
    assert decoder.decode(black_png(4800, 4800)).shape == (1920, 1920, 3)


def test_an_image_that_takes_too_long_is_refused_and_the_next_one_is_not(decoder: ImageDecoder) -> None:
    with pytest.raises(EmotionEdgeError, match="over 1 s to decode"):
        decoder.decode(slow_jpeg(), replace(UPLOAD_LIMITS, seconds=1, megabytes=1000))
    assert decoder.decode(encoded(picture(60, 40))).shape == (40, 60, 3)


def test_close_gives_up_what_is_being_decoded() -> None:
    decoder = ImageDecoder()
    said: list[str] = []

    def decode() -> None:
        with pytest.raises(EmotionEdgeError) as raised:
            decoder.decode(slow_jpeg(), replace(UPLOAD_LIMITS, seconds=100, megabytes=1000))
        said.append(str(raised.value))

    thread = threading.Thread(target=decode)
    slow_jpeg()
    before = {*processes()}
    thread.start()
    wait_until(lambda: bool({*processes()} - before), "the process is there")
    decoder.close()
    thread.join(timeout=60)
    assert len(said) == 1
    assert "ending" in said[0]
    with pytest.raises(EmotionEdgeError, match="ending"):
        decoder.decode(encoded(picture(60, 40)))


def test_without_a_process_it_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with ImageDecoder() as decoder, pytest.raises(EmotionEdgeError, match="cannot be decoded now"):
        decoder.decode(encoded(picture(60, 40)))
    assert "does not start" in caplog.text


@pytest.mark.parametrize("kept", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_of_half_a_file_comes_an_image_or_a_line(decoder: ImageDecoder, suffix: str, kept: float) -> None:
    file = encoded(picture(), suffix)
    said, shape = "", [480, 640, 3]
    try:
        shape[:] = decoder.decode(file[: round(kept * len(file))]).shape
    except EmotionEdgeError as error:
        said = str(error)
    assert shape == [480, 640, 3]
    assert not said or "damaged or not whole" in said
