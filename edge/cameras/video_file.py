"""Video files as a camera, once or repeated, at their own speed or as fast as they are read."""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import cv2

from edge.cameras.camera import Pace, Picture, printable
from edge.cameras.opencv import BadFrames, VideoReader
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError

_GAP_MAX: Final = 3600.0
"""Maximum seconds between two pictures; a time stamp further ahead is wrong."""


class VideoFile:
    """A video file, played once or repeated, at its own speed or as fast as it is read.

    Its own speed is that of its time stamps, so a variable frame rate is kept.
    """

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        """Open the file. Raises EmotionEdgeError if it is missing or no picture of it can be decoded."""
        self.name = f"video {printable(path)}"
        self.lossless = not settings.realtime
        self._loop = settings.loop
        if not path.is_file():
            raise EmotionEdgeError(f"{self.name}: not there, or not a regular file")
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise EmotionEdgeError(f"{self.name}: {error.strerror}") from error
        self._bad_frames = BadFrames(self.name)
        self._video = VideoReader(_address(path, self._handle), cv2.CAP_FFMPEG, self._bad_frames)
        fps = self._video.capture.get(cv2.CAP_PROP_FPS)
        self._period = 1 / (fps if 0 < fps <= 240 else settings.fps)
        self._position = -self._period
        self._next = self._read()
        if self._next is None:
            empty = not os.fstat(self._handle).st_size
            self.close()
            reason = "the file is empty" if empty else "not a video, or of a kind OpenCV does not read"
            raise EmotionEdgeError(f"{self.name}: cannot be decoded ({reason})")
        self._pace = Pace() if settings.realtime else None
        self.seconds = max(0.0, self._video.capture.get(cv2.CAP_PROP_FRAME_COUNT)) * self._period
        """Length that the file declares, in seconds; 0 if it declares none."""

    def read(self) -> Picture | None:
        picture, self._next = self._next, None
        if picture is None:
            picture = self._read()
        if picture is None and self._loop:
            self._video.restart()
            shown, self._position = self._position, -self._period
            picture = self._read()
            if picture is None and not self._video.closed.is_set():
                raise EmotionEdgeError(f"{self.name}: cannot be read again from its beginning")
            if self._pace:
                self._pace.restart(shown + self._period)
        if picture is None or (self._pace and self._video.closed.wait(self._pace.delay(self._position))):
            return None
        return Picture(picture.image, time.monotonic(), position=picture.position, bad=self._bad_frames.taken())

    def skip(self) -> bool:
        return self.read() is not None

    def close(self) -> None:
        self._video.close()
        with suppress(OSError):
            handle, self._handle = self._handle, -1
            os.close(handle)

    def _read(self) -> Picture | None:
        """Return the next picture, with a position that always increases."""
        image = self._video.read()
        if image is None:
            return None
        stamp = self._video.position()
        self._position = stamp if 0 < stamp - self._position <= _GAP_MAX else self._position + self._period
        return Picture(image, 0.0, position=self._position)


def _address(path: Path, handle: int) -> str:
    """Return FFmpeg's address of a file: `file:` protects a `:` in the name; a name not in UTF-8 goes by its handle."""
    try:
        return f"file:{str(path.absolute()).encode('utf-8', 'strict').decode()}"
    except UnicodeEncodeError:
        return f"file:/proc/self/fd/{handle}"
