"""The command that edge/media/SOURCES.md names for the bundled clip."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("skimage.data", reason="the training extra is not installed")
pytest.importorskip("av", reason="PyAV is not installed")

from edge.media import CLIP  # noqa: E402
from training.synthetic import make_clip  # noqa: E402


def decoded(path: Path, count: int) -> np.ndarray:  # type: ignore[type-arg]
    """The first frames of a video, BGR uint8 [count, H, W, 3]."""
    video = cv2.VideoCapture(str(path))
    return np.stack([video.read()[1] for _ in range(count)])


def test_the_command_makes_the_bundled_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_clip, "SECONDS", 1)  # of 16: drawing takes a second for each
    monkeypatch.setattr("sys.argv", ["make_clip", str(tmp_path / "clip.mp4")])
    make_clip.main()
    made, bundled = decoded(tmp_path / "clip.mp4", make_clip.FPS), decoded(CLIP, make_clip.FPS)
    assert made.shape == bundled.shape == (20, 480, 640, 3)
    assert np.abs(made.astype(np.int16) - bundled).mean() < 3
