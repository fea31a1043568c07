"""Make the bundled clip: `python -m training.synthetic.make_clip [FILE]`.

Two portraits in the public domain are cut out and moved before a wall and behind a counter, in changing light; their
expressions change by bending the picture around mouth and cheeks. Needs scikit-image, which carries one of the
portraits, and PyAV (`pip install av`). The same versions of the libraries make the same file.
"""

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

from edge.cameras.images import read_image
from edge.media import CLIP

Image = npt.NDArray[np.uint8]
Plane = npt.NDArray[np.float32]
Points = Sequence[tuple[float, float]]
Keys = Sequence[tuple[float, ...]]
"""Rows of a time in seconds and the values at that time."""

WIDTH: Final = 640
HEIGHT: Final = 480
FPS: Final = 20
SECONDS: Final = 16
COUNTER: Final = 400
"""First pixel row of the counter, which hides the lower edge of the portraits."""
HOPPER: Final = Path(__file__).parent / "portraits" / "grace_hopper.jpg"
ENCODER_OPTIONS: Final = {"crf": "20", "preset": "slower", "threads": "1"}
"""Options of libx264; with more than one thread the file would differ from run to run."""


@dataclass(frozen=True)
class Move:
    """A point of a face and its displacement, in pixels of the portrait. spread: sigma of the Gaussian around it."""

    at: tuple[float, float]
    by: tuple[float, float]
    spread: tuple[float, float]


@dataclass(frozen=True)
class Person:
    """A cut-out portrait and its part in the clip.

    face: centre and width of the face in the portrait, pixels. path: time, x, y, face width, degrees. expressions: for
    each, the field of displacements [H, W, 2] and its strength over time.
    """

    image: Image
    mask: Image
    face: tuple[float, float, float]
    path: Keys
    expressions: Sequence[tuple[Plane, Keys]]


def displacement(shape: tuple[int, ...], moves: Sequence[Move]) -> Plane:
    """The sum of the moves as a field [H, W, 2] of x and y displacements, pixels."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    field = np.zeros((shape[0], shape[1], 2), np.float32)
    for move in moves:
        distance = ((x - move.at[0]) / move.spread[0]) ** 2 + ((y - move.at[1]) / move.spread[1]) ** 2
        field += np.exp(-distance / 2)[..., None] * np.array(move.by, np.float32)
    return field


def at(keys: Keys, time: float) -> list[float]:
    """Interpolate the values of key frames at a time, with easing."""
    times = [key[0] for key in keys]
    after = min(max(int(np.searchsorted(times, time, side="right")), 1), len(keys) - 1)
    before, following = keys[after - 1], keys[after]
    share = min(max((time - before[0]) / (following[0] - before[0]), 0.0), 1.0)
    share = share * share * (3 - 2 * share)
    return [a + (b - a) * share for a, b in zip(before[1:], following[1:], strict=True)]


def cut_out(image: Image, outside: Points, inside: Points) -> Image:
    """Segment a person: mask, 0 to 255, of all of `inside` and of what GrabCut adds between it and `outside`."""
    labels = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    cv2.fillPoly(labels, [np.array(outside, np.int32)], (cv2.GC_PR_FGD,))
    cv2.fillPoly(labels, [np.array(inside, np.int32)], (cv2.GC_FGD,))
    model: tuple[Any, Any] = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(image, labels, (0, 0, 0, 0), *model, 4, cv2.GC_INIT_WITH_MASK)
    mask = np.where((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), 255, 0).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)).astype(np.uint8)
    _, parts, facts, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(np.argmax(facts[1:, cv2.CC_STAT_AREA]))
    mask = cv2.erode(np.where(parts == largest, 255, 0).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.uint8)
    return cv2.GaussianBlur(mask, (0, 0), 1.2).astype(np.uint8)


def collins() -> Person:
    """Eileen Collins: in view at the start, comes near, leaves to the left, returns at the end."""
    image = np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])
    outside = [(149, 60), (196, 10), (273, 19), (305, 68), (299, 111), (277, 141), (294, 171), (309, 213), (307, 247)]
    outside += [(358, 273), (365, 337), (427, 337), (486, 375), (511, 435), (511, 511), (17, 511), (21, 375), (38, 265)]
    outside += [(107, 213), (109, 171), (149, 141), (171, 128), (149, 94)]
    inside = [(192, 51), (256, 43), (286, 85), (265, 145), (247, 183), (282, 205), (299, 256), (341, 299), (358, 367)]
    inside += [(410, 358), (478, 401), (495, 511), (34, 511), (51, 324), (94, 247), (137, 205), (128, 179), (183, 162)]
    inside += [(175, 119), (166, 85)]
    less_smile = [
        Move((204, 140), (3, 4), (8, 8)),
        Move((245, 141), (-3, 4), (8, 8)),
        Move((222, 138), (0, 4), (16, 6)),
        Move((222, 152), (0, -3.5), (14, 6)),
    ]
    path = [
        (0, 150, 190, 62, 0),
        (3, 210, 200, 100, -4),
        (6, 225, 215, 150, 4),
        (8.5, 195, 205, 120, -4),
        (10.5, 110, 210, 110, -6),
        (12.4, -400, 210, 110, -4),
        (13.4, -240, 190, 62, 0),
        (15, 120, 190, 62, 3),
        (16, 150, 190, 62, 0),
    ]
    strength = [(0, 0), (4.5, 0), (5.3, 1), (8, 1), (8.8, 0)]
    field = displacement(image.shape, less_smile)
    return Person(image, cut_out(image, outside, inside), (222, 122, 90), path, [(field, strength)])


def hopper() -> Person:
    """Grace Hopper: enters from the right, comes close, leaves to the right."""
    image = read_image(HOPPER)
    outside = [(170, 75), (230, 20), (290, 20), (355, 70), (375, 100), (380, 250), (365, 290), (345, 320), (400, 350)]
    outside += [(500, 385), (511, 430), (511, 599), (12, 599), (30, 400), (60, 375), (170, 325), (162, 290), (150, 190)]
    outside += [(152, 110)]
    inside = [(190, 60), (260, 25), (340, 60), (365, 120), (362, 260), (335, 300), (345, 330), (480, 400), (505, 599)]
    inside += [(25, 599), (55, 390), (200, 325), (190, 270), (165, 190), (165, 120)]
    smile = [
        Move((229, 278), (-7, -12), (15, 13)),
        Move((310, 277), (7, -12), (15, 13)),
        Move((268, 284), (0, 4), (20, 9)),
        Move((215, 245), (0, -5), (18, 14)),
        Move((322, 243), (0, -5), (18, 14)),
    ]
    frown = [
        Move((229, 278), (2, 9), (14, 13)),
        Move((310, 277), (-2, 9), (14, 13)),
        Move((268, 272), (0, -4), (18, 12)),
    ]
    path = [
        (2.6, 840, 215, 105, 0),
        (5, 505, 215, 105, 3),
        (7.5, 475, 225, 125, -3),
        (9.5, 440, 235, 150, 3),
        (11.5, 360, 240, 214, -2),
        (13, 335, 242, 220, 4),
        (14.4, 450, 230, 150, -2),
        (16, 840, 215, 120, 0),
    ]
    expressions = [
        (displacement(image.shape, smile), [(0, 0), (6.4, 0), (7, 1), (9.4, 1), (10, 0), (12.9, 0), (13.5, 1)]),
        (displacement(image.shape, frown), [(0, 0), (10.3, 0), (10.9, 1), (12.3, 1), (12.9, 0)]),
    ]
    return Person(image, cut_out(image, outside, inside), (268, 220, 185), path, expressions)


def draw(frame: Plane, person: Person, time: float) -> None:
    """Draw a person into the frame [H, W, 3] as at a time in seconds."""
    x, y, width, degrees = at(person.path, time)
    turn = 2 * np.pi * time / SECONDS
    degrees += 1.5 * np.sin(5 * turn + person.face[2])
    x += 4 * np.sin(4 * turn + person.face[2])
    shown = person.image
    rows, columns = np.mgrid[0 : shown.shape[0], 0 : shown.shape[1]].astype(np.float32)
    for field, keys in person.expressions:
        (strength,) = at(keys, time)
        if strength:
            shown = cv2.remap(
                shown, columns - strength * field[..., 0], rows - strength * field[..., 1], cv2.INTER_CUBIC
            ).astype(np.uint8)
    centre_x, centre_y, face_width = person.face
    scale = width / face_width
    if scale < 0.9:
        shown = cv2.GaussianBlur(shown, (0, 0), 0.4 / scale).astype(np.uint8)
    matrix = cv2.getRotationMatrix2D((centre_x, centre_y), -degrees, scale)
    matrix[:, 2] = matrix[:, 2] + (x - centre_x, y - centre_y)
    size = (WIDTH, HEIGHT)
    pixels = cv2.warpAffine(shown, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    mask = cv2.warpAffine(person.mask, matrix, size, flags=cv2.INTER_LINEAR)[..., None] / np.float32(255)
    frame[:] = frame * (1 - mask) + pixels * mask


def colour(blue: float, green: float, red: float) -> Plane:
    return np.array((blue, green, red), np.float32)


def wall() -> Plane:
    """The background [H, W, 3]: a brick wall out of focus, with a window's light on it."""
    brick = cv2.resize(np.rot90(skimage.data.brick())[:384], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    texture = cv2.GaussianBlur(brick, (0, 0), 3.5).astype(np.float32) / 128
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = 0.6 + 0.6 * np.exp(-(((x - 420) / 260) ** 2) - ((y - 120) / 200) ** 2)
    return np.asarray((texture * light)[..., None] * colour(112, 128, 140), np.float32)


def counter() -> Plane:
    """The counter in front [HEIGHT - COUNTER, W, 3], with a wood's grain."""
    noise = np.random.default_rng(1).normal(size=(HEIGHT - COUNTER, WIDTH)).astype(np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), sigmaX=40, sigmaY=1.2)
    shade = 1 + 2.5 * grain - np.linspace(0.1, 0.45, HEIGHT - COUNTER, dtype=np.float32)[:, None]
    board = shade[..., None] * colour(52, 84, 120)
    board[:4] *= 1.5
    return board.astype(np.float32)


def light(time: float) -> Plane:
    """Factor of every pixel at a time, [1, W, 3]: dim, bright, lit from the left, from the right."""
    brightness, side, warmth = at(
        [
            (0, 1, 0, 0),
            (5, 1, 0, 0),
            (6, 0.42, 0, 0.5),
            (7.5, 0.42, 0, 0.5),
            (8.3, 1.2, 0, 0),
            (9.8, 1, 0, 0),
            (11, 0.85, 0.75, 0.2),
            (12, 0.85, 0.75, 0.2),
            (13.3, 0.85, -0.75, 0),
            (14.8, 1, 0, 0),
        ],
        time,
    )
    across = np.linspace(1, -1, WIDTH, dtype=np.float32)
    tint = 1 + warmth * colour(-0.25, -0.05, 0.08)
    return np.asarray((brightness * (1 + side * np.tanh(2 * across)))[None, :, None] * tint, np.float32)


def frames() -> list[Image]:
    """Return all frames of the clip, BGR uint8 [480, 640, 3]."""
    people = [collins(), hopper()]
    behind, front = wall(), counter()
    pictures = []
    for number in range(FPS * SECONDS):
        time = number / FPS
        frame = behind.copy()
        for person in sorted(people, key=lambda person: at(person.path, time)[2]):
            draw(frame, person, time)
        frame[COUNTER:] = front
        pictures.append(np.clip(frame * light(time), 0, 255).astype(np.uint8))
    return pictures


def write(path: Path, pictures: Sequence[Image]) -> None:
    """Encode the clip as H.264 with PyAV, as OpenCV wheels can read but not write it."""
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        raise SystemExit("the clip is encoded by PyAV: `pip install av`") from error
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=ENCODER_OPTIONS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        container.mux(stream.encode())


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else CLIP
    write(path, frames())
    print(f"{path}: {FPS * SECONDS} frames, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
