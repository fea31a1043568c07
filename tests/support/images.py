"""Makes image files for tests: small valid ones, and ones that are expensive to decode."""

import struct
import zlib
from typing import Final

import cv2

from edge.reading import Image

EXIF_TIFF: Final = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00%c\x00\x00" + bytes(4)
"""Format string of an Exif block with the single entry "orientation"."""


def encoded(image: Image, suffix: str = ".jpg", *options: int) -> bytes:
    """Encode an image as a file with this suffix."""
    return cv2.imencode(suffix, image, options)[1].tobytes()


def chunk(kind: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Make a chunk of a PNG. length: the length that it claims; None: the true one."""
    head = struct.pack(">I", len(data) if length is None else length) + kind
    return head + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes, depth: int = 8, colour: int = 2, rows: bytes = b"") -> bytes:
    """Make a PNG. width, height: as in its header. chunks: put before the pixels. rows: uncompressed pixel data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"".join(chunks) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND")
    return b"\x89PNG\r\n\x1a\n" + head + body


def black_png(width: int, height: int) -> bytes:
    """Make a valid black PNG, which has a few kilobytes however many pixels it has."""
    squeeze = zlib.compressobj(9)
    rows = b"".join(squeeze.compress(bytes(1 + 3 * width)) for _ in range(height)) + squeeze.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND")


def with_orientation(file: bytes, orientation: int) -> bytes:
    """A JPEG, PNG, WebP or little-endian TIFF file with Exif's orientation in it."""
    exif = EXIF_TIFF % orientation
    if file[:2] == b"\xff\xd8":
        block = b"Exif\x00\x00" + exif
        return file[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + file[2:]
    if file[:4] == b"\x89PNG":
        return file[:33] + chunk(b"eXIf", exif) + file[33:]
    if file[:4] == b"II*\0":  # its directory once more, at the end
        (at,) = struct.unpack("<I", file[4:8])
        (count,) = struct.unpack("<H", file[at : at + 2])
        entries = [file[entry : entry + 12] for entry in range(at + 2, at + 2 + 12 * count, 12)]
        entries.append(struct.pack("<HHII", 0x112, 3, 1, orientation))
        entries.sort(key=lambda entry: entry[1::-1])
        directory = struct.pack("<H", count + 1) + b"".join(entries) + bytes(4)
        return file[:4] + struct.pack("<I", len(file)) + file[8:] + directory
    exif_chunk = b"EXIF" + struct.pack("<I", len(exif)) + exif + bytes(len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(file) - 8 + len(exif_chunk)) + file[8:] + exif_chunk


def scans(file: bytes, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG `count` times."""
    last = file.rindex(b"\xff\xda")
    return file[:last] + file[last:-2] * count + file[-2:]
