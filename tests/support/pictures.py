"""Pictures, folders and videos that tests create and identify by colour."""

from pathlib import Path

import cv2
import numpy as np

from edge.cameras.capture import Capture
from edge.reading import Frame, Image

COLOURS = ((230, 30, 30), (30, 230, 30), (30, 30, 230), (30, 200, 200), (200, 30, 200), (120, 120, 120))
"""Blue, green, red: far enough from each other to be told apart after compression."""
WIDTH, HEIGHT = 96, 64


def coloured(colour: int) -> Image:
    """Make a picture whose left half has colour number `colour`, and whose right half is black."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:, : WIDTH // 2] = COLOURS[colour]
    return image


def colour_of(image: Image) -> int:
    """Return the number of the colour in the left half; fails unless it is one of COLOURS, beside black."""
    height, width = image.shape[:2]
    pixel = image[height // 2, width // 4].astype(int)
    distances = [int(np.abs(pixel - colour).max()) for colour in COLOURS]
    assert min(distances) < 20, f"{pixel} is none of our colours"
    assert int(image[height // 2, 3 * width // 4].max()) < 20
    return distances.index(min(distances))


def write_folder(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        cv2.imwrite(str(folder / f"{number}.png"), coloured(number))
    return folder


def write_video(path: Path, count: int, fps: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (WIDTH, HEIGHT))
    for number in range(count):
        writer.write(coloured(number))
    writer.release()
    return path


def frames_of(capture: Capture, count: int) -> list[Frame]:
    frames = []
    for _ in range(count):
        frame = capture.newest(20)
        assert frame is not None, capture.status
        frames.append(frame)
    return frames
