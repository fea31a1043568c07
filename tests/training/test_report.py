"""The report, on networks with known outputs, which they read from a few pixels of the image."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS, circumplex_of
from tests.conftest import ROOT
from training.datasets.dataset import PREPARED, SPLITS, Dataset, one_hot

keras = pytest.importorskip("keras", reason="the training extra is not installed")

from training.evaluation.figures import protocol  # noqa: E402
from training.evaluation.findings import Findings, find  # noqa: E402
from training.evaluation.judge import COMMITTEE, SplitResult  # noqa: E402
from training.report import evaluate, report  # noqa: E402

FER7 = LABEL_SETS["fer7"]
SIDE = 12


def save_reader(folder: Path, row: int, heads: Sequence[str] = ("fer7",), sure: float = 8.0) -> Path:
    """Write a run whose network outputs `sure` times the first pixels of an image row as logits of every head."""
    image = keras.Input((SIDE, SIDE, 1), name="image")
    flat = keras.layers.Flatten()(image)
    outputs = {}
    for head in heads:
        classes = 2 if head == "affect" else len(LABEL_SETS[head])
        weights = np.zeros((SIDE * SIDE, classes), np.float32)
        weights[row * SIDE + np.arange(classes), np.arange(classes)] = sure
        layer = keras.layers.Dense(classes, name=head)
        outputs[head] = layer(flat)
        layer.set_weights([weights, np.zeros(classes, np.float32)])
    folder.mkdir(parents=True)
    keras.Model(image, outputs).save(folder / "network.keras")
    return folder


def faces(true: Sequence[int], said: Sequence[Sequence[int]], label_set: str = "fer7") -> Dataset:
    """Make a data set of PublicTest alone. said: for each network, the labels encoded in its row of pixels."""
    generator = np.random.default_rng(4)
    images = generator.integers(0, 100, (len(true), SIDE, SIDE), np.uint8)
    for row, labels in enumerate(said):
        images[:, row] = 0
        images[np.arange(len(true)), row, labels] = 255
    names, judged = LABEL_SETS[label_set], np.array(true, np.int64)
    affect = circumplex_of(names)[judged]
    count = len(true)
    return Dataset(
        "patterns", images, {label_set: one_hot(names, judged)}, affect, True,
        np.full(count, SPLITS.index("PublicTest")), np.arange(count),
    )  # fmt: skip


def result_of(found: Findings, label_set: str) -> SplitResult:
    """Return the result under a label set on the last split."""
    return next(result for result in found.results[-1] if result.task.label_set == label_set)


# Four kinds of faces in turn: all members right; two of three; only the leader, with three different votes; all equally
# wrong.
TRUE = [0, 1, 2, 3] * 5
SAID = ([0, 1, 2, 4] * 5, [0, 1, 3, 4] * 5, [0, 5, 6, 4] * 5)


@pytest.fixture(scope="module")
def committee(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    runs = [save_reader(folder / name, row) for row, name in enumerate(("ann", "bob", "cay"))]
    (runs[0] / "history.csv").write_text(
        "epoch,fer7_loss,loss,public_fer7,public,seconds\n1,2.0,2.0,0.5,0.5,3\n2,1.5,1.5,0.75,0.75,3\n"
    )
    return runs


def test_protocols_claim_no_more_than_is_known_of_the_data() -> None:
    assert protocol("fer7", "FER-2013").startswith("label of fer2013.csv, 7 classes, every row of the split")
    assert "Barsoum" in protocol("ferplus8", "FER-2013")
    for label_set in ("fer7", "ferplus8"):
        words = protocol(label_set, "photographs")
        assert words == f"the data set's own label under {label_set}, every face that has one, one view of each image"
    prepared = protocol("ferplus8", f"FER-2013{PREPARED}", views=2)
    assert "Barsoum" in prepared
    assert "the faces that `emotion-train prepare` kept" in prepared
    assert prepared.endswith(", the mean of each image and its mirror image")


def test_it_is_said_how_often_each_face_is_looked_at() -> None:
    """Of the released models, emotion-large uses two views of each face and emotion-small one."""
    seen = replace(faces(TRUE, SAID), images=np.random.default_rng(5).integers(0, 256, (len(TRUE), 48, 48), np.uint8))
    folders = [ROOT / "models" / "emotion-large", ROOT / "models" / "emotion-small"]
    views = [result_of(find(chosen, seen), "fer7").task.protocol for chosen in (folders[:1], folders[1:], folders)]
    assert views[0].endswith(", the mean of each image and its mirror image")
    assert views[1].endswith(", one view of each image")
    assert views[2].endswith(", each image once, or with its mirror image where a network's card sets `mirror`")


def test_each_member_and_the_committee_are_counted(committee: list[Path]) -> None:
    result = result_of(find(committee, faces(TRUE, SAID)), "fer7")
    found = {voter: figures.accuracy for voter, figures in result.figures.items()}
    assert found == {"ann": 0.75, "bob": 0.5, "cay": 0.25, COMMITTEE: 0.75}
    assert result.figures[COMMITTEE].confusion[3].tolist() == [0, 0, 0, 0, 5, 0, 0]
    low, high = result.figures["ann"].accuracy_interval
    assert 0.5 < low < 0.75 < high < 0.96


def test_another_leader_decides_the_ties_another_way(committee: list[Path]) -> None:
    data = faces(TRUE, SAID)
    result = result_of(find(committee[::-1], data), "fer7")
    assert result.figures[COMMITTEE].accuracy == 0.5
    assert result.predictions[COMMITTEE].labels.tolist() == [0, 1, 6, 4] * 5


def test_the_report_says_all_of_it_twice(committee: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "a" / "report"
    html, markdown = report(committee, faces(TRUE, SAID), out, label_sets=["compact4"])
    text = markdown.read_text()
    assert "PublicTest, fer7: accuracy 75.00%" in text
    fear = next(line for line in text.splitlines() if line.startswith("| fear"))
    assert re.findall(r"\d out of 5", fear) == ["5 out of 5", "5 out of 5", "0 out of 5", "0 out of 5"]
    assert "led by ann" in text
    assert "the best epoch is 2" in text
    assert "derived valence" in text
    assert re.search(r"valence and arousal of 20 faces of PublicTest, which are derived from the labels", text)
    assert "carried over from fer7 to compact4" in text
    assert "ann has no head for compact4" in text
    assert "PrivateTest's (--final)" in text
    assert "Only 20 faces of PublicTest count under fer7: too few" in text
    assert "15 right of 20 may be 53% to 89% on other faces" in text
    assert "PublicTest has only 20 faces: below 100 no temperature is fitted" in text
    assert "Too few faces to say how well it finds angry (5), disgust (5), fear (5), happy (5)." in text
    assert "Best at" not in text
    assert "<img" not in text
    page = html.read_text()
    for part in ("5 out of 5 (100.00%)", "<svg", "The worst mistakes", "data:image/png", "Under detector jitter"):
        assert part in page
    # The mistakes under two label sets; then three classes that the leader finds, and its five mistakes, each twice.
    assert page.count("<img") == 2 * 5 + 2 * (3 + 5)
    assert "Where the label comes from" in page
    examples = page.split("Examples and their softmax</h2>")[1].split("</section>")[0]
    bars = [re.findall(r'style="--share: ([\d.]+)%"', each) for each in examples.split("<figcaption>")[1:]]
    assert bars
    for each in bars:
        assert sum(map(float, each)) == pytest.approx(100, abs=0.5)
    assert re.search(r"fear \d+%: −\d+ points", page)
    assert "report.html" in (out / ".gitignore").read_text()


def test_classes_are_compared_from_twenty_faces_on(committee: list[Path]) -> None:
    """The data has 25 faces of each of four classes, and one surprised face, predicted right."""
    text = evaluate(committee[:1], faces([*TRUE * 5, 5], [[*SAID[0] * 5, 5]]))
    assert "Best at fear (100% found), worst at happy (0% found)." in text
    assert "Too few faces to say how well it finds surprise (1)." in text
    assert "no temperature is fitted" not in text
    assert "too few to judge" not in text


def test_private_test_is_only_looked_at_when_asked(committee: list[Path]) -> None:
    data = faces(TRUE, SAID)
    with pytest.raises(EmotionEdgeError, match="PrivateTest has no faces"):
        find(committee[:1], data, final=True)
    half = np.arange(len(data)) % 2
    both = replace(data, split=np.where(half == 1, SPLITS.index("PrivateTest"), SPLITS.index("PublicTest")))
    found = find(committee[:1], both, final=True)
    assert [results[0].split for results in found.results] == ["PublicTest", "PrivateTest"]
    assert len(found.part) == 10
    text = evaluate(committee[:1], both, final=True)
    assert "fer7, PrivateTest" in text
    assert "PrivateTest is for the last figure of all" in text


def test_a_network_is_judged_on_faces_of_another_label_set(committee: list[Path]) -> None:
    # fer7 says angry, happy, fear, neutral; of compact4 that is negative, happy, negative, neutral.
    data = faces([0, 1, 2, 3], [[0, 3, 2, 6]], "compact4")
    found = find(committee[:1], data)
    assert [result.task.label_set for result in found.results[-1]] == ["compact4"]
    result = result_of(found, "compact4")
    assert result.predictions["ann"].labels.tolist() == [0, 1, 0, 3]
    assert result.figures["ann"].accuracy == 0.75


def test_labels_that_a_network_cannot_predict_are_named(tmp_path: Path) -> None:
    run = save_reader(tmp_path / "four", 0, ["compact4"])
    found = find([run], faces([3, 5, 6, 0], [[1, 2, 3, 0]]))
    assert result_of(found, "fer7").predictions["four"].labels.tolist()[:3] == [3, 5, 6]
    assert result_of(found, "compact4").figures["four"].accuracy == 1
    assert (
        "four has no head for fer7: its probabilities of compact4 are carried over to it; it cannot predict angry"
        in (evaluate([run], faces([3, 5, 6, 0], [[1, 2, 3, 0]])))
    )


def test_valence_and_arousal_of_a_head_are_judged_as_they_are(tmp_path: Path) -> None:
    run = save_reader(tmp_path / "affect", 0, ["fer7", "affect"], sure=1.0)
    data = faces([0, 1, 2, 3], [[0, 1, 2, 3]])
    said = np.array([[1.0, 0], [0, 1], [0, 0], [0, 0]], np.float32)
    found = find([run], replace(data, affect=said, affect_derived=False))
    assert [one.concordance for one in found.affects] == pytest.approx([1, 1])
    assert [one.derived for one in found.affects] == [False, False]
    text = evaluate([run], replace(data, affect=said, affect_derived=False))
    assert "which are measured" in text
    assert "derived valence" not in text
    unknown = replace(data, affect=np.full((4, 2), np.nan, np.float32))
    assert find([run], unknown).affects == ()


def test_jitter_costs_a_network_that_reads_single_pixels(committee: list[Path]) -> None:
    found = find(committee[:1], faces(TRUE, SAID))
    (jitter,) = found.jitters
    assert jitter.clean == 0.75
    assert len(set(jitter.moved)) > 1
    assert jitter.drop == pytest.approx(jitter.clean - np.mean(jitter.moved))
    assert 0.05 < jitter.interval[0] < jitter.drop < jitter.interval[1]
    assert find(committee[:1], faces(TRUE, SAID)).jitters == found.jitters


def test_faces_in_files_are_read_and_a_broken_one_is_left_out(committee: list[Path], tmp_path: Path) -> None:
    data = faces(TRUE, SAID)
    files = tuple(tmp_path / f"{row}.png" for row in data.rows)
    for row, (file, image) in enumerate(zip(files, data.pixels, strict=True)):
        larger = np.kron(image, np.ones((1 + row % 2, 1 + row % 2), np.uint8))
        cv2.imwrite(str(file), larger)
    files[3].write_bytes(files[3].read_bytes()[:60])
    found = find(committee[:1], replace(data, images=files))
    assert len(found.part) == len(data) - 1
    figures = result_of(found, "fer7").figures["ann"]
    assert (figures.rows, int(np.trace(figures.confusion))) == (19, 15)
    assert sorted(set(found.measures[1].values)) == [SIDE, 2 * SIDE]
    html, markdown = report(committee[:1], replace(data, images=files), tmp_path / "report")
    assert "shorter side of the face in its file" in markdown.read_text()
    assert html.read_text().count("<img") == 4 + 2 * 7  # the wrong faces; example and map of one face for each class
    assert "7.png" in html.read_text()


@pytest.mark.parametrize(
    ("folders", "label_sets", "message"),
    [
        (["nobody"], (), "nobody: holds neither a run"),
        (["ann", "ann"], (), "ann: named twice"),
        (["ann"], ("fer8",), "label set 'fer8': not known"),
        (["ann"], ("contempt-uncertain",), "ann has no head for any of contempt, uncertain"),
    ],
)
def test_what_cannot_be_judged_is_said(
    committee: list[Path], folders: list[str], label_sets: Sequence[str], message: str
) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        find([committee[0].parent / name for name in folders], faces(TRUE, SAID), label_sets=label_sets)


@pytest.fixture(scope="module")
def real_faces(fer2013: Dataset) -> Dataset:
    """400 random faces of PublicTest."""
    part = fer2013.part("PublicTest")
    return part.take(np.random.default_rng(3).permutation(len(part))[:400])


def test_the_released_model_holds_its_card_s_figures_and_stands_jitter(real_faces: Dataset) -> None:
    found = find([ROOT / "models" / "emotion-small"], real_faces)
    for label_set, expected in (("fer7", 0.671), ("ferplus8", 0.864)):
        result = result_of(found, label_set)
        figures = next(iter(result.figures.values()))
        assert abs(figures.accuracy - expected) <= 4 * np.sqrt(expected * (1 - expected) / figures.rows)
        assert figures.temperature == pytest.approx(found.members[0].card_temperatures[label_set], rel=0.35)
    assert all(not one.derived and one.concordance > 0.6 for one in found.affects)
    assert all(one.drop < 0.06 for one in found.jitters)
    assert "int8" in found.members[0].kind
