"""The window, under a real X server without a screen (Xvfb)."""

import ctypes
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import DisplaySettings
from edge.outputs.display.output import STALE_SECONDS, Display, display_available, window_problem
from edge.outputs.drawing.overlay import annotate
from edge.reading import Frame, Image
from tests.support.samples import face, frame, picture, reading

PATIENCE = 30.0
SCREEN = (1000, 700)
FROZEN = "frozen"
FULLSCREEN = "fullscreen"


def child(*words: str) -> None:
    """What a window's process does: shows a picture, until SIGTERM; after SIGUSR1 the next; frozen: it comes once."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    window = Display(DisplaySettings(mode="window", fullscreen=FULLSCREEN in words))
    seeds = [0]
    signal.signal(signal.SIGUSR1, lambda *_: seeds.append(seeds[-1] + 1))

    def feed() -> None:
        while not stop.wait(0.1):
            shown = frame(seeds[-1], picture(seed=seeds[-1]))
            window.show(shown, reading([face(3)], shown))
            if FROZEN in words:
                return

    feeder = threading.Thread(target=feed)
    feeder.start()
    window.run_until(stop)
    print("went on" if not stop.is_set() else "stopped", flush=True)
    stop.wait()
    feeder.join()  # a thread inside OpenCV while the interpreter ends aborts the process
    window.close()
    print("ended", flush=True)


def eventually(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE} s: {what}"
        time.sleep(0.1)


@contextmanager
def x_server(*flags: str) -> Iterator[str]:
    """The name of a fresh X server's display."""
    xvfb = shutil.which("Xvfb")
    if not xvfb:
        pytest.skip("Xvfb is not installed (Debian: xvfb)")
    read_end, write_end = os.pipe()
    size = f"{SCREEN[0]}x{SCREEN[1]}x24"
    server = subprocess.Popen(
        [xvfb, *flags, "-displayfd", str(write_end), "-screen", "0", size, "-nolisten", "tcp", "-noreset"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        with os.fdopen(read_end) as told:
            yield ":" + told.readline().strip()
    finally:
        server.terminate()
        server.wait()


@contextmanager
def managed(display: str) -> Iterator[None]:
    """A window manager on the display: as on any desktop, and without one Qt draws its window not every time."""
    manager = shutil.which("openbox")
    if not manager:
        pytest.skip("no window manager is installed (Debian: openbox)")
    managing = subprocess.Popen([manager], env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        managing.terminate()
        managing.wait()


def need_tools() -> None:
    for tool in ("import", "xdotool"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed (Debian: imagemagick, xdotool)")


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    need_tools()
    with x_server() as name, managed(name):
        yield name


@contextmanager
def window_on(display: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    shower = subprocess.Popen(
        [sys.executable, "-m", "tests.edge.test_display", *words],
        env={**os.environ, "DISPLAY": display},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield shower
    finally:
        shower.kill()
        shower.communicate()


def said(shower: "subprocess.Popen[str]", words: str) -> None:
    """Read what the window's process says until it says this."""
    assert shower.stdout
    assert any(words in line for line in shower.stdout), words


def screenshot(display: str) -> Image:
    png = subprocess.run(
        ["import", "-display", display, "-window", "root", "png:-"], check=True, capture_output=True
    ).stdout
    shot = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    assert shot is not None
    return np.asarray(shot, np.uint8)


def holds(shot: Image, expected: Image) -> bool:
    """Whether the screen shows the picture somewhere, pixel for pixel but for a little."""
    if shot.shape[0] < expected.shape[0] or shot.shape[1] < expected.shape[1]:
        return False
    _, best, _, _ = cv2.minMaxLoc(cv2.matchTemplate(shot, expected, cv2.TM_CCORR_NORMED))
    return best > 0.999


def shows(display: str, expected: Image) -> bool:
    return holds(screenshot(display), expected)


def expected(seed: int, message: str = "") -> Image:
    shown = Frame(picture(seed=seed), 0.0, 0.0, seed)
    return annotate(shown.image, reading([face(3)], shown), message)


@contextmanager
def drawn_window_on(display: str, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A window that shows its first picture.

    Without a window manager Qt misses at times, on a loaded machine, that its window is there, and draws none: what a
    person would do then is done here, it is started again, at most twice.
    """
    for _ in range(3):
        with window_on(display, *words) as shower:
            ends = time.monotonic() + PATIENCE
            while time.monotonic() < ends:
                if shows(display, expected(0)):
                    yield shower
                    return
                time.sleep(0.1)
    pytest.fail("no window showed its picture")


def press(display: str, *keys: str) -> None:
    command = ["xdotool", "mousemove", "100", "100", "key", *keys]
    subprocess.run(command, check=True, env={**os.environ, "DISPLAY": display})


def windows(display: str) -> list[str]:
    command = ["xdotool", "search", "--onlyvisible", "--name", "^Emotion Edge$"]
    found = subprocess.run(command, env={**os.environ, "DISPLAY": display}, capture_output=True, text=True, check=False)
    return found.stdout.split()


def test_window_shows_the_newest_annotated_frame(display: str) -> None:
    with drawn_window_on(display) as shower:
        for seed in range(3):
            eventually(partial(shows, display, expected(seed)), f"picture {seed} on the screen")
            shower.send_signal(signal.SIGUSR1)


def test_picture_that_stopped_is_said_to_be_old(display: str) -> None:
    with window_on(display, FROZEN):
        first = time.monotonic()

        def says_so() -> bool:
            shot, oldest = screenshot(display), int(time.monotonic() - first) + 1
            ages = range(int(STALE_SECONDS), max(int(STALE_SECONDS), oldest) + 1)
            return any(holds(shot, expected(0, f"No new picture for {age} s")[:40]) for age in ages)

        eventually(says_so, "the age on the screen")


def test_fullscreen_fills_the_display_with_a_picture_drawn_at_its_size(display: str) -> None:
    image = cv2.resize(picture(seed=0), (933, 700), interpolation=cv2.INTER_LINEAR)
    seen = reading([face(3)], Frame(picture(seed=0), 0.0, 0.0, 0))
    large = annotate(np.asarray(image, np.uint8), seen)
    with window_on(display, FULLSCREEN):
        eventually(partial(shows, display, large), "the picture as large as the screen")
        shot = screenshot(display)
        assert shot.shape[1::-1] == SCREEN
        assert shot[:, :30].max() == 0
        assert shot[:, -30:].max() == 0


def test_fullscreen_without_a_window_manager_shows_the_picture_all_the_same() -> None:
    need_tools()
    with x_server() as bare, drawn_window_on(bare, FULLSCREEN):
        assert shows(bare, expected(0))


def test_display_that_comes_later_is_found() -> None:
    need_tools()
    with x_server() as name:
        pass  # now its number is free
    with window_on(name) as shower:
        said(shower, f"display: none, the display {name} cannot be opened (nothing answers there)")
        with x_server(name) as again, managed(again):
            assert again == name
            eventually(partial(shows, name, expected(0)), "the picture on the display that came later")
            shower.terminate()
            said(shower, "ended")


class _ClientMessage(ctypes.Structure):
    """XClientMessageEvent of Xlib.h, padded to the size of XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("pad", ctypes.c_long * 24),
    )


def press_close(display: str, window: int) -> None:
    """Send the window what a window manager sends when its close button is pressed (ICCCM, WM_DELETE_WINDOW)."""
    x11 = ctypes.CDLL("libX11.so.6")
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    connection = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (x11.XInternAtom(connection, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = _ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    x11.XSendEvent(connection, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(connection)


@pytest.mark.parametrize("how", ["Escape", "q", "button"])
def test_closing_the_window_ends_nothing_else(display: str, how: str) -> None:
    with drawn_window_on(display) as shower:
        if how == "button":
            press_close(display, int(windows(display)[0]))
        else:
            press(display, how)
        said(shower, "continues without it")
        said(shower, "went on")
        eventually(lambda: not windows(display), "the window is gone")
        assert shower.poll() is None
        shower.terminate()
        said(shower, "ended")
        assert shower.wait(PATIENCE) == 0


def test_stop_closes_the_window(display: str) -> None:
    with drawn_window_on(display) as shower:
        shower.terminate()
        said(shower, "stopped")
        assert shower.wait(PATIENCE) == 0
    eventually(lambda: not windows(display), "the window is gone")


def test_stop_before_the_first_frame_ends_at_once() -> None:
    stop = threading.Event()
    stop.set()
    Display(DisplaySettings()).run_until(stop)


def test_window_can_be_had(display: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", display)
    assert window_problem() is None


def test_without_a_display_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert "neither DISPLAY nor WAYLAND_DISPLAY" in str(window_problem())


def test_screen_is_left_to_a_desktop_that_may_start_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    manager = tmp_path / "display-manager.service"
    monkeypatch.setattr("edge.outputs.display.output._MANAGER", manager)
    assert "left to this machine's desktop" not in display_available(DisplaySettings())[1]
    manager.symlink_to("/lib/systemd/system/lightdm.service")
    there, why = display_available(DisplaySettings())
    assert not there
    assert "left to this machine's desktop" in why
    assert "desktop" not in display_available(DisplaySettings(mode="drm"))[1]


def test_display_that_is_not_there_is_said_and_aborts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":97531")
    assert ":97531 cannot be opened" in str(window_problem())


def test_display_that_refuses_is_said_and_aborts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xauth = shutil.which("xauth")
    if not xauth:
        pytest.skip("xauth is not installed (Debian: xauth)")
    cookies, none = tmp_path / "cookies", tmp_path / "none"
    none.touch()
    subprocess.run([xauth, "-f", cookies, "add", ":0", ".", "0" * 32], check=True, capture_output=True)
    with x_server("-auth", str(cookies)) as name:
        monkeypatch.setenv("DISPLAY", name)
        monkeypatch.setenv("XAUTHORITY", str(none))
        assert "cannot be opened" in str(window_problem())


if __name__ == "__main__":
    child(*sys.argv[1:])
