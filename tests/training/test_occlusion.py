"""Occlusion maps: only covering the pixels that a network uses changes its prediction."""

import numpy as np
import pytest

from training.evaluation.metrics import Logits
from training.evaluation.occlusion import Images, occlusion

pytest.importorskip("keras", reason="the training extra is not installed")

from training.reporting.attention import coloured


def corner(images: Images) -> dict[str, Logits]:
    """Logits by the brightness of the upper left sixth, of each side, alone."""
    height, width = images.shape[1] // 6, images.shape[2] // 6
    bright = images[:, :height, :width].reshape(len(images), -1).mean(axis=1) / 255
    return {"two": np.stack([8 * bright, np.full(len(images), 4.0)], axis=1)}


@pytest.mark.parametrize("shape", [(48, 48), (36, 60, 3)])
def test_the_place_that_is_read_is_found(shape: tuple[int, ...]) -> None:
    images = np.full((3, *shape), 40, np.uint8)
    images[:, : shape[0] // 6, : shape[1] // 6] = 255
    drops = occlusion(corner, images, "two", np.zeros(3, np.int64))
    assert drops.shape == (3, *shape[:2])
    assert drops[:, 0, 0] == pytest.approx(drops.max(axis=(1, 2)))
    assert drops[0, 0, 0] > 0.5
    assert np.abs(drops[:, shape[0] // 2 :, shape[1] // 2 :]).max() < 0.01


def test_colours_are_where_drops_are() -> None:
    image = np.full((96, 96, 3), 100, np.uint8)
    drops = np.zeros((48, 48))
    drops[:10, :10] = 0.7
    drops[30:, 30:] = -0.5
    seen = coloured(image, drops).astype(int)
    assert np.abs(seen[60:, 60:] - 100).max() == 0, "what raises the probability has no colour"
    assert seen[4, 4, 2] > 150
    assert seen[4, 4, 2] > seen[4, 4, 0] + 40, "bright yellow: more red than blue"
