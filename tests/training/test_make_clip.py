"""The command that edge/media/SOURCES.md names for the bundled clip."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage.data", reason="the training extra is not installed")
pytest.importorskip("av", reason="PyAV is not installed")

from edge.media import CLIP
from edge.reading import Image
from training.synthetic import make_clip


def decoded(path: Path, step: int) -> list[Image]:
    """Decode every step-th frame of a video, BGR uint8 [H, W, 3]."""
    video, frames = cv2.VideoCapture(str(path)), []
    while (read := video.read())[0]:
        frames.append(np.asarray(read[1], np.uint8))
    return frames[::step]


def test_the_command_makes_the_bundled_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_clip, "FPS", 1)  # of 20: each frame takes a tenth of a second to draw
    monkeypatch.setattr("sys.argv", ["make_clip", str(tmp_path / "clip.mp4")])
    make_clip.main()
    made, bundled = decoded(tmp_path / "clip.mp4", 1), decoded(CLIP, 20)
    assert len(made) == len(bundled) == make_clip.SECONDS
    differences = [float(np.abs(one.astype(np.int16) - other).mean()) for one, other in zip(made, bundled, strict=True)]
    assert max(differences) < 3  # of 255; what differs is the compression
