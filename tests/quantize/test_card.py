"""Contents of a card: only known facts about data, calibration and this network."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("tensorflow_model_optimization", reason="the training extra is not installed")

from edge.labels import LABEL_SETS
from edge.models.card import EmotionCard
from quantize.card import UNKNOWN_SHA256, ReleasedCard, precision_of
from quantize.card_text import (
    calibration_text,
    class_table,
    data_failures_text,
    data_text,
    evenness_text,
    failures_text,
    licence_text,
    losses_text,
    rare_text,
    unlabelled_text,
)
from quantize.verify import Measured
from quantize.verify import Row as Measurement
from tests.conftest import ROOT
from training.config import TrainingConfig
from training.datasets.dataset import PREPARED, Dataset, one_hot
from training.evaluation.figures import Figures
from training.evaluation.parity import VIEWS, Row

LABELS = LABEL_SETS["ferplus8"]
HEADS = ("ferplus8", "fer7", "affect")


def faces(name: str = "FER-2013", votes: bool = True) -> Dataset:
    """60 Training faces, one of them blank and two of them copies of test faces, and 5 of each other split."""
    generator = np.random.default_rng(3)
    images = generator.integers(0, 256, (70, 8, 8), np.uint8)
    images[0] = 7
    images[1:3] = images[60:62]
    judged = np.arange(70) % 7
    labels = {"fer7": one_hot(LABEL_SETS["fer7"], judged)}
    if votes:
        labels["ferplus8"] = one_hot(LABELS, judged)
    split = np.repeat([0, 1, 2], [60, 5, 5])
    return Dataset(name, images, labels, None, False, split, np.arange(70))


def run(**settings: object) -> TrainingConfig:
    return TrainingConfig.model_validate({"name": "mine", "epochs": 1, **settings})


def test_the_faces_of_training_are_counted_in_the_data_at_hand() -> None:
    for name in ("FER-2013", f"FER-2013{PREPARED}", "of my own"):
        text = data_text(faces(name), HEADS)
        assert f"of {name} (60 faces)" in text
        assert "blank ones: 57 faces" in text


def test_only_labels_that_were_there_and_are_learned_are_named() -> None:
    assert "FER-2013's labels and the FER+ votes are learned together." in data_text(faces(), HEADS)
    assert "FER+" not in data_text(faces(votes=False), HEADS)
    assert "FER+" not in data_text(faces(), ("fer7",))
    assert "FER-2013's labels are learned." in data_text(faces(), ("fer7",))
    assert "The FER+ votes are learned." in data_text(faces(), ("ferplus8",))
    assert "learned" not in data_text(faces("of my own"), HEADS)


def test_rare_classes_are_those_of_the_data_at_hand() -> None:
    assert rare_text(faces(), "ferplus8").endswith("contempt (0).")
    assert rare_text(faces(), "fer7") == ""
    assert rare_text(faces(votes=False), "ferplus8") == ""


def test_a_licence_is_that_of_the_settings_and_nobody_is_given_one() -> None:
    chosen = licence_text(run(licence="Apache-2.0"), "FER-2013", HEADS)
    assert chosen.startswith("Apache-2.0 (the weights). Trained on FER-2013, whose images carry no licence")
    assert chosen.endswith("and on the FER+ votes (MIT, Microsoft).")
    for name in ("FER-2013", f"FER-2013{PREPARED}", "of my own"):
        text = licence_text(run(), name, HEADS)
        assert text.startswith("The weights: as you choose. Trained on ")
        assert "Apache" not in text
        assert ("for research" in text) == (name != "of my own")
    assert "FER+" not in licence_text(run(), "FER-2013", ("fer7",))


def test_faces_without_labels_are_named_with_their_licence() -> None:
    unlabelled = {"path": "fairface", "soft_labels": "fairface.npz", "weight": 0.5, "most_per_class": 3000}
    learned = run(licence="Apache-2.0", unlabelled=unlabelled)
    assert "without labels on FairFace (Karkkainen and Joo 2021; CC BY 4.0)." in licence_text(
        learned, "FER-2013", HEADS
    )
    text = unlabelled_text(learned.unlabelled)
    assert "`fairface` without labels" in text
    assert "weight 0.5" in text
    assert "at most 3,000 of each first class" in text
    assert unlabelled_text(None) == ""


def test_evenness_is_a_table_of_single_groups_where_it_was_measured() -> None:
    share = (0.9, (0.8, 0.95))
    rows = [
        Row(group, 300, share, dict.fromkeys(VIEWS, share), 0.8, 0.1, {"happy": 0.6, "neutral": 0.4})
        for group in ("all", "White", "White, Female")
    ]
    text = evenness_text(rows)
    assert "300 faces of FairFace" in text
    assert "not accuracy" in text
    assert "| White | 300 | 90.0 (80.0-95.0) |" in text
    assert "White, Female" not in text
    assert evenness_text([]) == ""
    assert "under Evenness" in data_failures_text("FER-2013", True)
    assert "has not been measured here; expect that they" in data_failures_text("of my own", False)


def test_a_card_without_calibration_says_what_holds_for_its_precision() -> None:
    known = {"rows": 500, "sha256": "4f4fbd3313db09a952ba"}
    assert "measured on 500 of its training faces" in calibration_text(known, "int8")
    assert "not known" in calibration_text({}, "int8")
    assert "activations stay float" in calibration_text({}, "float16")
    assert "stay float" not in calibration_text({}, "dynamic")


@pytest.mark.parametrize(
    ("dtype", "precisions", "found"),
    [
        ("int8", ["float32", "int8"], "int8"),
        ("float32", ["float32", "float32", "float16", "float16"], "float16"),
        ("float32", ["float32", "float32", "dynamic"], "dynamic"),
        ("float32", ["float32", "float32"], "float32"),
        ("float32", [], "float32"),
    ],
)
def test_a_card_knows_the_precision_of_its_file(dtype: str, precisions: Sequence[str], found: str) -> None:
    card = json.loads((ROOT / "models" / "emotion-nano" / "card.json").read_text())
    card["input"]["dtype"] = dtype
    card["metrics"] = [{"precision": precision} for precision in precisions]
    assert precision_of(EmotionCard.model_validate(card)) == found


def figure(found: Sequence[int], of: Sequence[int], split: str = "PrivateTest") -> Figures:
    """Make figures of ferplus8: `found` of `of` faces of each class are right, others get the next class."""
    confusion = np.diag(np.asarray(found, np.int64)) + np.roll(np.diag(np.asarray(of) - np.asarray(found)), 1, axis=1)
    share = np.asarray(found) / np.maximum(of, 1)
    recall = dict(zip(LABELS, share.tolist(), strict=True))
    nothing = (0.0, 0.0)
    return Figures(
        "ferplus8", LABELS, split, int(np.sum(of)), 0.8, nothing, 0.6, nothing, recall, confusion, 1.0, nothing
    )


def row(precision: str, runtime: str, *figures: Figures) -> Measurement:
    return Measurement(precision, runtime, figures, {}, {}, None)


OF = (100, 100, 100, 100, 100, 18, 100, 0)
FLOAT = (90, 90, 90, 90, 90, 4, 90, 0)


def measured(*rows: Measurement) -> Measured:
    whole = row("float32", "keras 3", figure(FLOAT, OF), figure(FLOAT, OF, "PublicTest"))
    return Measured("ferplus8", "int8", [whole, *rows], {}, 1, 1, None, 0.8, [], {}, ())


def test_a_class_that_loses_more_than_3_points_is_a_known_failure() -> None:
    one_less = (87, 90, 90, 90, 90, 3, 90, 0)
    text = losses_text(
        measured(row("int8", "litert 2", figure(one_less, OF)), row("int8", "tflite 2", figure(FLOAT, OF)))
    )
    assert text.splitlines() == [
        "- Of the 18 faces labelled disgust under ferplus8 on PrivateTest it finds 3 in litert 2, the float network 4: "
        "a loss of 5.6 points."
    ]
    fewer = figure((86, *FLOAT[1:]), OF, "PublicTest")
    assert "neutral under ferplus8 on PublicTest it finds 86" in losses_text(measured(row("int8", "litert 2", fewer)))


def test_a_file_that_loses_nothing_says_so_and_part_of_a_split_is_not_held_against_the_whole() -> None:
    part = replace(row("int8", "litert 2, emulated", figure([found // 2 for found in FLOAT], OF)), faces=300)
    text = losses_text(measured(row("int8", "litert 2", figure(FLOAT, OF)), part))
    assert text == "- No class loses more than 3 points of recall to the float network."


def test_nothing_is_said_of_classes_without_faces_nor_of_mistakes_that_were_not_made() -> None:
    text = failures_text(figure(FLOAT, OF))
    assert text.startswith("- Of the 18 faces labelled disgust it finds 22%.")
    assert "78% of disgust is called fear." in text
    assert "labelled contempt" not in text
    assert " 0% of" not in text
    assert "called" not in failures_text(figure(OF, OF))
    assert "| contempt |  |" in class_table(figure(FLOAT, OF), "int8")


def test_a_card_is_valid_before_its_file_is_whole() -> None:
    """write_cards embeds the card in the file before the file's hash is known."""
    card = json.loads((ROOT / "models" / "emotion-nano" / "card.json").read_text())
    assert ReleasedCard.model_validate({**card, "sha256": UNKNOWN_SHA256}).name == "emotion-nano"
