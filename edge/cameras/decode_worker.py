"""The process that decodes image files from outside, so that a crash of a decoder ends nothing else.

Run as a script by `image_decoder`. It answers requests on standard input one after another until that is closed, and
imports nothing but OpenCV and NumPy. Before each image it limits its own address space and processor time, beyond which
the kernel ends it or its allocations fail.

A request is REQUEST and the file's bytes; the answer is ANSWER and, where `status` is DECODED, the pixels as
BGR uint8 [height, width, 3]. Before the first request it writes one ANSWER with status READY.
"""

import os
import resource
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

import cv2
import numpy as np
import numpy.typing as npt

REQUEST: Final = struct.Struct("<QIIIIIB")
"""Header of a request: bytes of the file, width and height in pixels as stored, longest side wanted (0: no scaling),
megabytes and seconds of processor time that may be used, Exif orientation.
"""

ANSWER: Final = struct.Struct("<BII")
"""Header of an answer: status, height, width."""

_cv2: Any = cv2

READY: Final = 0
DECODED: Final = 1
DAMAGED: Final = 2
TOO_LARGE: Final = 3

_REDUCED: Final = (
    (8, cv2.IMREAD_REDUCED_COLOR_8),
    (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2),
)
_ROTATIONS: Final = {3: cv2.ROTATE_180, 5: cv2.ROTATE_90_CLOCKWISE, 6: cv2.ROTATE_90_CLOCKWISE,
                     7: cv2.ROTATE_90_COUNTERCLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}  # fmt: skip
_MIRRORED: Final = {2: 1, 4: 0, 5: 1, 7: 1}
"""Exif orientation -> axis of cv2.flip, which is applied after the rotation."""

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    """Answer requests until standard input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError):
        # When memory is short, the kernel kills this process first.
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    with suppress(OSError):
        os.nice(10)
    cv2.setNumThreads(1)
    # The place of this function depends on OpenCV's version.
    (getattr(_cv2, "setLogLevel", None) or _cv2.utils.logging.setLogLevel)(0)
    at_rest = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    _answer(sink, READY)
    while head := source.read(REQUEST.size):
        length, width, height, longest, megabytes, seconds, orientation = REQUEST.unpack(head)
        _limit(at_rest + megabytes * 1_000_000 + length, seconds)
        status, image = _decode(source.read(length), max(width, height), longest, orientation)
        _answer(sink, status, image)
        # Free the memory before the next image is decoded.
        del image


def _limit(space: int, seconds: int) -> None:
    """Limit the process to `space` bytes of address space and `seconds` more of processor time."""
    resource.setrlimit(resource.RLIMIT_AS, (space, resource.RLIM_INFINITY))
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + seconds, resource.RLIM_INFINITY))


def _decode(data: bytes, side: int, longest: int, orientation: int) -> tuple[int, Pixels | None]:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _mode(side, longest) | cv2.IMREAD_IGNORE_ORIENTATION)
        if image is None:
            return DAMAGED, None
        return DECODED, _upright(_narrowed(np.asarray(image, np.uint8), longest), orientation)
    except MemoryError:
        return TOO_LARGE, None
    except cv2.error as error:
        return (TOO_LARGE if error.code == cv2.Error.STS_NO_MEM else DAMAGED), None


def _mode(side: int, longest: int) -> int:
    """Return the cv2.imread flag that decodes at 1/2, 1/4 or 1/8 of the size where that is still `longest` or more.

    Smaller decoding saves memory, which is needed twice: OpenCV copies the decoded image into a NumPy array.
    """
    return next((mode for part, mode in _REDUCED if longest and side >= part * longest), cv2.IMREAD_COLOR)


def _narrowed(image: Pixels, longest: int) -> Pixels:
    height, width = image.shape[:2]
    side = max(height, width)
    if not longest or side <= longest:
        return image
    size = max(1, round(width * longest / side)), max(1, round(height * longest / side))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _upright(image: Pixels, orientation: int) -> Pixels:
    """Rotate and mirror an image as its Exif orientation, 1 to 8, says."""
    if orientation in _ROTATIONS:
        image = np.asarray(cv2.rotate(image, _ROTATIONS[orientation]), np.uint8)
    if orientation in _MIRRORED:
        image = np.asarray(cv2.flip(image, _MIRRORED[orientation]), np.uint8)
    return image


def _answer(sink: BinaryIO, status: int, image: Pixels | None = None) -> None:
    height, width = image.shape[:2] if image is not None else (0, 0)
    sink.write(ANSWER.pack(status, height, width))
    if image is not None:
        sink.write(np.ascontiguousarray(image).data)
    sink.flush()


if __name__ == "__main__":
    main()
