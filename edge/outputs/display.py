"""The window with the annotated picture, driven from the main thread, to which OpenCV's windows belong."""

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import Final

import cv2
import numpy as np

from edge.outputs.overlay import annotate
from edge.reading import Frame, Image, Reading

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
        ratio = cv2.WINDOW_FREERATIO if self._fullscreen else cv2.WINDOW_KEEPRATIO
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL | ratio)
        # Qt 5.15 loses X11 events that come in while it takes others out, at times the one that says that the window is
        # there, and then never draws it: in 7 of 40 starts on a loaded machine, and in none of 40 with this pause.
        self._closed.wait(0.3)
        screen = _fill_screen() if self._fullscreen else None
        if self._fullscreen and not screen:
            _log.warning("window: nothing here fills the display (that takes a window manager, such as openbox)")
        shown: tuple[Frame, str] | None = None
        while not self._ended(stop):
            newest = self._newest
            assert newest is not None
            frame, reading, arrived = newest
            message = _age(time.monotonic() - arrived)
            if shown is None or shown[0] is not frame or shown[1] != message:
                image = _fitted(frame.image, screen) if screen else frame.image
                picture = annotate(image, reading, message)
                if screen:
                    picture = _framed(picture, screen)
                elif shown is None:
                    cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])
                cv2.imshow(TITLE, picture)
                shown = frame, message
            key = cv2.waitKey(_TICK_MS) & 0xFF
            if key in (_ESCAPE, ord("q")) or _gone():
                _log.info("the window was closed; Emotion Edge goes on without it (Ctrl-C ends it)")
                break
        with suppress(cv2.error):  # it is gone already
            cv2.destroyAllWindows()
            cv2.waitKey(1)  # lets the window system take it away


def _gone() -> bool:
    """Whether a person has closed the window."""
    try:
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
    except cv2.error:  # what OpenCV 4.14 makes of the question
        return True


def _fill_screen() -> tuple[int, int] | None:
    """Fill the display and return its width and height in pixels, or None where no window manager does it.

    OpenCV does not tell the display's size, and its Qt windows shrink a picture to fit but never enlarge one. So a
    black picture that is larger than any display is shown first, to see what becomes of it.
    """
    cv2.imshow(TITLE, np.zeros((4320, 7680), np.uint8))
    cv2.waitKey(100)
    before = _size()
    cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
    sizes = [before]
    while len(sizes) < 20:
        cv2.waitKey(50)
        sizes.append(_size())
        if sizes[-1] != before and len(sizes) > 4 and len(set(sizes[-4:])) == 1:  # it does not grow any more
            return sizes[-1]
    return None


def _size() -> tuple[int, int]:
    _, _, width, height = cv2.getWindowImageRect(TITLE)
    return width, height


def _fitted(image: Image, screen: tuple[int, int]) -> Image:
    """The picture as large as the screen allows."""
    height, width = image.shape[:2]
    share = min(screen[0] / width, screen[1] / height)
    size = max(1, round(width * share)), max(1, round(height * share))
    return np.asarray(
        cv2.resize(image, size, interpolation=cv2.INTER_LINEAR if share > 1 else cv2.INTER_AREA), np.uint8
    )


def _framed(picture: Image, screen: tuple[int, int]) -> Image:
    """The picture in the middle of a black screen."""
    left, top = (screen[0] - picture.shape[1]) // 2, (screen[1] - picture.shape[0]) // 2
    right, bottom = screen[0] - picture.shape[1] - left, screen[1] - picture.shape[0] - top
    return np.asarray(cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT), np.uint8)


def _age(seconds: float) -> str:
    return f"No new picture for {seconds:.0f} s" if seconds >= STALE_SECONDS else ""
