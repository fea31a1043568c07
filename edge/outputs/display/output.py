"""The display with the annotated picture: a window on a desktop, or the whole screen without one.

Driven from the main thread, to which OpenCV's windows belong. A display that is not there yet, or goes away, is waited
for.
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
"""After this long without a new frame the display says so: an old picture must not pass for a live one."""

RETRY_SECONDS: Final = 3.0
"""Between two tries to find a display."""

_REFUSED_SECONDS: Final = 60.0
"""The same where there is one that refused: trying it starts a process, which is no small thing on a board."""

_MANAGER: Final = Path("/etc/systemd/system/display-manager.service")
"""There on a machine with a desktop, whose screen must not be taken from it, even before it has started."""

_ESCAPE: Final = 27
_TICK_MS: Final = 15
_PROBE_SECONDS: Final = 20
_PROBE: Final = "import cv2; cv2.namedWindow('Emotion Edge', cv2.WINDOW_NORMAL); cv2.destroyAllWindows()"
_UNSET: Final = "neither DISPLAY nor WAYLAND_DISPLAY is set"


class _RefusedError(NoScreenError):
    """There is a display, and it will not have us."""


class Surface(Protocol):
    """What a picture is shown on. Any of its methods may raise NoScreenError: it is lost."""

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height to fill, in pixels; None: as large as the picture."""

    def present(self, picture: Image) -> None:
        """Show a BGR picture."""

    def wait(self) -> bool:
        """Wait for a moment; False when a person has closed it."""

    def close(self) -> None:
        """Give it back."""


def window_problem() -> str | None:
    """None where a window can be had, else why not.

    Tries it in a process of its own, since Qt aborts the whole process when it cannot open the display. Takes about as
    long as importing OpenCV does, but where nothing answers.
    """
    try:
        _try_window()
    except NoScreenError as error:
        return str(error)
    return None


def display_available(settings: DisplaySettings) -> tuple[bool, str]:
    """Whether there is a display now, and which or why not; nothing is shown."""
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
    """Raises NoScreenError where no window can be had."""
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
    """Whether an X server listens on a display of this machine; taken for granted of any other."""
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
    """A Viewer that shows the newest frame wherever it can; `run_until` draws it, in the main thread."""

    def __init__(self, settings: DisplaySettings, context: Callable[[], Context] = lambda: PLAIN) -> None:
        """context: what is drawn besides the newest Reading."""
        self._settings = settings
        self._context = context
        self._newest: tuple[Frame, Reading, float] | None = None
        self._closed = threading.Event()

    def show(self, frame: Frame, reading: Reading) -> None:
        """Remember the newest frame; any thread."""
        self._newest = frame, reading, time.monotonic()

    def close(self) -> None:
        """Ask the loop in the main thread to end; any thread."""
        self._closed.set()

    def run_until(self, stop: threading.Event) -> None:
        """Show the newest frame until `stop` is set, or until Esc, q or its own button close the window.

        Main thread only. The display is taken with the first frame.
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
                        _log.info("the window was closed; Emotion Edge goes on without it (Ctrl-C ends it)")
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
        """Show what is newest until the end; False when a person ends it. Raises NoScreenError: it is lost."""
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
    """A window of OpenCV's, where `_try_window` found nothing against it. Main thread only."""

    def __init__(self, fullscreen: bool = False) -> None:
        """Open it; it is drawn with the first picture."""
        ratio = cv2.WINDOW_FREERATIO if fullscreen else cv2.WINDOW_KEEPRATIO
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL | ratio)
        # Qt 5.15 loses X11 events that come in while it takes others out, at times the one that says that the window is
        # there, and then never draws it: in 7 of 40 starts on a loaded machine, and in none of 40 with this pause.
        time.sleep(0.3)
        self._screen = _fill_screen() if fullscreen else None
        self._sized = False
        if fullscreen and not self._screen:
            _log.warning("window: nothing here fills the display (that takes a window manager, such as openbox)")

    def __str__(self) -> str:
        return f"a window on {_display() or 'this machine'}"

    @property
    def size(self) -> tuple[int, int] | None:
        """That of the display, where the window fills it."""
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
        """Let the window draw itself and look for keys; False when a person has closed it."""
        key = cv2.waitKey(_TICK_MS) & 0xFF
        return key not in (_ESCAPE, ord("q")) and not _gone()

    def close(self) -> None:
        """Take it away."""
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


def _framed(picture: Image, screen: tuple[int, int]) -> Image:
    """The picture in the middle of a black screen."""
    left, top = (screen[0] - picture.shape[1]) // 2, (screen[1] - picture.shape[0]) // 2
    right, bottom = screen[0] - picture.shape[1] - left, screen[1] - picture.shape[0] - top
    return np.asarray(cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT), np.uint8)
