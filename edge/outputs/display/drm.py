"""Shows pictures on the whole screen without a desktop, through the kernel's mode setting (DRM/KMS).

`python -m edge.outputs.display.drm` shows a test image for ten seconds and prints what it found.
"""

import argparse
import ctypes
import errno
import mmap
import os
import select
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.outputs.display import drm_kernel as kernel
from edge.outputs.display.drm_kernel import Mode, NoScreenError
from edge.outputs.drawing.layers import blend, clear, paint
from edge.outputs.drawing.text import render_text
from edge.reading import Image

CARDS: Final = Path("/dev/dri")
PIXELS_MAX: Final = 1920 * 1200
"""Largest width times height of a display mode: more costs drawing time and shows no more of a 640x480 camera."""

CHECK_SECONDS: Final = 2.0
"""Seconds between two checks that the display is still connected."""

_FLIP_SECONDS: Final = 1.0
_TICK_SECONDS: Final = 0.01
_EVENT_BYTES: Final = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A connected display. socket: name of its connector, such as HDMI-A-1."""

    path: Path
    connector: int
    socket: str
    crtc: int
    mode: Mode


@dataclass(slots=True)
class _Buffer:
    """A framebuffer. pixels: XRGB8888 as uint8 [height, width, 4], write only."""

    fb: int
    handle: int
    memory: mmap.mmap
    pixels: npt.NDArray[np.uint8]
    covered: tuple[int, int, int, int] | None = None


def best_mode(modes: Sequence[Mode]) -> Mode:
    """Return the display's preferred mode, or the largest mode of its aspect ratio within PIXELS_MAX.

    Raises NoScreenError if the display has no mode.
    """
    whole = [mode for mode in modes if not mode.flags & kernel.INTERLACED] or list(modes)
    if not whole:
        raise NoScreenError("the display names no mode (is its cable whole?)")
    wanted = next((mode for mode in whole if mode.type & kernel.PREFERRED), whole[0])
    fitting = [mode for mode in whole if mode.hdisplay * mode.vdisplay <= PIXELS_MAX]
    if wanted in fitting or not fitting:
        return wanted
    shape = wanted.hdisplay / wanted.vdisplay

    def worth(mode: Mode) -> tuple[bool, int, int]:
        same = abs(mode.hdisplay / mode.vdisplay / shape - 1) < 0.02
        return same, mode.hdisplay * mode.vdisplay, -abs(mode.vrefresh - 60)

    return max(fitting, key=worth)


def placed(picture: tuple[int, int], screen: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return where an image is placed on the screen: centred, and cropped if it is larger.

    Args:
        picture: width and height of the image.
        screen: width and height of the screen.

    Returns:
        Left, top, width and height on the screen, in pixels.
    """
    width, height = min(picture[0], screen[0]), min(picture[1], screen[1])
    return (screen[0] - width) // 2, (screen[1] - height) // 2, width, height


def write(picture: Image, pixels: npt.NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """Copy a BGR image to the centre of an XRGB8888 framebuffer, whose bytes are also in the order blue, green, red.

    Args:
        picture: BGR uint8 [H, W, 3].
        pixels: uint8 [height, width, 4]; written and never read, because reading such memory is slow.

    Returns:
        Left, top, width and height of the image on the screen, in pixels.
    """
    left, top, width, height = placed((picture.shape[1], picture.shape[0]), (pixels.shape[1], pixels.shape[0]))
    target = pixels[top : top + height, left : left + width]
    cv2.cvtColor(picture[:height, :width], cv2.COLOR_BGR2BGRA, dst=target)
    return left, top, width, height


def find_display(cards: Path = CARDS, probe: bool = True) -> Found:
    """Find the first connected display on the first graphics card that has one.

    Args:
        cards: folder of the cards' devices.
        probe: make the kernel query the connectors, which takes longer.

    Raises:
        NoScreenError: there is no display; the message says why.
    """
    paths = sorted(cards.glob("card*"))
    if not paths:
        raise NoScreenError(
            f"no graphics card in {cards} (a Raspberry Pi has one with dtoverlay=vc4-kms-v3d in its config.txt)"
        )
    problems, sockets = [], []
    for path in paths:
        try:
            card = kernel.open_card(path)
        except OSError as error:
            hint = " (add the user to the group video)" if error.errno in (errno.EACCES, errno.EPERM) else ""
            problems.append(f"{path}: {error.strerror}{hint}")
            continue
        try:
            if not kernel.drives_displays(card):
                continue
            crtcs, connectors = kernel.resources(card)
            for number in connectors:
                socket, modes, encoders = kernel.connector(card, number, probe)
                sockets.append(kernel.name_of(socket))
                crtc = kernel.crtc_for(card, socket, encoders, crtcs)
                if socket.connection == kernel.CONNECTED and crtc is not None:
                    return Found(path, number, sockets[-1], crtc, best_mode(modes))
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        finally:
            os.close(card)
    if sockets:
        raise NoScreenError(f"no display is connected to {', '.join(sockets)}")
    raise NoScreenError("; ".join(problems) or f"none of {', '.join(map(str, paths))} drives a display")


class DrmScreen:
    """A display at full size, with double buffering."""

    def __init__(self, cards: Path = CARDS) -> None:
        """Become DRM master and set the mode. Raises NoScreenError with the reason if that is not possible."""
        self.found = find_display(cards)
        self._size = int(self.found.mode.hdisplay), int(self.found.mode.vdisplay)
        self._looked_at = time.monotonic()
        self._waiting = False
        self._shown = 0
        self._buffers: list[_Buffer] = []
        try:
            self._card = kernel.open_card(self.found.path)
        except OSError as error:
            raise NoScreenError(f"{self.found.path}: {error.strerror}") from error
        try:
            if not kernel.become_master(self._card):
                raise NoScreenError(
                    f"{self.found.path}: another program has the screen (a desktop? then use display.mode: window)"
                )
            self._buffers = [self._buffer() for _ in range(2)]
            self._set_mode(self._buffers[0])
        except OSError as error:
            self.close()
            raise NoScreenError(f"{self.found.path}, {self.found.socket}: {error.strerror}") from error
        except NoScreenError:
            self.close()
            raise

    def __str__(self) -> str:
        mode = self.found.mode
        return f"{self.found.socket} of {self.found.path}, {mode.hdisplay} x {mode.vdisplay} at {mode.vrefresh} Hz"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the screen in pixels."""
        return self._size

    def present(self, picture: Image) -> None:
        """Show a BGR image, centred, at the next refresh. Raises NoScreenError if the screen is lost."""
        try:
            self._wait_for_flip()
            shown = (self._shown + 1) % 2
            buffer = self._buffers[shown]
            if buffer.covered != placed((picture.shape[1], picture.shape[0]), self.size):
                buffer.pixels[:] = 0
            buffer.covered = write(picture, buffer.pixels)
            self._flip(buffer)
            self._shown = shown
        except OSError as error:
            raise NoScreenError(f"{self.found.path}, {self.found.socket}: lost: {error.strerror}") from error

    def wait(self) -> bool:
        """Wait for a moment, and check every CHECK_SECONDS that the display is still connected. Always returns True.

        Raises NoScreenError if it is not connected.
        """
        time.sleep(_TICK_SECONDS)
        if time.monotonic() - self._looked_at >= CHECK_SECONDS:
            self._check()
        return True

    def _check(self) -> None:
        self._looked_at = time.monotonic()
        try:
            socket, modes, _ = kernel.connector(self._card, self.found.connector, probe=False)
        except OSError as error:
            raise NoScreenError(f"{self.found.path}: lost: {error.strerror}") from error
        if socket.connection != kernel.CONNECTED:
            raise NoScreenError(f"the display was disconnected from {self.found.socket}")
        if bytes(best_mode(modes)) != bytes(self.found.mode):
            raise NoScreenError(f"there is another display on {self.found.socket}")

    def close(self) -> None:
        """Release the screen; the kernel then shows its console again."""
        with suppress(OSError):
            self._wait_for_flip()
        for buffer in self._buffers:
            buffer.pixels = np.empty((0, 0, 4), np.uint8)
            buffer.memory.close()
            with suppress(OSError):
                kernel.call(self._card, kernel.REMOVE_FB, ctypes.c_uint32(buffer.fb))
            with suppress(OSError):
                kernel.call(self._card, kernel.DESTROY_DUMB, kernel.DestroyDumb(buffer.handle))
        self._buffers = []
        os.close(self._card)

    def _buffer(self) -> _Buffer:
        width, height = self.size
        dumb = kernel.CreateDumb(height=height, width=width, bpp=32)
        kernel.call(self._card, kernel.CREATE_DUMB, dumb)
        fb = kernel.FrameBuffer(width=width, height=height, pitch=dumb.pitch, bpp=32, depth=24, handle=dumb.handle)
        kernel.call(self._card, kernel.ADD_FB, fb)
        where = kernel.MapDumb(handle=dumb.handle)
        kernel.call(self._card, kernel.MAP_DUMB, where)
        memory = mmap.mmap(self._card, dumb.size, offset=where.offset)
        pixels: npt.NDArray[np.uint8] = np.ndarray((height, width, 4), np.uint8, memory, strides=(dumb.pitch, 4, 1))
        pixels[:] = 0
        return _Buffer(fb.fb_id, dumb.handle, memory, pixels)

    def _set_mode(self, buffer: _Buffer) -> None:
        connectors = (ctypes.c_uint32 * 1)(self.found.connector)
        crtc = kernel.Crtc(
            set_connectors_ptr=ctypes.addressof(connectors),
            count_connectors=1,
            crtc_id=self.found.crtc,
            fb_id=buffer.fb,
            mode_valid=1,
            mode=self.found.mode,
        )
        kernel.call(self._card, kernel.SET_CRTC, crtc)

    def _flip(self, buffer: _Buffer) -> None:
        flip = kernel.PageFlip(crtc_id=self.found.crtc, fb_id=buffer.fb, flags=kernel.FLIP_EVENT)
        try:
            kernel.call(self._card, kernel.PAGE_FLIP, flip)
            self._waiting = True
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            # The driver has no page flips, so the mode is set anew.
            self._set_mode(buffer)

    def _wait_for_flip(self) -> None:
        """Wait until the last image is on the screen and the other buffer is free."""
        if self._waiting:
            self._waiting = False
            if select.select([self._card], [], [], _FLIP_SECONDS)[0]:
                os.read(self._card, _EVENT_BYTES)


def colour_bars(width: int, height: int) -> Image:
    """Draw a test image with red, green, blue and grey areas and its size as text: BGR uint8 [height, width, 3]."""
    image = np.full((height, width, 3), 96, np.uint8)
    for index, colour in enumerate(((0, 0, 255), (0, 255, 0), (255, 0, 0))):
        image[: height // 2, index * width // 3 : (index + 1) * width // 3] = colour
    layer = clear(width, height)
    text = render_text(f"Emotion Edge  {width} x {height}", max(8, height // 18), "bold")
    paint(layer, text, (width - text.shape[1]) // 2, round(height * 0.7))
    blend(image, layer, 0, 0)
    return image


def main() -> int:
    """Show the test image and return the exit status."""
    parser = argparse.ArgumentParser(description="Show a test picture on the screen, without a desktop.")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    try:
        screen = DrmScreen()
    except EmotionEdgeError as error:
        print(f"no screen: {error}", file=sys.stderr)
        return 1
    try:
        print(screen, flush=True)
        picture = colour_bars(*screen.size)
        began, shown = time.monotonic(), 0
        while (passed := time.monotonic() - began) < arguments.seconds:
            screen.present(picture)
            screen.wait()
            shown += 1
        print(f"{shown} pictures in {passed:.1f} s", flush=True)
    finally:
        screen.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
