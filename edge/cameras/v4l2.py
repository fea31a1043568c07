"""V4L2 cameras, such as USB cameras: lists and reads them, and finds out why one cannot be opened."""

import fcntl
import os
import struct
from pathlib import Path
from typing import Final

import cv2

from edge.cameras.camera import Picture, plausible_time
from edge.cameras.opencv import BadFrames, VideoReader
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError

# From linux/videodev2.h: VIDIOC_QUERYCAP and struct v4l2_capability (driver, card, bus, version, capabilities,
# device_caps, reserved).
_QUERYCAP: Final = 0x80685600
_CAPABILITY: Final = struct.Struct("=16s32s32sIII12x")
_VIDEO_CAPTURE: Final = 0x00000001 | 0x00001000
_MEMORY_TO_MEMORY: Final = 0x00004000 | 0x00008000
_NEEDS_MEDIA_CONTROLLER: Final = 0x20000000

_DEVICE_BUFFERS: Final = 2
"""Frame buffers: one is filled while the other is read; with a single one the driver drops every second picture."""


def list_devices() -> dict[str, str]:
    """Return path and name of every V4L2 device that is a camera, ordered by device number.

    The codecs and the raw sensor nodes of a Raspberry Pi, and the metadata nodes of USB cameras, are left out.
    """
    paths = sorted(Path("/dev").glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    names = {str(path): _camera_name(path) for path in paths}
    return {path: name for path, name in names.items() if name}


def _camera_name(path: Path) -> str:
    """Return the driver's name of the camera; empty if the device is no camera."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError:
        return "no permission to open it"
    except OSError:
        return ""
    try:
        answer = fcntl.ioctl(handle, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return ""
    finally:
        os.close(handle)
    _, card, _, _, _, capabilities = _CAPABILITY.unpack(answer)
    if not capabilities & _VIDEO_CAPTURE or capabilities & (_MEMORY_TO_MEMORY | _NEEDS_MEDIA_CONTROLLER):
        return ""
    return card.split(b"\0")[0].decode(errors="replace") or "camera"


def device_problem(path: str) -> str:
    """Describe why the device cannot be opened, and what to do; empty if no reason is found."""
    if not Path(path).exists():
        return f"not there (found: {', '.join(list_devices()) or 'no camera'})"
    if not os.access(path, os.R_OK | os.W_OK):
        return "no permission (`sudo usermod -aG video $USER`, then log in again)"
    if not Path(path).is_char_device():
        return "not a device"
    return ""


class DeviceCamera:
    """A V4L2 device, such as a USB camera."""

    lossless = False

    def __init__(self, path: str, settings: CameraSettings) -> None:
        """Open the device. path: /dev/video0, or a link to it. Raises EmotionEdgeError if it delivers no picture."""
        self.name = f"camera {path}"
        self._path = path
        problem = device_problem(path)
        if problem:
            raise EmotionEdgeError(f"{self.name}: {problem}")
        self._bad_frames = BadFrames(self.name)
        self._video = VideoReader(path, cv2.CAP_V4L2, self._bad_frames)
        # USB 2 carries only a few uncompressed frames a second. The format must be set before the size.
        self._video.capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._video.capture.set(cv2.CAP_PROP_FRAME_WIDTH, settings.width)
        self._video.capture.set(cv2.CAP_PROP_FRAME_HEIGHT, settings.height)
        self._video.capture.set(cv2.CAP_PROP_FPS, settings.fps)
        self._video.capture.set(cv2.CAP_PROP_BUFFERSIZE, _DEVICE_BUFFERS)
        if self._video.read() is None:
            self._video.close()
            raise EmotionEdgeError(f"{self.name}: opens but gives no picture (another program may be using it)")

    def read(self) -> Picture | None:
        image = self._video.read()
        if image is None:
            if self._video.closed.is_set():
                return None
            raise EmotionEdgeError(f"{self.name}: {device_problem(self._path) or 'gives no picture any more'}")
        # V4L2 drivers stamp pictures with the clock of time.monotonic().
        taken = plausible_time(self._video.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
        return Picture(image, taken, bad=self._bad_frames.taken())

    def skip(self) -> bool:
        return self._video.skip()

    def close(self) -> None:
        self._video.close()
