"""The sheet of augmented faces, and the page that lists all augmentations."""

import inspect
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.fer2013_files import pattern
from training.augment import Augment
from training.config import TrainingConfig
from training.preview import FACES, VIEWS, preview_tiles, write_preview


@pytest.mark.parametrize("channels", [1, 3])
def test_the_sheet_has_each_face_as_it_is_and_varied(tmp_path: Path, channels: int) -> None:
    generator = np.random.default_rng(2)
    images = np.stack([pattern(row % 7, generator) for row in range(20)])
    images = images if channels == 1 else np.repeat(images[..., None], 3, axis=3)
    config = TrainingConfig.model_validate({"name": "a", "epochs": 1, "input": {"channels": channels}})
    write_preview(images, config, tmp_path / "augmented.png")
    sheet = cv2.imread(str(tmp_path / "augmented.png"), cv2.IMREAD_UNCHANGED)[::2, ::2]
    assert sheet.shape[:2] == (48 * FACES, 48 * (1 + VIEWS))
    assert np.array_equal(sheet[:48, :48], images[0])
    assert np.array_equal(sheet[-48:, :48], images[-1])
    views = [sheet[:48, 48 * column : 48 * column + 48].tobytes() for column in range(1 + VIEWS)]
    assert len(set(views)) == 1 + VIEWS
    tiles = preview_tiles(images, config)
    assert len(tiles) == FACES * (1 + VIEWS)
    assert np.array_equal(tiles[0], images[0])


def test_the_page_has_every_augmentation_with_its_default() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    table = page.split("## Augmentation\n")[1].split("\n## Faces in a room")[0]
    rows = re.findall(r"^\| (`.*?) \| ([\d.]+) \|", table, re.M)
    listed = {name: float(default) for names, default in rows for name in re.findall(r"`(\w+)`", names)}
    settings = inspect.signature(Augment.__init__).parameters
    defaults = {name: it.default for name, it in settings.items() if isinstance(it.default, float)}
    assert listed == defaults
