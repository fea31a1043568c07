"""Accuracy on degraded faces: what each condition does, and the table of a released model."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.support.fer2013_files import pattern, write_files
from training.datasets.fer2013 import read_fer2013
from training.evaluation.degraded import conditions, table

pytest.importorskip("keras", reason="the training extra is not installed")

from training.evaluation.members import open_members


def test_conditions_do_what_they_are_called() -> None:
    images = np.stack([pattern(label, np.random.default_rng(label)) for label in range(7)])
    seen = conditions(images)
    np.testing.assert_array_equal(seen["mirrored"][:, :, ::-1], images)
    assert seen["a quarter of the light, noise 3"].mean() == pytest.approx(images.mean() / 4, abs=3)
    assert seen["a tenth, noise 2, brightened"].mean() == pytest.approx(images.mean(), abs=8)
    sharp = np.abs(np.diff(images.astype(int), axis=2)).mean()
    for name in ("18 pixels", "moved by 7 pixels"):
        assert np.abs(np.diff(seen[name].astype(int), axis=2)).mean() < 0.7 * sharp
    assert all(each.shape == images.shape and each.dtype == np.uint8 for each in seen.values())


def test_the_table_has_a_row_a_condition(tmp_path: Path) -> None:
    data = read_fer2013(write_files(tmp_path / "data", training=7, test=28))
    lines = list(table(open_members([ROOT / "models" / "emotion-nano"], data), data))
    assert lines[0] == "| ferplus8 / fer7 | emotion-nano |"
    assert len(lines) == 2 + 1 + 6
    assert lines[2].startswith("| as they are | ")
