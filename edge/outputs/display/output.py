"""The attached display: a window on a desktop, or the whole screen without one.

It is driven from the main thread, which OpenCV's windows require. A missing or lost display is retried.
"""

import logging
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from edge.config import DisplaySettings
from edge.outputs.display.drm import DrmScreen, find_display
from edge.outputs.display.drm_kernel import NoScreenError
from edge.outputs.drawing.last_minute import PLAIN, Context
from edge.outputs.drawing.overlay import annotate
from edge.outputs.drawing.screen import on_screen
from edge.reading import Frame, Image, Reading

_log = logging.getLogger(__name__)

TITLE: Final = "Emotion Edge"
STALE_SECONDS: Final = 3.0
"""Seconds without a new frame after which the display says that its picture is old."""

RETRY_SECONDS: Final = 3.0
"""Seconds between two attempts to find a display."""

_REFUSED_SECONDS: Final = 60.0
"""Seconds between two attempts on a display that refused a window: each starts a process, expensive on a board."""

_MANAGER: Final = Path("/etc/systemd/system/display-manager.service")
"""File that exists if a desktop is installed; the whole screen is then left to it, even before it has started."""

_ESCAPE: Final = 27
_TICK_MS: Final = 15
_PROBE_SECONDS: Final = 20
_PROBE: Final = "import cv2; cv2.namedWindow('Emotion Edge', cv2.WINDOW_NORMAL); cv2.destroyAllWindows()"
_UNSET: Final = "neither DISPLAY nor WAYLAND_DISPLAY is set"


class _RefusedError(NoScreenError):
    """A display exists but refuses to open a window."""


class Surface(Protocol):
    """The window or screen on which images are shown. Each method may raise NoScreenError if the display is lost."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels that images should fill; None: images keep their size."""

    def present(self, picture: Image) -> None:
        """Show an image, BGR uint8 [H, W, 3]."""

    def wait(self) -> bool:
        """Wait for a moment; return False if the user has closed the surface."""

    def close(self) -> None:
        """Release the display."""


def window_problem() -> str | None:
    """Describe why no window can be opened; None if one can.

    The attempt runs in a process of its own, because Qt aborts the process if it cannot open the display.
    """
    try:
        _try_window()
    except NoScreenError as error:
        return str(error)
    return None


def display_available(settings: DisplaySettings) -> tuple[bool, str]:
    """Return whether a display is available now, and its name or why there is none; nothing is shown."""
    try:
        if _wants_window(settings):
            _try_window()
            return True, "a window can be shown"
        _leave_to_desktop(settings)
        found = find_display()
    except NoScreenError as error:
        return False, str(error)
    return True, f"the screen on {found.socket} can be had, {found.mode.hdisplay} x {found.mode.vdisplay}"


def _wants_window(settings: DisplaySettings) -> bool:
    return settings.mode == "window" or (settings.mode == "auto" and _display() != "")


def _leave_to_desktop(settings: DisplaySettings) -> None:
    if settings.mode == "auto" and os.path.lexists(_MANAGER):
        raise NoScreenError(f"{_UNSET}, and the screen is left to this machine's desktop (display.mode: drm takes it)")


def _display() -> str:
    return os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or ""


def _try_window() -> None:
    """Raise NoScreenError if no window can be opened."""
    display = _display() or "of this machine"
    if sys.platform == "linux":
        if not _display():
            raise NoScreenError(f"no display ({_UNSET})")
        if not _answers(display):
            raise NoScreenError(f"the display {display} cannot be opened (nothing answers there)")
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            errors="replace", timeout=_PROBE_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _RefusedError(f"the display {display} did not answer within {_PROBE_SECONDS} s") from None
    except OSError as error:
        raise _RefusedError(f"the display {display} could not be tried: {error}") from error
    if probe.returncode == 0:
        return
    if "not implemented" in probe.stderr:
        raise _RefusedError(
            "this OpenCV was built without windows (opencv-python-headless? `pip install opencv-python` has them)"
        )
    said = next((line.strip() for line in probe.stderr.splitlines() if line.strip()), "")
    raise _RefusedError(f"the display {display} cannot be opened ({said or f'exit status {probe.returncode}'})")


def _answers(display: str) -> bool:
    """Whether an X server listens on a display of this machine; True for a display elsewhere."""
    local = re.fullmatch(r"(?:unix)?:(\d+)(?:\.\d+)?", display)
    if not local:
        return True
    for address in (f"/tmp/.X11-unix/X{local[1]}", f"\0/tmp/.X11-unix/X{local[1]}"):
        with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
            connection.settimeout(1)
            connection.connect(address)
            return True
    return False


class Display:
    """A Viewer that shows the newest frame; `run_until` draws it in the main thread."""

    def __init__(self, settings: DisplaySettings, context: Callable[[], Context] = lambda: PLAIN) -> None:
        """Prepare, without opening a display. context: returns what is drawn besides the newest Reading."""
        self._settings = settings
        self._context = context
        self._newest: tuple[Frame, Reading, float] | None = None
        self._closed = threading.Event()

    def show(self, frame: Frame, reading: Reading) -> None:
        """Replace the newest frame. Thread-safe."""
        self._newest = frame, reading, time.monotonic()

    def close(self) -> None:
        """Ask the loop in the main thread to end. Thread-safe."""
        self._closed.set()

    def run_until(self, stop: threading.Event) -> None:
        """Show the newest frame until `stop` is set, or until the user closes the window with Esc, q or its button.

        Main thread only. The display is opened with the first frame.
        """
        self._pause(stop, lambda: self._newest is not None, _TICK_MS / 1000)
        told = ""
        while not self._ended(stop):
            try:
                surface = self._open()
                _log.info("display: %s", surface)
                told = ""
                with closing(surface):
                    if not self._show_on(surface, stop):
                        _log.info("the window was closed; Emotion Edge continues without it (Ctrl-C ends it)")
                        return
            except NoScreenError as error:
                if str(error) != told:
                    told = str(error)
                    level = logging.INFO if self._settings.mode == "auto" else logging.WARNING
                    _log.log(level, "display: none, %s; shown as soon as there is one", told)
                due = time.monotonic() + (_REFUSED_SECONDS if isinstance(error, _RefusedError) else RETRY_SECONDS)
                self._pause(stop, lambda due=due: time.monotonic() >= due, 0.5)  # type: ignore[misc]

    def _ended(self, stop: threading.Event) -> bool:
        return stop.is_set() or self._closed.is_set()

    def _pause(self, stop: threading.Event, over: Callable[[], bool], step: float) -> None:
        while not self._ended(stop) and not over():
            stop.wait(step)

    def _open(self) -> Surface:
        if _wants_window(self._settings):
            _try_window()
            return Window(self._settings.fullscreen)
        _leave_to_desktop(self._settings)
        try:
            return DrmScreen()
        except NoScreenError as error:
            raise NoScreenError(f"{_UNSET}, and {error}" if self._settings.mode == "auto" else str(error)) from error

    def _show_on(self, surface: Surface, stop: threading.Event) -> bool:
        """Show the newest frame until `stop` is set; return False if the user ends it. Raises NoScreenError."""
        shown: tuple[Frame, str, tuple[int, int] | None] | None = None
        while not self._ended(stop):
            newest = self._newest
            assert newest is not None
            frame, reading, arrived = newest
            context = self._context()
            age = time.monotonic() - arrived
            message = context.words["stale"].format(seconds=int(age)) if age >= STALE_SECONDS else ""
            size = surface.size
            if shown is None or shown[0] is not frame or shown[1:] != (message, size):
                if size:
                    surface.present(on_screen(frame.image, reading, size, message, context))
                else:
                    surface.present(annotate(frame.image, reading, message, context))
                shown = frame, message, size
            if not surface.wait():
                return False
        return True


class Window:
    """An OpenCV window; `_try_window` must have succeeded before. Main thread only."""

    def __init__(self, fullscreen: bool = False) -> None:
        """Open the window; it appears with the first image."""
        ratio = cv2.WINDOW_FREERATIO if fullscreen else cv2.WINDOW_KEEPRATIO
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL | ratio)
        # Qt 5.15 can lose the X11 event that maps the window, and then never draws it: in 7 of 40 starts on a loaded
        # machine, and in none of 40 with this pause.
        time.sleep(0.3)
        self._screen = _fill_screen() if fullscreen else None
        self._sized = False
        if fullscreen and not self._screen:
            _log.warning("window: nothing here fills the display (that takes a window manager, such as openbox)")

    def __str__(self) -> str:
        return f"a window on {_display() or 'this machine'}"

    @property
    def size(self) -> tuple[int, int] | None:
        """Size of the display if the window fills it, else None."""
        return self._screen

    def present(self, picture: Image) -> None:
        """Show a BGR picture."""
        if self._screen:
            picture = _framed(picture, self._screen)
        elif not self._sized:
            cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])
        self._sized = True
        cv2.imshow(TITLE, picture)

    def wait(self) -> bool:
        """Process window events and keys; return False if the user has closed the window."""
        key = cv2.waitKey(_TICK_MS) & 0xFF
        return key not in (_ESCAPE, ord("q")) and not _gone()

    def close(self) -> None:
        """Close the window."""
        # The window may be closed already.
        with suppress(cv2.error):
            cv2.destroyAllWindows()
            # This call processes the close event.
            cv2.waitKey(1)


def _gone() -> bool:
    """Whether the user has closed the window."""
    try:
        return cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
    except cv2.error:
        # OpenCV 4.14 raises an error for a closed window.
        return True


def _fill_screen() -> tuple[int, int] | None:
    """Make the window fill the display; return its width and height in pixels, or None without a window manager.

    OpenCV does not report the display's size, and its Qt windows shrink an image to fit but never enlarge it. So an
    image that is larger than any display is shown first, and the size of the window is read.
    """
    cv2.imshow(TITLE, np.zeros((4320, 7680), np.uint8))
    cv2.waitKey(100)
    before = _size()
    cv2.setWindowProperty(TITLE, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
    sizes = [before]
    while len(sizes) < 20:
        cv2.waitKey(50)
        sizes.append(_size())
        if sizes[-1] != before and len(sizes) > 4 and len(set(sizes[-4:])) == 1:
            # The window has stopped growing.
            return sizes[-1]
    return None


def _size() -> tuple[int, int]:
    _, _, width, height = cv2.getWindowImageRect(TITLE)
    return width, height


def _framed(picture: Image, screen: tuple[int, int]) -> Image:
    """Return the image centred on a black screen."""
    left, top = (screen[0] - picture.shape[1]) // 2, (screen[1] - picture.shape[0]) // 2
    right, bottom = screen[0] - picture.shape[1] - left, screen[1] - picture.shape[0] - top
    return np.asarray(cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT), np.uint8)
