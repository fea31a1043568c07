"""Decodes image files from outside in a separate process, which can be killed.

The process has a limit on its address space and its processor time, starts with the first image and ends after some
time without one. If it passes a limit or crashes, that image alone is lost: the next one gets a new process.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, cast

import numpy as np

from edge.cameras import decode_worker
from edge.cameras.decode_worker import ANSWER, DECODED, REQUEST, TOO_LARGE
from edge.cameras.image_header import ALL_FORMATS, WEB_FORMATS, Bytes, Format, ImageHeader, read_header
from edge.errors import EmotionEdgeError
from edge.reading import Image

if TYPE_CHECKING:
    from io import BufferedReader

_log = logging.getLogger(__name__)

_START_S: Final = 60.0
"""Seconds that the process may take to start: 10 on a busy Pi Zero."""

_WALL_FACTOR: Final = 4
"""Seconds of elapsed time allowed for each second of processor time."""


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Which images are accepted, and what decoding one may cost.

    Attributes:
        formats: file formats that are accepted.
        pixels: largest width times height, as stored.
        longest: pixels of the longer side, to which larger images are scaled down; 0: no scaling.
        megabytes: address space for decoding, besides the file and what the process uses at rest.
        seconds: processor time for decoding.
    """

    formats: frozenset[Format]
    pixels: int
    longest: int
    megabytes: int
    seconds: int


UPLOAD_LIMITS: Final = ImageLimits(WEB_FORMATS, 50_000_000, 1920, 90, 5)
"""Limits for images from the network. They allow a JPEG of 50 megapixels, as phones make it, and about 23 in other
formats and in progressive JPEG.
"""

FILE_LIMITS: Final = ImageLimits(ALL_FORMATS, 50_000_000, 0, 450, 15)
"""Limits for image files on the board: no scaling, and up to 50 megapixels in each format."""


class NoDecoderError(EmotionEdgeError):
    """No decoding process can be started now; the image itself may be fine."""


class ImageDecoder:
    """Decodes one image at a time. Thread-safe."""

    def __init__(self, idle_s: float = 30.0) -> None:
        """Prepare, without a process yet. idle_s: seconds after the last image until the process is ended."""
        self._idle_s = idle_s
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._worker: _Worker | None = None

    def decode(self, data: Bytes, limits: ImageLimits = UPLOAD_LIMITS) -> Image:
        """Decode an image file to BGR uint8 [H, W, 3], turned upright by its Exif orientation.

        Args:
            data: the whole file.
            limits: what is accepted and what it may cost.

        Raises:
            EmotionEdgeError: it is no image, cannot be decoded, or passes a limit.
            NoDecoderError: after `close`, or where the system has no memory for the process.
        """
        header = read_header(data, limits.formats)
        if header.width * header.height > limits.pixels:
            raise EmotionEdgeError(
                f"the image has {header.width} x {header.height} pixels, over {limits.pixels // 1_000_000} million: "
                "make it smaller"
            )
        with self._turn:
            # The idle process may end just now: the second attempt starts a new one.
            for _ in range(2):
                if self._closed.is_set():
                    break
                worker = self._worker
                if worker is None or not worker.claim(_START_S):
                    worker = self._worker = _Worker()
                    if self._closed.is_set():
                        # `close` was called meanwhile and did not end this new process.
                        worker.end()
                try:
                    return worker.decode(data, header, limits)
                except _GoneError:
                    worker.end()
                finally:
                    worker.release(self._idle_s)
                    if self._closed.is_set():
                        worker.end()
        if self._closed.is_set():
            raise NoDecoderError("the image was not decoded: this program is ending")
        _log.warning("images cannot be decoded: %s does not start, or is killed", decode_worker.__file__)
        raise NoDecoderError("the image cannot be decoded now: the decoder does not start (the log has the reason)")

    def close(self) -> None:
        """End the process; an image that is being decoded is lost."""
        self._closed.set()
        if (worker := self._worker) is not None:
            worker.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _GoneError(Exception):
    """The decoding process was killed from outside, or does not start."""


class _Worker:
    """One decoding process, and a thread that kills it when its time is over."""

    def __init__(self) -> None:
        """Start the process and the thread. Raises NoDecoderError if the system has no memory for the process."""
        hidden = ("EMOTION_EDGE_", "NOTIFY_", "WATCHDOG_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
        environment |= {
            "OPENBLAS_NUM_THREADS": "1",
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(FILE_LIMITS.pixels),
            # With this threshold glibc returns the memory of an image to the system at once.
            "MALLOC_MMAP_THRESHOLD_": "1000000",
        }
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(Path(decode_worker.__file__))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd="/",
                env=environment,
                # Ctrl-C in a terminal then reaches only the parent process.
                process_group=0,
            )
        except OSError as error:
            raise NoDecoderError(f"the image cannot be decoded now: {error.strerror}") from error
        self._ready = False
        self._ended = False
        self._lock = threading.Lock()
        self._again = threading.Event()
        self._ends_at = time.monotonic() + _START_S
        threading.Thread(target=self._watch, name="image-decoder", daemon=True).start()

    def claim(self, seconds: float) -> bool:
        """Keep the process alive for `seconds` from now. Returns False if it has already ended."""
        with self._lock:
            if self._ended or self._process.poll() is not None:
                return False
            self._ends_at = time.monotonic() + seconds
            return True

    def release(self, idle_s: float) -> None:
        """End the process after `idle_s` seconds unless `claim` is called before."""
        with self._lock:
            self._ends_at = time.monotonic() + idle_s
        self._again.set()

    def end(self) -> None:
        """End the process now. Thread-safe."""
        with self._lock:
            self._ended = True
            self._process.kill()
        self._again.set()

    def decode(self, data: Bytes, header: ImageHeader, limits: ImageLimits) -> Image:
        """Decode one image to BGR uint8 [H, W, 3]. Raises _GoneError, or EmotionEdgeError as `ImageDecoder.decode`."""
        if not self._ready:
            self._ready = self._read(ANSWER.size) is not None
            if not self._ready:
                raise _GoneError
        began = time.monotonic()
        if not self.claim(limits.seconds * _WALL_FACTOR):
            raise _GoneError
        request = REQUEST.pack(
            len(data),
            header.width,
            header.height,
            limits.longest,
            limits.megabytes,
            limits.seconds,
            header.orientation,
        )
        image, status = None, 0
        # The process may end before it has read the whole request.
        with suppress(OSError, ValueError):
            assert self._process.stdin
            self._process.stdin.write(request)
            self._process.stdin.write(data)
            self._process.stdin.flush()
        if answer := self._read(ANSWER.size):
            status, height, width = ANSWER.unpack(answer)
            most = min(limits.pixels, limits.longest**2 or limits.pixels)
            if status == DECODED and 0 < height * width <= most and (pixels := self._read(height * width * 3)):
                image = np.frombuffer(pixels, np.uint8).reshape(height, width, 3)
        if image is not None:
            return image
        late = time.monotonic() - began >= limits.seconds * _WALL_FACTOR
        if answer and status == DECODED:
            # The process claimed success, but the size is wrong or pixels are missing.
            self.end()
        ended_by = -self._process.wait() if not answer else 0
        if late or ended_by == signal.SIGXCPU:
            raise EmotionEdgeError(f"the image takes over {limits.seconds} s to decode: save it anew or smaller")
        if ended_by == signal.SIGKILL:
            # The kernel (out of memory) or a user killed the process, perhaps before it began: the image may be fine.
            raise _GoneError
        if status == TOO_LARGE:
            raise EmotionEdgeError(
                f"the image takes over {limits.megabytes} MB of memory to decode: make it smaller, or save it as JPEG "
                "that is not progressive"
            )
        raise EmotionEdgeError("the image cannot be decoded: its file is damaged or not whole")

    def _read(self, length: int) -> bytearray | None:
        """Read `length` bytes of the process's answer; return None if it ends before."""
        data = bytearray(length)
        with suppress(OSError, ValueError):
            if cast("BufferedReader", self._process.stdout).readinto(data) == length:
                return data
        return None

    def _watch(self) -> None:
        while True:
            self._again.clear()
            with self._lock:
                left = self._ends_at - time.monotonic()
                if left <= 0 or self._ended:
                    self._ended = True
                    self._process.kill()
                    break
            self._again.wait(left)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                assert pipe
                pipe.close()
