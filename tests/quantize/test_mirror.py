"""The second run on the mirror image at low confidence: the choice of `mirror_below`, and the classifier."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.emotion.local import LocalClassifier
from edge.errors import EmotionEdgeError
from edge.model_updates.self_test import MOUTHS, drawn_face, run_self_test
from edge.models.card import CARD_FILE, EmotionCard, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from quantize.balance import add_balance
from quantize.cli import main
from quantize.mirror import SAME, add_mirror
from tests.quantize.test_balance import LABELS
from training.datasets.dataset import Dataset, one_hot


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "emotion-nano"
    shutil.copytree(model_dir("emotion-nano"), folder)
    _set(folder, mirror_below=0.0)
    return folder


@pytest.fixture
def faces() -> Dataset:
    """Labelled drawings of faces under noise, many of them with low confidence; half of them in Training."""
    count = 800
    coarse = np.random.default_rng(0).integers(0, 256, (count, 6, 6)).repeat(8, axis=1).repeat(8, axis=2)
    drawn = np.stack([drawn_face(48, 48, MOUTHS[row % 3]) for row in range(3)])
    pixels = (0.4 * coarse + 0.6 * drawn[np.arange(count) % 3]).astype(np.uint8)
    split = np.repeat([0, 1, 2, 2], count // 4).astype(np.int64)
    labels = one_hot(LABELS, np.arange(count) % 8)
    return Dataset("noise", pixels, {"ferplus8": labels}, None, True, split, np.arange(count))


def _set(folder: Path, **values: object) -> None:
    content = json.loads((folder / CARD_FILE).read_text())
    (folder / CARD_FILE).write_text(json.dumps(content | values))


def said(folder: Path, pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    return LocalClassifier(folder, choose()).classify(pixels[..., None]).probabilities


def test_only_unsure_faces_are_averaged_with_their_mirror_image(model: Path, faces: Dataset) -> None:
    pixels = faces.pixels[:60]
    plain = said(model, pixels)
    below = float(np.median(plain.max(axis=1)))
    _set(model, mirror=True)
    both = said(model, pixels)
    _set(model, mirror=False, mirror_below=below)
    found, mirrored = said(model, pixels), said(model, pixels[:, :, ::-1])
    unsure = plain.max(axis=1) < below
    assert 0 < unsure.sum() < len(pixels)
    np.testing.assert_array_equal(found[~unsure], plain[~unsure])
    np.testing.assert_allclose(found[unsure], both[unsure], atol=1e-6)
    assert np.abs(both[unsure] - plain[unsure]).max() > 0.01
    # A face with low confidence in both views gets the same mean for both.
    on_both = unsure & (said_alone(model, pixels[:, :, ::-1]).max(axis=1) < below)
    np.testing.assert_allclose(found[on_both], mirrored[on_both], atol=1e-6)
    assert run_self_test(model, choose())


def said_alone(folder: Path, pixels: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    _set(folder, mirror_below=0.0)
    return said(folder, pixels)


def test_the_choice_keeps_to_the_rule_and_both_cards_say_it(model: Path, faces: Dataset) -> None:
    facts = add_mirror(model, faces, final=True)
    card = read_card(EmotionCard, model)
    assert card.mirror_below == facts["mirror_below"] > 0
    public = facts["figures"]["PublicTest"]
    assert public["without"]["run_twice"] == 0
    assert public["without"]["same_in_mirror"] < SAME <= public["with"]["same_in_mirror"]
    part = faces.part("PublicTest").pixels
    same = (said(model, part).argmax(axis=1) == said(model, part[:, :, ::-1]).argmax(axis=1)).mean()
    assert same == pytest.approx(public["with"]["same_in_mirror"], abs=0.011)
    text = (model / "CARD.md").read_text()
    assert text.count("## Mirror images") == 1
    assert f"confidence is below {card.mirror_below:g}" in text


def test_the_balance_is_chosen_as_the_board_runs_the_model(model: Path, faces: Dataset) -> None:
    alone = add_balance(model, faces)[1]["figures"]["PublicTest"]["with"]
    assert not read_card(EmotionCard, model).mirror_below
    add_mirror(model, faces)
    card, facts = add_balance(model, faces, final=True)
    content = json.loads((model / CARD_FILE).read_text())
    for split, pair in content["mirror_image"]["figures"].items():
        for name in ("accuracy", "macro_recall", "calibration_error"):
            assert facts["figures"][split]["with"][name] == pair["with"][name]
    assert facts["figures"]["PublicTest"]["with"] != alone
    assert card.mirror_below == content["mirror_image"]["mirror_below"] > 0
    assert "as the board runs the model" in (model / "CARD.md").read_text()


def test_a_model_that_averages_anyway_is_refused(
    model: Path, faces: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    _set(model, mirror=True)
    with pytest.raises(EmotionEdgeError, match="does not set `mirror`"):
        add_mirror(model, faces)
    assert main(["mirror", str(model), "--data", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
