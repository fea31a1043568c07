"""The thread that reads a camera, keeps only the newest frame, and reopens the camera when it is lost."""

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
"""`Capture.status` until the first picture arrives or opening fails."""

OPEN_PATIENCE_S: Final = 180.0
"""Seconds that opening a camera may take: resolving a host name may take a minute, and `auto` tries several devices."""

READ_PATIENCE_S: Final = 20.0
"""Seconds in which a picture must come; every camera times out sooner: V4L2 after 10, streams and libcamera after 5."""


class Capture:
    """Reads a camera in a thread and keeps the newest frame; frames that nobody fetched in time are counted.

    A lossless source (a file with `realtime: false`) waits for its consumer instead. Every public method and property
    may be used from any thread.
    """

    def __init__(
        self,
        settings: CameraSettings,
        camera: Camera | None = None,
        paused: str = "",
        patience: float = READ_PATIENCE_S,
        wanted_from: Callable[[], float] = lambda: -math.inf,
    ) -> None:
        """Start the thread.

        A camera that cannot be opened raises nothing: `status` gives the reason, and opening is retried after 0.5 s,
        then after twice as long each time, up to 10 s.

        Args:
            settings: which camera, and how it is read.
            camera: a camera that is already open, for the first connection; None: the thread opens one.
            paused: if not empty, start paused with this text as `status`, until `resume`.
            patience: seconds that the camera may take for a picture, besides two of its periods, before it counts as
                hanging.
            wanted_from: returns the earliest time, in seconds of `time.monotonic()`, for which a picture is wanted;
                called by the thread between two pictures.
        """
        self._settings = settings
        self._changed = threading.Condition()
        self._camera = camera
        self._lossless = camera is not None and camera.lossless
        self._patience = patience + 2 / settings.fps
        self._hangs_at = math.inf
        self._wanted_from = wanted_from
        # Seconds between two pictures, and the time at which the last one arrived.
        self._period = self._arrived_at = 0.0
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
        """`online`, or why there is no picture: `lost: camera /dev/video0: not there (found: no camera)`."""
        return self._status

    @property
    def retry_delay(self) -> float:
        """Seconds between the last failed attempt to open the camera and the next attempt."""
        return self._retry_delay

    @property
    def hanging(self) -> bool:
        """Whether a call into the camera's driver takes longer than allowed; a lost camera is not hanging."""
        return time.monotonic() > self._hangs_at or not (self._thread.is_alive() or self._finished)

    @property
    def lossless(self) -> bool:
        """Whether the source waits for its consumer and no frame of it may be dropped."""
        return self._lossless

    @property
    def captured(self) -> int:
        """Number of frames that the camera delivered."""
        return self._captured

    @property
    def bad(self) -> int:
        """Number of frames that could not be decoded; they count neither as captured nor as dropped."""
        return self._bad

    @property
    def dropped(self) -> int:
        """Number of frames that a newer one replaced before they were fetched."""
        with self._changed:
            return self._captured - self._delivered - (self._frame is not None)

    @property
    def ended(self) -> bool:
        """Whether a file that is played once has ended and its last frame was fetched."""
        with self._changed:
            return self._finished and self._frame is None

    def newest(self, timeout: float) -> Frame | None:
        """Return the newest frame not yet returned, waiting up to `timeout` seconds for one; None if none arrives."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._frame is not None or self._finished or self._closed, timeout)
            self._waiting -= 1
            frame, self._frame = self._frame, None
            self._delivered += frame is not None
            return frame

    def pause(self, why: str) -> None:
        """Close the camera, and return no frame until `resume`; `why` becomes the status.

        Waits until the camera is closed, 2 s at most for a read that hangs. A file restarts from its beginning
        afterwards.
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
            except Exception as error:
                # A camera may raise an exception that it does not document; the next attempt may succeed.
                _log.debug("reading the camera failed", exc_info=True)
                reason = f"camera {without_password(self._settings.source)}: {type(error).__name__}: {error}"
            finally:
                self._release()
            if online_since:
                backoff.worked(time.monotonic() - online_since)
            if self._pauses != pauses:
                # `pause` closed the camera during the read.
                continue
            self._report_lost(reason, delay := backoff.next())
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._paused, delay)
        with self._changed:
            self._finished = True
            self._status = "closed" if self._closed else "ended"
            self._changed.notify_all()

    def _unpaused(self) -> int | None:
        """Wait until the camera is not paused; return the number of pauses so far, or None after `close`."""
        with self._changed:
            if self._paused:
                self._release()
            self._changed.wait_for(lambda: self._closed or not self._paused)
            return None if self._closed else self._pauses

    def _open(self) -> Camera:
        """Open the camera and store it, so that `close` and `pause` of other threads can close it."""
        with self._waiting_for_camera(OPEN_PATIENCE_S):
            camera = self._camera or open_camera(self._settings)
        with self._changed:
            self._camera, self._lossless = camera, camera.lossless
            if self._closed or self._paused:
                camera.close()
        return camera

    def _read(self, camera: Camera) -> Picture | None:
        """Discard pictures older than `wanted_from`, which is cheaper than decoding them; return the next one."""
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
        """Make the picture the newest frame; a picture of a lossless source first waits for a call of `newest`."""
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
        """Log the first failure, set the status, and discard a live frame that was not fetched yet."""
        word = "no picture" if self._captured == 0 else "lost"
        if not self._logged_lost:
            self._logged_lost = True
            _log.warning("%s: %s; trying again until it is back", word, reason)
        self._retry_delay = delay
        with self._changed:
            if not self._lossless:
                # A live frame that is fetched after the loss would show faces as still present.
                self._frame = None
            self._set_status(f"{word}: {reason}")

    def _set_status(self, status: str) -> None:
        with self._changed:
            if not self._closed and not self._paused:
                self._status = status
