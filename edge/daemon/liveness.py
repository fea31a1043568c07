"""Tells systemd that the daemon is ready, and feeds its watchdog while the analysis runs."""

import logging
import time
from typing import Final

from edge.cameras.capture import OPENING, Capture
from edge.system.systemd import Notifier

_log = logging.getLogger(__name__)

_OPENING_PATIENCE_S: Final = 20.0
"""Seconds for which opening the camera may delay READY."""


class Liveness:
    """Feeds the watchdog once per cycle of the analysis loop, unless the camera's driver hangs. Not thread-safe.

    A missing camera, privacy and idling do not stop the feeding.
    """

    def __init__(self, capture: Capture, notifier: Notifier) -> None:
        self._capture = capture
        self._notifier = notifier
        self._began = time.monotonic()
        self._ready = False
        self._hanging = False

    def cycle(self, analysed: bool) -> None:
        """Feed the watchdog after a cycle of the analysis loop. analysed: the cycle had a frame."""
        hanging = self._capture.hanging
        if hanging and not self._hanging:
            _log.error("the camera's driver does not return (%s)", self._capture.status)
        self._hanging = hanging
        if hanging:
            return
        if not self._ready and (analysed or not self._awaits_first_frame()):
            self._ready = True
            self._notifier.ready()
        self._notifier.alive()

    def _awaits_first_frame(self) -> bool:
        status = self._capture.status
        opening = status == OPENING and time.monotonic() - self._began < _OPENING_PATIENCE_S
        return opening or status == "online"
