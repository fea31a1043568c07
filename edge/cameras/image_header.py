"""Reads the header of an image file, before any memory is allocated for its pixels.

The layout of each format is checked where its decoder would trust it: lengths against the size of the file, and the
markers of a JPEG in the order in which libjpeg reads them.
"""

import re
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from edge.errors import EmotionEdgeError

Bytes = bytes | bytearray
Format = Literal["JPEG", "PNG", "WebP", "BMP", "TIFF", "PNM"]

WEB_FORMATS: Final[frozenset[Format]] = frozenset({"JPEG", "PNG", "WebP"})
"""Formats that are accepted from the network."""

ALL_FORMATS: Final[frozenset[Format]] = WEB_FORMATS | {"BMP", "TIFF", "PNM"}

SCANS_MAX: Final = 100
"""Maximum number of scans of a JPEG. A progressive one has about ten; each scan costs a pass over all pixels."""

_SEGMENTS_MAX: Final = 20_000
"""Maximum number of segments of a JPEG or chunks of a PNG: a file of 100 MB in pieces of 8 kB has 12,500."""

_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""Pattern of the next JPEG marker that begins a segment: not FF 00 (data), FF FF (fill), or 01 and D0 to D7."""

_UPRIGHT: Final = 1
_BITS_PER_SAMPLE: Final = 258
_PHOTOMETRIC: Final = 262
_SAMPLE_FORMAT: Final = 339
_LOG_LUV: Final = (32844, 32845)
"""Tags of TIFF, and the colour spaces of SGI's logarithmic encoding, which OpenCV's decoder shows too bright."""
_PNG_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_HEIF_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
)


class _DamagedError(Exception):
    """The file contradicts itself or ends early."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format and size, as an image file's header declares them.

    Attributes:
        width: pixels as stored, before `orientation` is applied.
        height: likewise.
        orientation: the Exif tag, 1 to 8; 1 is upright.
    """

    format: Format
    width: int
    height: int
    orientation: int = _UPRIGHT


def read_header(data: Bytes, formats: frozenset[Format] = WEB_FORMATS) -> ImageHeader:
    """Read the header of an image file; the format is recognised by its bytes, not by the file's name.

    Args:
        data: the whole file.
        formats: formats that are accepted.

    Raises:
        EmotionEdgeError: the file is of another format, contradicts itself, or is cut off.
    """
    format_ = image_format(data)
    if format_ is None or format_ not in formats:
        raise EmotionEdgeError(_refusal(data, formats))
    try:
        header = _READERS[format_](data)
    except (_DamagedError, struct.error, IndexError, ValueError):
        header = None
    if header is None or header.width < 1 or header.height < 1:
        raise EmotionEdgeError(f"the image cannot be decoded: the {format_} file is damaged or not whole")
    return header


def image_format(data: Bytes) -> Format | None:
    """Recognise a file's format by its first bytes; return None if it is none of ALL_FORMATS."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM":
        return "BMP"
    if data[:4] in (b"II*\0", b"MM\0*"):
        return "TIFF"
    if data[:1] == b"P" and data[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6") and data[2:3].isspace():
        return "PNM"
    return None


def is_heif(data: Bytes) -> bool:
    """Whether the first bytes are those of a HEIC or AVIF image, which this program cannot decode."""
    return data[4:8] == b"ftyp" and bytes(data[8:12]) in _HEIF_BRANDS


def _refusal(data: Bytes, formats: frozenset[Format]) -> str:
    known = ", ".join(name for name in ("JPEG", "PNG", "WebP", "BMP", "TIFF", "PNM") if name in formats)
    if is_heif(data):
        return (
            f"HEIC and AVIF images are not read ({known} are): save it as JPEG, or set the phone's camera to "
            '"Most Compatible"'
        )
    return f"this is no image that can be read: {known} can"


# -- JPEG: ITU-T T.81, B.1.1.2 and B.2


def _jpeg(data: Bytes) -> ImageHeader:
    """Read the markers of a JPEG to the end of the image as libjpeg does: bytes between segments are skipped."""
    size: tuple[int, int] | None = None
    orientation: int | None = None
    scans, at = 0, 2
    for _ in range(_SEGMENTS_MAX):
        found = _MARKER.search(data, at)
        if found is None or found[1] == b"\xd9":
            # libjpeg takes the end of the file for the end of the image.
            break
        marker, at = found[1][0], found.end()
        length = int.from_bytes(data[at : at + 2], "big")
        if marker in (0xD8, 0xDE, 0xDF) or marker < 0xC0 or 0xF0 <= marker <= 0xFD:
            raise _DamagedError
        if length < 2 or at + length > len(data):
            raise _DamagedError
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC):
            if marker not in (0xC0, 0xC1, 0xC2):
                raise EmotionEdgeError("lossless, hierarchical and arithmetic-coded JPEG is not read: save it anew")
            if size:
                raise _DamagedError
            size = struct.unpack(">HH", data[at + 3 : at + 7])
        elif marker == 0xDA:
            scans += 1
            if not size:
                raise _DamagedError
            if scans > SCANS_MAX:
                raise EmotionEdgeError(f"the JPEG has more than {SCANS_MAX} scans: save it anew")
        elif marker == 0xE1 and orientation is None and data[at + 2 : at + 8] == b"Exif\0\0":
            orientation = _exif_orientation(bytes(data[at + 8 : at + length]))
        at += length
    else:
        raise _DamagedError
    if not size or not scans:
        raise _DamagedError
    return ImageHeader("JPEG", size[1], size[0], orientation or _UPRIGHT)


# -- PNG: ISO/IEC 15948


def _png(data: Bytes) -> ImageHeader:
    length, kind = struct.unpack(">I4s", data[8:16])
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", data[16:29])
    if kind != b"IHDR" or length != 13 or depth not in (1, 2, 4, 8, 16) or colour not in _PNG_CHANNELS:
        raise _DamagedError
    if compression or filtering or interlace > 1:
        raise _DamagedError
    orientation, at, pixels = _UPRIGHT, 8, False
    for _ in range(_SEGMENTS_MAX):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        if at + 12 + length > len(data):
            raise _DamagedError
        if kind == b"IEND":
            break
        if kind == b"eXIf":
            orientation = _exif_orientation(bytes(data[at + 8 : at + 8 + length]))
        pixels = pixels or kind == b"IDAT"
        at += 12 + length
    else:
        raise _DamagedError
    if not pixels:
        raise _DamagedError
    return ImageHeader("PNG", width, height, orientation)


# -- WebP: RFC 9649


def _webp(data: Bytes) -> ImageHeader:
    end = 8 + struct.unpack("<I", data[4:8])[0]
    if end > len(data):
        raise _DamagedError
    canvas: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None
    orientation, at = _UPRIGHT, 12
    while at + 8 <= end:
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        begin = at + 8
        if begin + length > end:
            raise _DamagedError
        match kind:
            case b"VP8X":
                wide, high = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (begin + 4, begin + 7))
                canvas = wide, high
            case b"VP8L":
                (bits,) = struct.unpack("<I", data[begin + 1 : begin + 5])
                frame = frame or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            case b"VP8 ":
                wide, high = struct.unpack("<HH", data[begin + 6 : begin + 10])
                frame = frame or (wide & 0x3FFF, high & 0x3FFF)
            case b"ANMF":
                raise EmotionEdgeError("animated WebP is not read: save one of its pictures")
            case b"EXIF":
                exif = bytes(data[begin : begin + length])
                orientation = _exif_orientation(exif.removeprefix(b"Exif\0\0"))
        at = begin + length + length % 2
    if frame is None or (canvas and canvas != frame):
        raise _DamagedError
    return ImageHeader("WebP", *frame, orientation)


# -- BMP, TIFF, PNM: accepted only from files on the board


def _bmp(data: Bytes) -> ImageHeader:
    (length,) = struct.unpack("<I", data[14:18])
    if length == 12:
        width, height, planes, depth = struct.unpack("<HHHH", data[18:26])
    else:
        width, height, planes, depth = struct.unpack("<iiHH", data[18:30])
    if length < 12 or planes != 1 or depth not in (1, 4, 8, 16, 24, 32):
        raise _DamagedError
    return ImageHeader("BMP", width, abs(height))


def _tiff(data: Bytes) -> ImageHeader:
    tags = _first_directory(bytes(data))
    whole_numbers = tags.get(_SAMPLE_FORMAT, 1) in (1, 4)  # unsigned, or not stated
    if not whole_numbers or tags.get(_BITS_PER_SAMPLE, 1) > 16 or tags.get(_PHOTOMETRIC, 0) in _LOG_LUV:
        raise EmotionEdgeError("TIFF is read with 8 or 16 bits without a sign, not as floating point: save it so")
    # OpenCV rotates a TIFF by its orientation even if told not to: report none.
    return ImageHeader("TIFF", tags.get(0x100, 0), tags.get(0x101, 0))


def _pnm(data: Bytes) -> ImageHeader:
    data, at = data[:4096], 2
    fields: list[int] = []
    while len(fields) < 2:
        while data[at : at + 1].isspace():
            at += 1
        if data[at : at + 1] == b"#":
            at = data.index(b"\n", at)
            continue
        begin = at
        while data[at : at + 1].isdigit() and at - begin < 10:
            at += 1
        fields.append(int(data[begin:at]))
    return ImageHeader("PNM", *fields)


# -- Exif 2.3, 4.6: the Exif block is a TIFF file


def _exif_orientation(tiff: bytes) -> int:
    """Return the orientation in an Exif block, 1 to 8; 1 where there is none or the block is damaged."""
    try:
        return _orientation_in(_first_directory(tiff))
    except (_DamagedError, struct.error):
        return _UPRIGHT


def _orientation_in(tags: dict[int, int]) -> int:
    value = tags.get(0x112, _UPRIGHT)
    return value if 1 <= value <= 8 else _UPRIGHT


def _first_directory(tiff: bytes) -> dict[int, int]:
    """Return number and value of the SHORT and LONG tags of a TIFF's first directory; of several values the first."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        raise _DamagedError
    (at,) = struct.unpack(f"{order}I", tiff[4:8])
    (count,) = struct.unpack(f"{order}H", tiff[at : at + 2])
    tags: dict[int, int] = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values = struct.unpack(f"{order}HHI", tiff[entry : entry + 8])
        if values and kind in (3, 4):
            layout, length = ("H", 2) if kind == 3 else ("I", 4)
            begin = entry + 8
            if values * length > 4:
                (begin,) = struct.unpack(f"{order}I", tiff[begin : begin + 4])
            with suppress(struct.error):  # a value may lie outside the given bytes
                (tags[tag],) = struct.unpack(f"{order}{layout}", tiff[begin : begin + length])
    return tags


_READERS: Final = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "BMP": _bmp, "TIFF": _tiff, "PNM": _pnm}
