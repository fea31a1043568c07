"""Evenness by group, through the real detector and a released model."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.reading import Image
from training.evaluation.metrics import wilson
from training.evaluation.parity import VIEWS, as_json, other_views, parity, table
from training.synthetic import portraits


@pytest.fixture(scope="module")
def face() -> Image:
    photograph = cv2.imread(str(Path(portraits.__path__[0]) / "grace_hopper.jpg"))
    assert photograph is not None
    height, width = photograph.shape[:2]
    side = min(height, width)
    return np.asarray(cv2.resize(photograph[:side, (width - side) // 2 :][:, :side], (128, 128)), np.uint8)


@pytest.fixture(scope="module")
def fairface(tmp_path_factory: pytest.TempPathFactory, face: Image) -> Path:
    """205 faces of one group, one of another, and one chip without a face."""
    path = tmp_path_factory.mktemp("faces") / "fairface-val.zip"
    coded = cv2.imencode(".jpg", face)[1].tobytes()
    blank = cv2.imencode(".jpg", np.full((128, 128, 3), 90, np.uint8))[1].tobytes()
    rows = [("20-29", "Female", "White")] * 205 + [("60-69", "Male", "Indian")] * 2
    with zipfile.ZipFile(path, "w") as archive:
        for row in range(len(rows)):
            archive.writestr(f"{row}.jpg", coded if row < len(rows) - 1 else blank)
        lines = [",".join((f"{row}.jpg", *groups)) for row, groups in enumerate(rows)]
        archive.writestr("labels.csv", "\n".join(["file,age,gender,race", *lines]))
    return path


def test_groups_and_large_pairs_have_a_row_each(fairface: Path) -> None:
    rows, labels = parity(fairface, Settings.model_validate({"emotion": {"model": "emotion-nano"}}))
    named = {row.group: row for row in rows}
    assert next(iter(named)) == "all"
    assert {"White", "Indian", "Female", "Male", "20-29", "60-69"} <= set(named)
    # Pairs with fewer than 200 faces have none.
    assert {name for name in named if ", " in name} == {"White, Female", "White, 20-29", "Female, 20-29"}
    assert named["White"].faces == 205
    assert named["White"].found[0] == 1.0
    assert named["Indian"].found[0] == 0.5
    low, high = named["Indian"].found[1]
    assert low < 0.2 < 0.8 < high
    # The same photograph: all have one emotion.
    assert max(named["White"].emotions.values()) == 1.0
    assert set(named["White"].same) == set(VIEWS)
    assert 0 < named["all"].confidence <= 1
    lines = list(table(rows))
    assert len({line.count("|") for line in lines}) == 1
    assert lines[0].endswith(" | ".join(labels) + " |")
    written = json.loads(as_json(rows, "emotion-nano"))
    assert "not accuracy" in written["note"]
    assert written["rows"][0]["faces"] == 207


def test_the_other_views_are_what_they_are_called(face: Image) -> None:
    mirrored, dark, blurred, small = other_views(face, 80.0, np.random.default_rng(0))
    np.testing.assert_array_equal(mirrored[:, ::-1], face)
    assert dark.mean() == pytest.approx(face.mean() / 4, abs=2)
    sharp = np.abs(np.diff(face.astype(int), axis=1)).mean()
    assert np.abs(np.diff(blurred.astype(int), axis=1)).mean() < 0.6 * sharp
    assert np.abs(np.diff(small.astype(int), axis=1)).mean() < 0.8 * sharp


def test_a_path_without_fairface_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"no FairFace; give fairface-val\.zip"):
        parity(tmp_path, Settings())


def test_the_interval_of_a_share() -> None:
    # Newcombe 1998, table I: 81 of 263.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(0, 20)[0] == 0.0
