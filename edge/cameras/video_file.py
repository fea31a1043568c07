"""Video files, at their own pace or as fast as they are read, once or over and over."""

import time
from pathlib import Path

import cv2

from edge.cameras.camera import Pace, Picture
from edge.cameras.opencv import VideoReader
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError


class VideoFile:
    """A video file, at its own pace or as fast as it is read, once or over and over."""

    def __init__(self, path: Path, settings: CameraSettings) -> None:
        """Raises EmotionEdgeError when it is missing or no picture of it can be decoded."""
        self.name = f"video {path}"
        self.lossless = not settings.realtime
        self._loop = settings.loop
        if not path.is_file():
            raise EmotionEdgeError(f"{self.name}: not there")
        self._video = VideoReader(str(path), cv2.CAP_FFMPEG)
        self._next = self._video.read()
        if self._next is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: cannot be decoded (not a video, or of a kind OpenCV does not read)")
        fps = self._video.capture.get(cv2.CAP_PROP_FPS)
        self._pace = Pace(fps if 0 < fps <= 240 else settings.fps) if settings.realtime else Pace(0)

    def read(self) -> Picture | None:
        image, self._next = self._next, None
        if image is None:
            image = self._video.read()
        if image is None and self._loop:
            self._video.restart()
            image = self._video.read()
            if image is None and not self._video.closed.is_set():
                raise EmotionEdgeError(f"{self.name}: cannot be read again from its beginning")
        if image is None or self._video.closed.wait(self._pace.delay()):
            return None
        return Picture(image, time.monotonic())

    def skip(self) -> bool:
        return self.read() is not None

    def close(self) -> None:
        self._video.close()
