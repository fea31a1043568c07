"""Image files that are damaged, or valid and as expensive to decode as possible."""

import random
import struct
import zlib
from functools import lru_cache

import cv2
import numpy as np

from edge.outputs.web.upload import BYTES_MAX
from tests.bench.fuzz.mutate import NUMBERS, damaged
from tests.support.images import black_png, chunk, encoded, png, scans, with_orientation
from tests.support.samples import picture


@lru_cache(maxsize=1)
def _whole() -> list[bytes]:
    shown, small = picture(320, 240), picture(61, 47)
    grey = np.asarray(cv2.cvtColor(shown, cv2.COLOR_BGR2GRAY), np.uint8)
    clear = np.dstack([shown, grey])
    files = [encoded(small, suffix) for suffix in (".jpg", ".png", ".webp")]
    files += [encoded(shown, ".jpg"), encoded(grey, ".jpg"), encoded(shown, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)]
    files += [encoded(shown, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 4), encoded(clear, ".png"), encoded(grey, ".png")]
    files += [
        encoded(np.asarray(grey // 128 * 255, np.uint8), ".png", cv2.IMWRITE_PNG_BILEVEL, 1),
        encoded(clear, ".webp"),
    ]
    files += [encoded(shown, ".webp", cv2.IMWRITE_WEBP_QUALITY, 50)]
    return files + [with_orientation(file, 6) for file in files]


def image(chance: random.Random) -> bytes:
    """Make a damaged image file, or one that is expensive to decode."""
    if chance.random() < 0.04:
        return _costly(chance)[:BYTES_MAX]  # larger uploads are refused before decoding
    file = chance.choice(_whole())
    if chance.random() < 0.15:
        file = _resized(file, chance)
    return damaged(file, chance, _whole()) if chance.random() < 0.95 else file


def _resized(file: bytes, chance: random.Random) -> bytes:
    """Change width and height in a file's header, with a matching checksum."""
    width, height = (chance.choice((*NUMBERS, 5000, 7000, 20_000)) for _ in range(2))
    if file[:4] == b"\x89PNG":
        head = struct.pack(">II", width & 0xFFFFFFFF, height & 0xFFFFFFFF) + file[24:29]
        return file[:8] + chunk(b"IHDR", head) + file[33:]
    if file[:2] == b"\xff\xd8":
        at = max(file.find(b"\xff\xc0"), file.find(b"\xff\xc2"))
        return file[: at + 5] + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF) + file[at + 9 :]
    at = file.find(b"VP8X")
    return file[: at + 12] + struct.pack("<I", width & 0xFFFFFF)[:3] + file[at + 15 :] if at >= 0 else file


def _costly(chance: random.Random) -> bytes:
    side = chance.choice((500, 2000, 4000, 6000, 7000))
    match chance.randrange(6):
        case 0:
            return _black(side)
        case 1:
            return scans(_progressive(min(side, 4000)), chance.choice((50, 95, 200, 3000)))
        case 2:
            bomb = zlib.compress(bytes(30_000_000), 9)
            kind, head = chance.choice(((b"zTXt", b"k\0\0"), (b"iCCP", b"k\0\0"), (b"iTXt", b"k\0\1\0\0\0")))
            return png(8, 8, *[chunk(kind, head + bomb)] * chance.choice((1, 20)), rows=bytes(8 * 25))
        case 3:
            return png(8, 8, chunk(b"tEXt", b"k\0v", length=chance.choice(NUMBERS)))
        case 4:
            return _webp(side)
        case _:
            return png(side, side, depth=16, colour=6, rows=bytes(100))


@lru_cache(maxsize=8)
def _black(side: int) -> bytes:
    return black_png(side, side)


@lru_cache(maxsize=8)
def _progressive(side: int) -> bytes:
    return encoded(picture(side, side), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@lru_cache(maxsize=8)
def _webp(side: int) -> bytes:
    return encoded(np.zeros((side, side, 3), np.uint8), ".webp")
