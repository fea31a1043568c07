"""The Raspberry Pi camera, through picamera2 and libcamera."""

import logging
import threading
import time
from typing import Any, Final

import cv2
import numpy as np

from edge.cameras.camera import Picture, plausible_time
from edge.config import CameraSettings
from edge.errors import EmotionEdgeError

# picamera2 is part of Raspberry Pi OS (apt) and needs libcamera: importing it can raise any exception.
try:
    from libcamera import Transform
    from picamera2 import Picamera2
except Exception as error:
    Picamera2 = Transform = None
    IMPORT_PROBLEM = f"picamera2 does not import: {error} (`sudo apt install python3-picamera2`)"
else:
    IMPORT_PROBLEM = ""

_log = logging.getLogger(__name__)

_TIMEOUT: Final = 5.0
"""Seconds without a picture after which the camera counts as lost."""
_ANALYSIS_WIDTH: Final = 320
"""Width in pixels of the small second stream: the default face detector's input. Larger detectors use the main stream.
"""


def list_picameras() -> list[str]:
    """List the names of the cameras on the Raspberry Pi's camera ports, in order; USB cameras are left to V4L2."""
    if Picamera2 is None:
        return []
    try:
        found = Picamera2.global_camera_info()
    except Exception as error:
        _log.warning("picamera2 cannot list its cameras: %s", error)
        return []
    return [str(info["Model"]) for info in found if "usb" not in str(info.get("Id", ""))]


def _transform(settings: CameraSettings) -> Any:
    """Return the libcamera transform for `camera.rotate` and `camera.flip`; None if the sensor has nothing to do."""
    upside_down = settings.rotate == "180"
    if settings.rotate not in ("0", "180") or not (upside_down or settings.flip):
        return None
    return Transform(hflip=upside_down != settings.flip, vflip=upside_down)


class PiCamera:
    """The first camera on a camera port: `width` x `height` for the screen, a small copy for the analysis.

    Attributes:
        turned: whether the sensor applies `camera.rotate` and `camera.flip`, at no cost; no sensor does 90 and 270
            degrees.
    """

    lossless = False
    name = "camera picamera2"

    def __init__(self, settings: CameraSettings) -> None:
        """Start the camera. Raises EmotionEdgeError if picamera2 or a camera is missing, or another program uses it."""
        if Picamera2 is None:
            raise EmotionEdgeError(f"{self.name}: {IMPORT_PROBLEM}")
        if not list_picameras():
            raise EmotionEdgeError(
                f"{self.name}: no camera on the camera ports (check the cable; `rpicam-hello --list-cameras`)"
            )
        self._closed = threading.Event()
        self._reading = threading.Lock()
        self._camera: Any = None
        self.turned = False
        try:
            self._camera = Picamera2()
            self._start(settings)
        except Exception as error:
            # libcamera has exceptions of its own: camera busy, no such mode, out of memory.
            if self._camera is not None:
                self._camera.close()
            raise EmotionEdgeError(f"{self.name}: cannot be started: {error}") from error

    def _start(self, settings: CameraSettings) -> None:
        width = min(_ANALYSIS_WIDTH, settings.width)
        height = 2 * round(settings.height * width / settings.width / 2)
        period = round(1e6 / settings.fps)
        controls = {"FrameDurationLimits": (period, period)}
        self._lores_size = (width, height)
        transform = _transform(settings)
        self._camera.configure(
            self._camera.create_video_configuration(
                # RGB888 is libcamera's name for the byte order blue, green, red.
                main={"size": (settings.width, settings.height), "format": "RGB888"},
                lores={"size": self._lores_size, "format": "YUV420"},
                controls={name: value for name, value in controls.items() if name in self._camera.camera_controls},
                buffer_count=4,
                **({"transform": transform} if transform else {}),
            )
        )
        if transform:
            # libcamera may change a transform that the camera cannot do.
            applied = self._camera.camera_configuration()["transform"]
            self.turned = (applied.hflip, applied.vflip) == (transform.hflip, transform.vflip)
        self._camera.start()

    def read(self) -> Picture | None:
        with self._reading:
            if self._closed.is_set():
                return None
            try:
                request = self._camera.capture_request(wait=_TIMEOUT)
                try:
                    image = request.make_array("main")
                    planes = request.make_array("lores")
                    stamp = request.get_metadata().get("SensorTimestamp", 0)
                finally:
                    request.release()
            except Exception as error:
                raise EmotionEdgeError(
                    f"{self.name}: gives no picture any more ({str(error) or 'nothing came'})"
                ) from error
            finally:
                if self._closed.is_set():
                    # `close` did not wait for this read to end, so the camera is closed here.
                    self._camera.close()
        width, height = self._lores_size
        # The rows of the planes may be padded: the padding becomes columns, which are cut off.
        analysis = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)[:height, :width]
        # libcamera stamps pictures in nanoseconds of CLOCK_BOOTTIME, which includes the time asleep; time.monotonic()
        # does not.
        asleep = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
        taken = plausible_time(stamp / 1e9 - asleep)
        return Picture(image, taken, np.ascontiguousarray(analysis, dtype=np.uint8))

    def skip(self) -> bool:
        with self._reading:
            if self._closed.is_set():
                return False
            try:
                self._camera.capture_request(wait=_TIMEOUT).release()
            except Exception as error:
                _log.debug("%s: %s", self.name, error)
                return False
            finally:
                if self._closed.is_set():
                    # `close` did not wait for this call to end, so the camera is closed here.
                    self._camera.close()
            return True

    def close(self) -> None:
        self._closed.set()
        if self._reading.acquire(timeout=0.3):
            self._camera.close()
            self._reading.release()
