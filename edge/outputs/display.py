"""The window with the annotated picture, driven from the main thread, to which OpenCV's windows belong."""

import logging
import os
import subprocess
import sys
import threading
import time
from typing import Final

import cv2

from edge.outputs.overlay import annotate
from edge.reading import Frame, Reading

_log = logging.getLogger(__name__)

TITLE: Final = "Emotion Edge"
STALE_SECONDS: Final = 3.0
"""After this long without a new frame the window says so: an old picture must not pass for a live one."""

_ESCAPE: Final = 27
_TICK_MS: Final = 15
_PROBE_SECONDS: Final = 20
_PROBE: Final = "import cv2; cv2.namedWindow('Emotion Edge', cv2.WINDOW_NORMAL); cv2.destroyAllWindows()"


def unavailable() -> str | None:
    """None where a window can be had, else why not.

    Tries it in a process of its own, since Qt aborts the whole process when it cannot open the display. Takes about as
    long as importing OpenCV does.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "no display (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_PROBE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"the display {_display()} did not answer within {_PROBE_SECONDS} s"
    except OSError as error:
        return f"the display {_display()} could not be tried: {error}"
    if probe.returncode == 0:
        return None
    if "not implemented" in probe.stderr:
        return "this OpenCV was built without windows (opencv-python-headless? `pip install opencv-python` has them)"
    said = next((line.strip() for line in probe.stderr.splitlines() if line.strip()), "")
    return f"the display {_display()} cannot be opened ({said or f'exit status {probe.returncode}'})"


def _display() -> str:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or "of this machine"


class Window:
    """A Viewer that shows the newest frame in a window; `run_until` draws it, in the main thread.

    Make one only where `unavailable()` found nothing against it.
    """

    def __init__(self, fullscreen: bool = False) -> None:
        self._fullscreen = fullscreen
        self._newest: tuple[Frame, Reading, float] | None = None
        self._closed = threading.Event()

    def show(self, frame: Frame, reading: Reading) -> None:
        """Remember the newest frame; any thread."""
        self._newest = frame, reading, time.monotonic()

    def close(self) -> None:
        """Ask the loop in the main thread to close the window; any thread."""
        self._closed.set()

    def run_until(self, stop: threading.Event) -> None:
        """Show the newest frame until `stop` is set, or until Esc, q or its own button close the window.

        Main thread only. The window opens with the first frame.
        """
        while self._newest is None and not self._ended(stop):
            self._closed.wait(_TICK_MS / 1000)
        if not self._ended(stop):
            self._show_until(stop)

    def _ended(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._closed.is_set()

    def _show_until(self, stop: threading.Event) -> None:
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        shown: tuple[int, str] | None = None
        while not self._ended(stop):
            newest = self._newest
            assert newest is not None
            frame, reading, arrived = newest
            message = _age(time.monotonic() - arrived)
            if shown != (id(frame), message):
                first, shown = shown is None, (id(frame), message)
                picture = annotate(frame.image, reading, message)
                if first:
                    self._set_size(*picture.shape[1::-1])
                cv2.imshow(TITLE, picture)
            key = cv2.waitKey(_TICK_MS) & 0xFF
            if key in (_ESCAPE, ord("q")) or cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                _log.info("the window was closed; Emotion Edge goes on without it (Ctrl-C ends it)")
                break
        cv2.destroyAllWindows()
        cv2.waitKey(1)  # lets the window system take it away

    def _set_size(self, width: int, height: int) -> None:
        if self._fullscreen:
            cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
        else:
            cv2.resizeWindow(TITLE, width, height)


def _age(seconds: float) -> str:
    return f"No new picture for {seconds:.0f} s" if seconds >= STALE_SECONDS else ""
