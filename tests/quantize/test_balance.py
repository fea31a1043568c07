"""The balance for rare labels: chosen by the rule, written into the card, and applied by every classifier."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from edge.config import EmotionSettings
from edge.emotion.classifier import open_classifier
from edge.emotion.committee import COMMITTEE_FILE, open_local, voted_outputs
from edge.emotion.scores import probabilities_of
from edge.errors import EmotionEdgeError
from edge.model_updates.self_test import run_self_test
from edge.models.card import CARD_FILE, EmotionCard, OutputSpec, read_card
from edge.models.released import model_dir
from edge.models.runtime import choose
from quantize.balance import ACCURACY_LOSS, add_balance, add_committee_balance
from quantize.published import figures_of
from training.datasets.dataset import Dataset, Labels, one_hot

LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
PRIORS = (0.4, 0.3, 0.1, 0.1, 0.05, 0.02, 0.02, 0.01)


def output(balance: float, temperature: float = 1.0) -> OutputSpec:
    return OutputSpec(
        name="ferplus8", kind="emotion", activation="logits", label_set="ferplus8", labels=LABELS, primary=True,
        temperature=temperature, priors=PRIORS, balance=balance,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "emotion-nano"
    shutil.copytree(model_dir("emotion-nano"), folder)
    return folder


@pytest.fixture
def faces() -> Dataset:
    """Labelled images of noise, enough of each label for the rule; half of them in Training."""
    rng = np.random.default_rng(0)
    count = 800
    pixels = rng.integers(0, 256, (count, 48, 48)).astype(np.uint8)
    labels: Labels = one_hot(LABELS, np.arange(count) % 8)
    split = np.repeat([0, 1, 2, 2], count // 4).astype(np.int64)
    return Dataset("noise", pixels, {"ferplus8": labels}, None, True, split, np.arange(count))


def test_full_balance_divides_by_the_priors() -> None:
    logits = np.random.default_rng(1).normal(0, 2, (20, 8)).astype(np.float32)
    plain, full = (probabilities_of(output(balance), logits) for balance in (0.0, 1.0))
    weighed = plain / np.array(PRIORS)
    assert full == pytest.approx(weighed / weighed.sum(axis=1, keepdims=True), rel=1e-4)
    assert full.sum(axis=1) == pytest.approx(np.ones(20), rel=1e-5)
    assert (full[:, 7] > plain[:, 7]).all()


def test_what_was_decided_already_is_not_balanced_again() -> None:
    decided, _ = voted_outputs(output(0.5, temperature=2.0))
    probabilities = np.full((1, 8), 1 / 8, np.float32)
    assert probabilities_of(decided, probabilities) == pytest.approx(probabilities)


def test_the_choice_keeps_to_the_rule_and_the_card_passes_its_self_test(model: Path, faces: Dataset) -> None:
    before = read_card(EmotionCard, model)
    card, facts = add_balance(model, faces, final=True)
    assert card.primary.balance == facts["balance"]
    assert card.primary.priors == pytest.approx([1 / 8] * 8, abs=0.01)
    public = facts["figures"]["PublicTest"]
    assert public["with"]["accuracy"] >= public["without"]["accuracy"] - ACCURACY_LOSS
    assert public["with"]["macro_recall"] >= public["without"]["macro_recall"]
    assert set(facts["figures"]) == {"PublicTest", "PrivateTest"}
    assert card.sha256 == before.sha256
    assert run_self_test(model, choose())
    content = json.loads((model / CARD_FILE).read_text())
    assert content["balance"] == facts
    text = (model / "CARD.md").read_text()
    add_balance(model, faces)
    again = (model / "CARD.md").read_text()
    assert text.count("## Rare emotions") == again.count("## Rare emotions") == 1


@pytest.mark.parametrize("kind", ["alone", "committee"])
def test_the_setting_goes_over_the_card(model: Path, faces: Dataset, kind: str) -> None:
    add_balance(model, faces)
    content = json.loads((model / CARD_FILE).read_text())
    for entry in content["outputs"]:
        if entry["primary"]:
            entry |= {"priors": PRIORS, "balance": 0.5}
    (model / CARD_FILE).write_text(json.dumps(content))
    other = model.with_name("other")
    shutil.copytree(model, other)
    (other / CARD_FILE).write_text(json.dumps(content | {"name": "other"}))
    name = str(model) if kind == "alone" else f"{model}+{other}"
    crops = np.random.default_rng(3).integers(0, 256, (5, 48, 48, 1)).astype(np.uint8)

    def rare(**settings: object) -> float:
        chosen = EmotionSettings.model_validate({"model": name, **settings})
        scores = open_classifier(chosen, choose(), 1).classify(crops)
        return float(scores.probabilities[:, 5:].sum())

    assert rare(balance=0) < rare() < rare(balance=1)
    assert rare() == rare(balance="auto") == pytest.approx(rare(balance=0.5), abs=1e-5)


def test_a_committee_s_figures_are_measured_into_its_file_and_card(model: Path, faces: Dataset) -> None:
    add_balance(model, faces)
    other = model.with_name("other")
    shutil.copytree(model, other)
    card = json.loads((other / CARD_FILE).read_text())
    (other / CARD_FILE).write_text(json.dumps(card | {"name": "other"}))
    pins = [{"model": str(folder), "sha256": card["sha256"]} for folder in (model, other)]
    folder = model.with_name("both")
    folder.mkdir()
    content = {"name": "both", "version": "1.0.0", "members": pins, "rule": "mean"}
    (folder / COMMITTEE_FILE).write_text(json.dumps(content))
    (folder / "CARD.md").write_text("# both 1.0.0\n\n## Rare emotions\nold\n\n## Figures\n| a |\n")
    facts = add_committee_balance(folder, faces, final=True)
    # Both members have the same file, so the committee predicts what each does.
    alone = read_card(EmotionCard, model), json.loads((model / CARD_FILE).read_text())["balance"]
    assert facts["balance"] == {str(each): alone[0].primary.balance for each in (model, other)}
    assert facts["figures"]["PublicTest"]["with"]["accuracy"] == alone[1]["figures"]["PublicTest"]["with"]["accuracy"]
    assert set(facts["figures"]) == {"PublicTest", "PrivateTest"}
    kept = json.loads((folder / COMMITTEE_FILE).read_text())
    assert kept == content | {"balance": facts}
    text = (folder / "CARD.md").read_text()
    assert "old" not in text
    assert text.index("## Rare emotions") < text.index("## Figures")
    assert "| PrivateTest | cards' |" in text


def test_without_priors_only_zero_and_auto_are_possible(model: Path) -> None:
    content = json.loads((model / CARD_FILE).read_text())
    for entry in content["outputs"]:
        entry.pop("priors", None)
        entry.pop("balance", None)
    (model / CARD_FILE).write_text(json.dumps(content))
    open_local(str(model), choose(), 1, 0.0)
    with pytest.raises(EmotionEdgeError, match=r"emotion-quantize balance"):
        open_local(str(model), choose(), 1, 0.5)


@pytest.mark.parametrize("priors", [(0.5, 0.5), (1.0, *[0.0] * 7)])
def test_priors_that_do_not_fit_are_refused(model: Path, priors: tuple[float, ...]) -> None:
    content = json.loads((model / CARD_FILE).read_text())
    content["outputs"][0] |= {"priors": priors}
    (model / CARD_FILE).write_text(json.dumps(content))
    with pytest.raises(EmotionEdgeError, match="prior"):
        read_card(EmotionCard, model)


def test_data_without_the_labels_is_refused(model: Path, faces: Dataset) -> None:
    other = Dataset("other", faces.images, {}, None, True, faces.split, faces.rows)
    with pytest.raises(EmotionEdgeError, match="ferplus8"):
        add_balance(model, other)


def test_figures_of_perfect_predictions() -> None:
    labels = np.repeat(np.arange(8), 25)
    logits = np.eye(8, dtype=np.float32)[labels] * 20
    figures = figures_of(output(0.0), logits, labels)
    assert (figures.accuracy, figures.macro_recall, figures.uncertain) == (1, 1, 0)
    assert figures.error < 0.01
    assert set(figures.recall) == set(LABELS)
