"""Parsing of image headers: valid ones written by OpenCV, and broken ones made by hand."""

import re
import struct

import cv2
import numpy as np
import pytest
from numpy.typing import DTypeLike

from edge.cameras.image_header import ALL_FORMATS, SCANS_MAX, WEB_FORMATS, ImageHeader, image_format, read_header
from edge.errors import EmotionEdgeError
from tests.support.images import chunk, encoded, png, scans, with_orientation
from tests.support.samples import picture

SMALL = picture(60, 40)
JPEG = encoded(SMALL)
PROGRESSIVE = encoded(SMALL, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
PNG = encoded(SMALL, ".png")
LOSSY, LOSSLESS = encoded(SMALL, ".webp", cv2.IMWRITE_WEBP_QUALITY, 60), encoded(SMALL, ".webp")
DAMAGED = "damaged or not whole"


@pytest.mark.parametrize(
    ("file", "format_"),
    [
        (JPEG, "JPEG"),
        (PROGRESSIVE, "JPEG"),
        (PNG, "PNG"),
        (LOSSY, "WebP"),
        (LOSSLESS, "WebP"),
        (encoded(SMALL, ".bmp"), "BMP"),
        (encoded(SMALL, ".tiff"), "TIFF"),
        (encoded(SMALL, ".ppm"), "PNM"),
        (b"P5 # made by hand\n60\n# and so on\n 40 255\n" + bytes(2400), "PNM"),
    ],
)
def test_size_and_format_of_what_is_whole(file: bytes, format_: str) -> None:
    assert read_header(file, ALL_FORMATS) == ImageHeader(image_format(file) or "JPEG", 60, 40)
    assert image_format(file) == format_
    if format_ not in WEB_FORMATS:
        with pytest.raises(EmotionEdgeError, match="JPEG, PNG, WebP can"):
            read_header(file)


@pytest.mark.parametrize("compression", [1, 5, 34676])  # none, LZW, SGI's LogLuv
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int16])
def test_tiff_that_opencv_shows_in_other_colours_or_not_at_all_is_refused(kind: DTypeLike, compression: int) -> None:
    if compression > 5 and kind is not np.float32:
        pytest.skip("LogLuv is of float32")
    for image in (SMALL, SMALL[:, :, 0]):
        done, file = cv2.imencode(".tiff", image.astype(kind), [cv2.IMWRITE_TIFF_COMPRESSION, compression])
        assert done
        with pytest.raises(EmotionEdgeError, match="TIFF is read with 8 or 16 bits"):
            read_header(file.tobytes(), ALL_FORMATS)
    for deep in (np.uint8, np.uint16):
        assert read_header(cv2.imencode(".tiff", SMALL.astype(deep))[1].tobytes(), ALL_FORMATS).width == 60


@pytest.mark.parametrize("file", [JPEG, PNG])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_read_by_content(file: bytes, orientation: int) -> None:
    assert read_header(with_orientation(file, orientation)).orientation == orientation


@pytest.mark.parametrize("orientation", [0, 9, 255])
def test_an_orientation_that_is_none_is_upright(orientation: int) -> None:
    assert read_header(with_orientation(JPEG, orientation)).orientation == 1


@pytest.mark.parametrize("file", [JPEG, PROGRESSIVE, PNG, LOSSY, LOSSLESS])
def test_of_every_part_of_a_file_something_is_said(file: bytes) -> None:
    said = set()
    for length in range(len(file)):
        try:
            said.add(f"width {read_header(file[:length]).width}")  # a JPEG's end may be missing
        except EmotionEdgeError as error:
            said.add(re.sub(r"[A-Za-z]+ file", "file", str(error)))
    assert said <= {
        "width 60",
        "this is no image that can be read: JPEG, PNG, WebP can",
        "the image cannot be decoded: the file is damaged or not whole",
    }


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (b"", "no image that can be read: JPEG, PNG, WebP can"),
        (b"GIF89a" + bytes(100), "no image"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "Most Compatible"),
        (png(8, 8, chunk(b"tEXt", b"x", length=0xFFFFFFF0)), DAMAGED),
        (png(8, 8, chunk(b"tEXt", b"x", length=1 << 20)), DAMAGED),
        (png(0, 8), DAMAGED),
        (png(8, 8, depth=3), DAMAGED),
        (png(8, 8, *[chunk(b"tEXt")] * 20_000), DAMAGED),
        (PNG[: PNG.index(b"IDAT") - 4] + chunk(b"IEND"), DAMAGED),
        (JPEG.replace(b"\xff\xc0", b"\xff\xc9", 1), "arithmetic-coded"),
        (JPEG[:2] + JPEG[JPEG.index(b"\xff\xda") :], DAMAGED),
        (JPEG[:2] + b"\xff\xfe\x00\x01" + JPEG[2:], DAMAGED),
        (JPEG[:2] + b"\xff\xfe\x00\x02" * 20_000 + JPEG[2:], DAMAGED),
        (LOSSY[:4] + struct.pack("<I", 1 << 30) + LOSSY[8:], DAMAGED),
        (LOSSY[:16] + struct.pack("<I", 1 << 30) + LOSSY[20:], DAMAGED),
    ],
)
def test_what_contradicts_itself_is_refused(file: bytes, words: str) -> None:
    with pytest.raises(EmotionEdgeError, match=words):
        read_header(file)


def test_stray_bytes_between_the_segments_of_a_jpeg_hide_no_size() -> None:
    """libjpeg skips such bytes; a reader that does not would find the size of a JPEG inside a comment."""
    at = JPEG.index(b"\xff\xc0")
    small = JPEG[at : at + 19]
    large = small[:5] + struct.pack(">HH", 14_000, 14_300) + small[9:]
    comment = b"\xff\xfe" + struct.pack(">H", len(small) + 2) + small
    for stray in (b"\x00\x01\x02", b"\xff", b"\xff\x00", b"\xff\xd0", b"\xff\x01"):
        file = JPEG[:2] + comment + stray + JPEG[2:at] + large + JPEG[at + 19 :]
        assert read_header(file) == ImageHeader("JPEG", 14_300, 14_000)


def test_a_jpeg_with_two_frame_headers_is_refused() -> None:
    at = JPEG.index(b"\xff\xc0")
    with pytest.raises(EmotionEdgeError, match=DAMAGED):
        read_header(JPEG[: at + 19] + JPEG[at:])


def test_scans_are_counted() -> None:
    assert read_header(scans(PROGRESSIVE, 80)).width == 60
    with pytest.raises(EmotionEdgeError, match=f"more than {SCANS_MAX} scans"):
        read_header(scans(PROGRESSIVE, 3000))


def test_an_animation_is_refused() -> None:
    frame = b"ANMF" + struct.pack("<I", 16) + bytes(16)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + b"\x02\0\0\0" + bytes([59, 0, 0, 39, 0, 0]) + frame
    with pytest.raises(EmotionEdgeError, match="animated"):
        read_header(b"RIFF" + struct.pack("<I", len(body)) + body)
