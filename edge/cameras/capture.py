"""The thread that reads a camera, keeps the newest frame only, and opens the camera again when it is lost."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from edge.cameras.camera import Camera, Picture
from edge.cameras.choose import open_camera
from edge.config import CameraSettings
from edge.config.secrets import without_password
from edge.errors import EmotionEdgeError
from edge.reading import Frame
from edge.system.backoff import Backoff
from edge.system.threads import start_worker

_log = logging.getLogger(__name__)

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 10.0
_RELEASE_S: Final = 2.0

OPENING: Final = "opening the camera"
"""The status until the first picture came or opening failed."""

OPEN_PATIENCE_S: Final = 180.0
"""Seconds to open a camera: looking up a host name may take a minute, and `auto` tries several devices."""

READ_PATIENCE_S: Final = 20.0
"""Seconds for one picture. Every camera gives up sooner: V4L2 after 10 s, streams and libcamera after 5."""


class Capture:
    """Reads a camera in a thread and keeps the newest frame; a slow reader misses frames, which are counted.

    A source that waits for its reader (a file with `realtime: false`) loses none. Every public method and property may
    be used from any thread.
    """

    def __init__(
        self,
        settings: CameraSettings,
        camera: Camera | None = None,
        paused: str = "",
        patience: float = READ_PATIENCE_S,
        wanted_from: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """Start reading.

        A camera that cannot be opened is no error here: `status` says why there is no picture, and it is tried again
        after 0.5 s, then after twice as long each time, up to 10 s.

        Args:
            settings: which camera, and how it is read.
            camera: the camera to begin with, already open; None: it is opened in the thread.
            paused: the reason for beginning with a pause, which `resume` ends; empty: no pause.
            patience: seconds that the camera may take for a picture, besides two of its periods, before it counts as
                hanging.
            wanted_from: gives the time, in seconds of `time.monotonic()`, before which no picture is wanted; asked
                between two pictures, in the capture's thread.
        """
        self._settings = settings
        self._changed = threading.Condition()
        self._camera = camera
        self._lossless = camera is not None and camera.lossless
        self._patience = patience + 2 / settings.fps
        self._hangs_at = math.inf
        self._wanted_from = wanted_from
        self._period = self._arrived_at = 0.0  # of the pictures, in seconds; when the last one came
        self._frame: Frame | None = None
        self._waiting = 0
        self._captured = 0
        self._delivered = 0
        self._bad = 0
        self._last_time = 0.0
        self._finished = False
        self._closed = False
        self._status = paused or OPENING
        self._logged_lost = False
        self._retry_delay = 0.0
        self._pauses = 0
        self._paused = bool(paused)
        self._thread = start_worker("capture", self._run)

    @property
    def status(self) -> str:
        """`online`, or why there is no picture, as in
        `lost: camera /dev/video0: not there (found: no camera)`.
        """
        return self._status

    @property
    def retry_delay(self) -> float:
        """Seconds from the last try to open the camera that failed to the next."""
        return self._retry_delay

    @property
    def hanging(self) -> bool:
        """A call into the camera's driver takes longer than any should; a camera that is lost does not hang."""
        return time.monotonic() > self._hangs_at or not (self._thread.is_alive() or self._finished)

    @property
    def lossless(self) -> bool:
        """The source waits for its reader, and no frame of it may be dropped."""
        return self._lossless

    @property
    def captured(self) -> int:
        """Frames the camera gave."""
        return self._captured

    @property
    def bad(self) -> int:
        """Frames that could not be decoded and were passed over; they count neither as captured nor as dropped."""
        return self._bad

    @property
    def dropped(self) -> int:
        """Frames that were replaced by a newer one before they were taken."""
        with self._changed:
            return self._captured - self._delivered - (self._frame is not None)

    @property
    def ended(self) -> bool:
        """A file played once is at its end, and its last frame was taken."""
        with self._changed:
            return self._finished and self._frame is None

    def newest(self, timeout: float) -> Frame | None:
        """The newest frame that was not handed out yet, waiting up to `timeout` seconds for one; else None."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._frame is not None or self._finished or self._closed, timeout)
            self._waiting -= 1
            frame, self._frame = self._frame, None
            self._delivered += frame is not None
            return frame

    def pause(self, why: str) -> None:
        """Close the camera, and give no frame until `resume`; `why` is the status meanwhile.

        Waits until the camera is closed, 2 s at most for a read that hangs. A file begins anew afterwards.
        """
        with self._changed:
            self._paused, self._pauses = True, self._pauses + 1
            self._frame, self._status = None, why
            camera = self._camera
            self._changed.notify_all()
        if camera is not None:
            camera.close()
        with self._changed:
            self._changed.wait_for(lambda: self._camera is None, _RELEASE_S)

    def resume(self) -> None:
        """Open the camera again."""
        with self._changed:
            self._paused, self._status = False, OPENING
            self._logged_lost = False
            self._changed.notify_all()

    def close(self) -> None:
        """Stop reading and close the camera, within a second; a read that hangs is left to end by itself."""
        with self._changed:
            self._closed = True
            self._status = "closed"
            camera = self._camera
            self._changed.notify_all()
        if camera is not None:
            camera.close()
        self._thread.join(timeout=0.6)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        backoff = Backoff(_FIRST_DELAY, _LONGEST_DELAY)
        while (pauses := self._unpaused()) is not None:
            online_since = 0.0
            try:
                camera = self._open()
                while (picture := self._read(camera)) is not None:
                    if not online_since:
                        online_since = time.monotonic()
                        self._log_online(camera, picture)
                    self._offer(picture, camera.lossless)
                if self._pauses == pauses:
                    break
                continue
            except EmotionEdgeError as error:
                reason = str(error)
            except Exception as error:  # an error that no camera documents: the next try may succeed
                _log.debug("reading the camera failed", exc_info=True)
                reason = f"camera {without_password(self._settings.source)}: {type(error).__name__}: {error}"
            finally:
                self._release()
            if online_since:
                backoff.worked(time.monotonic() - online_since)
            if self._pauses != pauses:  # `pause` closed the camera
                continue
            self._report_lost(reason, delay := backoff.next())
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._paused, delay)
        with self._changed:
            self._finished = True
            self._status = "closed" if self._closed else "ended"
            self._changed.notify_all()

    def _unpaused(self) -> int | None:
        """Wait through a pause; the number of pauses so far, or None once `close` was called."""
        with self._changed:
            if self._paused:
                self._release()
            self._changed.wait_for(lambda: self._closed or not self._paused)
            return None if self._closed else self._pauses

    def _open(self) -> Camera:
        """Open the camera; from here on `close` and `pause` can close it."""
        with self._waiting_for_camera(OPEN_PATIENCE_S):
            camera = self._camera or open_camera(self._settings)
        with self._changed:
            self._camera, self._lossless = camera, camera.lossless
            if self._closed or self._paused:
                camera.close()
        return camera

    def _read(self, camera: Camera) -> Picture | None:
        """The next picture that may be wanted; those before it are passed over, which is cheaper."""
        while not camera.lossless and time.monotonic() + self._period < self._wanted_from():
            with self._waiting_for_camera(self._patience):
                if not camera.skip():
                    break
            self._note_arrival()
            with self._changed:
                self._captured += 1
                self._delivered += 1
        with self._waiting_for_camera(self._patience):
            picture = camera.read()
        self._note_arrival()
        self._bad += picture.bad if picture else 0
        return picture

    def _note_arrival(self) -> None:
        now = time.monotonic()
        self._period, self._arrived_at = max(1 / self._settings.fps, min(now - self._arrived_at, 1.0)), now

    @contextmanager
    def _waiting_for_camera(self, patience: float) -> Iterator[None]:
        self._hangs_at = time.monotonic() + patience
        try:
            yield
        finally:
            self._hangs_at = math.inf

    def _release(self) -> None:
        camera = self._camera
        if camera is not None:
            with self._waiting_for_camera(self._patience):
                camera.close()
        with self._changed:
            self._camera = None
            self._changed.notify_all()

    def _offer(self, picture: Picture, lossless: bool) -> None:
        """Make the picture the newest frame; one of a lossless source waits until it is asked for."""
        with self._changed:
            if lossless:
                self._changed.wait_for(lambda: self._closed or self._paused or (self._waiting and self._frame is None))
            if self._paused:
                return
            now = time.monotonic()
            # A frame of a lossless source counts as captured when it is requested, so that waiting for the reader is
            # not counted as latency.
            self._last_time = now if lossless else max(picture.captured_at, self._last_time)
            wall_time = time.time() - (now - self._last_time)
            self._frame = Frame(
                picture.image, self._last_time, wall_time, self._captured, picture.analysis, picture.unrelated
            )
            self._captured += 1
            self._changed.notify_all()

    def _log_online(self, camera: Camera, picture: Picture) -> None:
        height, width = picture.image.shape[:2]
        _log.info("%s: online, %d x %d", camera.name, width, height)
        self._logged_lost = False
        self._set_status("online")

    def _report_lost(self, reason: str, delay: float) -> None:
        """Log the loss once, and set the status. A frame that was not taken yet is discarded."""
        word = "no picture" if self._captured == 0 else "lost"
        if not self._logged_lost:
            self._logged_lost = True
            _log.warning("%s: %s; trying again until it is back", word, reason)
        self._retry_delay = delay
        with self._changed:
            if not self._lossless:  # taken later, it would show faces as still there
                self._frame = None
            self._set_status(f"{word}: {reason}")

    def _set_status(self, status: str) -> None:
        with self._changed:
            if not self._closed and not self._paused:
                self._status = status
