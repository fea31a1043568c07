"""The parts that `prepare` decides by: duplicates, outliers, likely wrong labels, splits."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge.emotion.committee import COMMITTEE_FILE, read_committee
from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from edge.reading import Image
from tests.conftest import ROOT
from tests.support.fer2013_files import pattern, write_files
from training.cleaning.duplicates import copies, exact_groups, near_pairs, together
from training.cleaning.label_errors import probabilities_by
from training.cleaning.outliers import modified_z, outliers
from training.datasets.dataset import Dataset, one_hot
from training.datasets.fer2013 import read_fer2013
from training.datasets.pixels import in_memory
from training.datasets.prepared import read_prepared
from training.datasets.splits import split_anew
from training.prepare import PrepareSettings, parse_split, prepare


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small matrices are no work for many threads, which only wait for each other on a busy machine."""
    with pytest.importorskip("threadpoolctl").threadpool_limits(1):
        yield


def thumbnails(astronaut: Image) -> npt.NDArray[np.uint8]:
    """The astronaut's face; it again, recompressed, mirrored, with a mark; and four other parts of the photograph."""
    grey = np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), np.uint8)
    face = cv2.resize(grey[60:200, 150:290], (48, 48), interpolation=cv2.INTER_AREA)
    recompressed = cv2.imdecode(cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_GRAYSCALE)
    marked = face.copy()
    cv2.putText(marked, "stock", (2, 44), cv2.FONT_HERSHEY_PLAIN, 0.7, (255,))
    others = [grey[y : y + 140, x : x + 140] for y, x in ((0, 0), (300, 0), (300, 300), (100, 370))]
    shrunk = [cv2.resize(other, (48, 48), interpolation=cv2.INTER_AREA) for other in others]
    return np.array([face, recompressed, face[:, ::-1], marked, *shrunk], np.uint8)


def test_near_duplicates_are_found_however_they_were_changed(astronaut: Image) -> None:
    pairs = near_pairs(thumbnails(astronaut))
    found = {frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)}
    assert {frozenset((0, other)) for other in (1, 2, 3)} <= found
    assert all(max(pair) < 4 for pair in found)
    assert 2 in pairs.second[pairs.mirrored]


def test_no_images_have_no_near_duplicates() -> None:
    assert len(near_pairs(np.empty((0, 48, 48), np.uint8)).first) == 0


def test_of_copies_the_highest_rank_stays_and_each_other_names_a_kept_one() -> None:
    first, second = np.array([0, 1, 3]), np.array([1, 2, 4])
    assert copies(first, second, np.array([0, 0, 0, 0, 2])) == {1: 0, 3: 4}
    assert copies(first, second, np.array([0, 2, 0, 0, 0])) == {0: 1, 2: 1, 4: 3}


def test_pairs_and_people_hold_together_what_a_chain_of_them_connects() -> None:
    groups = together(np.array([5, 1]), np.array([1, 2]), np.array([-1, -1, 7, 7, -1, -1, 9, -1]))
    assert groups[5] == groups[1] == groups[2] == groups[3] >= 0
    assert groups[6] >= 0
    assert groups[6] != groups[5]
    assert groups[[0, 4, 7]].tolist() == [-1, -1, -1]


def test_fer2013_has_the_known_exact_duplicates(fer2013: Dataset) -> None:
    groups = exact_groups([hashlib.sha256(image.tobytes()).digest() for image in fer2013.pixels])
    judged = fer2013.labels["fer7"].judged
    assert len(groups) == 1516
    assert sum(map(len, groups)) == 3369
    assert sum(len(set(fer2013.split[group])) > 1 for group in groups) == 557
    assert sum(len(set(judged[group])) > 1 for group in groups) == 57


def test_what_is_unlike_all_others_is_an_outlier() -> None:
    generator = np.random.default_rng(2)
    images = np.stack([pattern(number % 7, generator) for number in range(300)])
    images[17] = cv2.GaussianBlur(images[17], (0, 0), 6)
    sides = generator.integers(150, 250, 300)
    sides[200] = 9
    found = outliers(images, sides)
    assert set(found) == {17, 200}
    assert found[17].startswith("low sharpness")
    assert found[200].startswith("low size")
    assert outliers(images[:100], sides[:100]) == {}


def test_a_kind_of_image_is_no_outlier() -> None:
    generator = np.random.default_rng(2)
    images = np.stack([pattern(number % 7, generator) for number in range(300)])
    sides = np.where(np.arange(300) < 30, 20, generator.integers(150, 250, 300))
    assert outliers(images, sides) == {}


def test_a_modified_z_score_bears_values_that_are_all_alike() -> None:
    assert modified_z(np.array([5.0, 5.0, 5.0, 9.0])).tolist() == [0, 0, 0, 0]
    assert modified_z(np.array([1.0, 2.0, 3.0, 4.0, 100.0]))[4] == pytest.approx(0.6745 * 97)


def mislabelled(wrong: int = 8) -> tuple[Dataset, set[int]]:
    """210 faces of six patterns, a fifth of them in PublicTest, some of them with another's label; none is neutral."""
    generator = np.random.default_rng(4)
    true = np.arange(210) % 6
    images = np.stack([pattern(int(label), generator) for label in true])
    rows = generator.choice(210, wrong, replace=False)
    given = true.copy()
    given[rows] = (given[rows] + 1) % 6
    split = np.where(np.arange(210) % 5 == 0, 1, 0)
    labels = {"fer7": one_hot(LABEL_SETS["fer7"], given)}
    return Dataset("patterns", images, labels, None, False, split, np.arange(210)), set(rows.tolist())


def test_wrong_labels_are_listed_and_only_on_request_dropped_from_training(tmp_path: Path) -> None:
    data, wrong = mislabelled()
    settings = PrepareSettings(faces="full", near_duplicates=False)
    listed = prepare(data, tmp_path / "listed", settings)
    assert "label issue" not in listed.counts
    found = (tmp_path / "listed" / "label_issues.txt").read_text().splitlines()
    named = {int(line.split(":")[0].rsplit(" ", 1)[1]) for line in found}
    assert len(wrong & named) > len(wrong) / 2
    assert len(wrong & named) > len(named) / 2
    assert sum(listed.label_issues) == len(named)

    dropping = PrepareSettings(faces="full", near_duplicates=False, drop_label_issues=True)
    dropped = prepare(data, tmp_path / "dropped", dropping)
    assert dropped.counts["label issue"] == (listed.label_issues[0], 0, 0)
    assert dropped.label_issues == (0, listed.label_issues[1], 0)


def test_a_poor_judge_drops_nothing(tmp_path: Path, fer2013: Dataset, caplog: pytest.LogCaptureFixture) -> None:
    """The simple classifier on FER-2013's faces; and one that is good where too many labels are wrong."""
    poor = fer2013.take(fer2013.split == 1).take(np.arange(200))
    poor = replace(poor, split=np.zeros(len(poor), np.int64))
    drop = PrepareSettings(faces="full", near_duplicates=False, drop_label_issues=True)
    with pytest.raises(EmotionEdgeError, match=r"simple classifier.* agrees with only [2-5]\d% of the labels"):
        prepare(poor, tmp_path / "out", drop)
    assert not (tmp_path / "out").exists()
    with caplog.at_level("INFO"):
        prepare(poor, tmp_path / "out", replace(drop, drop_label_issues=False))
    assert re.search(r"likely wrong labels: \d+, by a simple .* agrees with [2-5]\d% of the labels", caplog.text)

    data, _ = mislabelled(wrong=30)
    with pytest.raises(
        EmotionEdgeError, match=r"would leave out [12]\d of 168 faces of Training \(1\d%; 10% at most\)"
    ):
        prepare(data, tmp_path / "many", drop)


def test_a_trained_network_may_judge_the_labels(tmp_path: Path, fer2013: Dataset) -> None:
    data = fer2013.take(fer2013.split == 1).take(np.arange(500))
    model = ROOT / "models" / "emotion-small"
    summary = prepare(data, tmp_path / "out", PrepareSettings(faces="full", judge=model))
    fer7, plus = data.labels["fer7"], data.labels["ferplus8"]
    differ = np.array([fer7.names[one] != plus.names[two] for one, two in zip(fer7.judged, plus.judged, strict=True)])
    issues = (tmp_path / "out" / "label_issues.txt").read_text().splitlines()
    assert len(issues) == sum(summary.label_issues) < 200
    listed = np.searchsorted(data.rows, [int(line.split(":")[0].rsplit(" ", 1)[1]) for line in issues])
    # The voters of FER+ call other names far more often where the network found the label wrong.
    assert differ[listed][plus.judged[listed] >= 0].mean() > 2 * differ[plus.judged >= 0].mean()


def test_a_committee_may_judge_the_labels(tmp_path: Path) -> None:
    data, _ = mislabelled()
    models = ROOT / "models"
    settings = PrepareSettings(faces="full", near_duplicates=False, judge=models / "committee")
    assert sum(prepare(data, tmp_path / "out", settings).counts["kept"]) == 210

    said = probabilities_by(models / "committee", data.pixels, data)
    seen = [data.pixels, data.pixels[:, :, ::-1]]
    members = [member.model for member in read_committee(models / "committee" / COMMITTEE_FILE).members]
    # The mean of logits is, but for the sum, the mean of the logarithms of probabilities.
    both = [np.mean([np.log(probabilities_by(models / name, view, data)) for view in seen], axis=0) for name in members]
    each = [np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True) for mean in both]
    assert len(each) == 3
    assert said.shape == (210, 7)
    assert said.sum(axis=1) == pytest.approx(1)
    assert np.abs(said - np.mean(each, axis=0)).max() < 0.02
    assert min(np.abs(said - one).max() for one in each) > 0.1

    odd = replace(data, labels={"odd": one_hot(("bored", "tired"), np.arange(210) % 2)})
    with pytest.raises(EmotionEdgeError, match=r"its member emotion-large: .*cannot judge bored, tired"):
        probabilities_by(models / "committee", data.pixels, odd)


def test_a_judge_that_does_not_know_the_classes_is_refused(tmp_path: Path) -> None:
    data, _ = mislabelled()
    odd = {"odd": one_hot(("bored", "tired"), np.arange(210) % 2)}
    model = ROOT / "models" / "emotion-small"
    boredom = Dataset("odd", data.images, odd, None, False, data.split, data.rows)
    with pytest.raises(EmotionEdgeError, match="cannot judge bored, tired"):
        prepare(boredom, tmp_path / "out", PrepareSettings(faces="full", near_duplicates=False, judge=model))


def test_new_splits_hold_the_shares_in_every_class() -> None:
    labels = np.repeat([0, 1, 2], (600, 300, 100))
    split = split_anew(labels, None, (80, 10, 10), seed=1)
    for label, count in ((0, 600), (1, 300), (2, 100)):
        assert np.bincount(split[labels == label]).tolist() == [0.8 * count, 0.1 * count, 0.1 * count]
    np.testing.assert_array_equal(split, split_anew(labels, None, (80, 10, 10), seed=1))
    assert (split != split_anew(labels, None, (80, 10, 10), seed=2)).any()


def test_new_splits_tear_nobody_apart() -> None:
    generator = np.random.default_rng(6)
    people = generator.integers(0, 40, 1000)
    people[:100] = -1
    split = split_anew(generator.integers(0, 5, 1000), people, (70, 15, 15), seed=1)
    assert all(len(set(split[people == person])) == 1 for person in range(40))
    assert len(set(split[people == -1])) == 3
    assert np.bincount(split) / 1000 == pytest.approx([0.7, 0.15, 0.15], abs=0.05)


def test_whoever_has_half_of_the_faces_is_learned_from() -> None:
    people = np.concatenate([np.zeros(100, np.int64), 1 + np.arange(100) // 5])
    split = split_anew(np.arange(200) % 4, people, (80, 10, 10), seed=0)
    assert set(split[people == 0]) == {0}
    assert np.bincount(split) / 200 == pytest.approx([0.8, 0.1, 0.1], abs=0.1)
    assert split_anew(np.arange(200) % 4, people, (80, 10, 10), seed=1)[0] == 0


def test_a_split_without_a_share_stays_empty() -> None:
    assert np.bincount(split_anew(np.arange(100) % 4, None, (80, 20, 0), seed=0), minlength=3).tolist() == [80, 20, 0]


def test_too_few_people_to_split_are_an_error() -> None:
    with pytest.raises(EmotionEdgeError, match="too few faces or people"):
        split_anew(np.arange(30) % 3, np.arange(30) % 2, (80, 10, 10), seed=0)


def test_shares_are_read_or_refused() -> None:
    assert parse_split("80/10/10") == (80, 10, 10)
    refused = {"80/20": "not three", "80/10/5": "sum to 95", "a/b/c": "not three", "0/50/50": "none for Training"}
    for text, message in refused.items():
        with pytest.raises(EmotionEdgeError, match=message):
            parse_split(text)


def test_a_prepared_fer2013_reads_back_to_the_same(tmp_path: Path, fer2013: Dataset) -> None:
    chosen = np.concatenate([np.flatnonzero(fer2013.split == split)[:120] for split in range(3)])
    data = fer2013.take(chosen)
    summary = prepare(data, tmp_path / "out", PrepareSettings(faces="full"))
    back = read_prepared(tmp_path / "out")
    same = data.take(np.isin(data.rows, back.rows))
    assert len(back) == len(same) == sum(summary.counts["kept"]) > 300
    np.testing.assert_array_equal(back.rows, same.rows)
    np.testing.assert_array_equal(back.split, same.split)
    assert list(back.labels) == list(same.labels)
    for label_set, labels in same.labels.items():
        assert back.labels[label_set].names == labels.names
        np.testing.assert_array_equal(back.labels[label_set].judged, labels.judged)
        np.testing.assert_array_equal(back.labels[label_set].probabilities, labels.probabilities)
    assert back.affect is not None
    assert same.affect is not None
    assert back.affect_derived
    np.testing.assert_array_equal(back.affect, same.affect)
    np.testing.assert_array_equal(in_memory(back, 48, 48, 1).pixels, same.pixels)


def test_new_splits_are_made_of_what_is_kept(tmp_path: Path) -> None:
    data = read_fer2013(write_files(tmp_path / "fer", training=140, test=30))
    settings = PrepareSettings(faces="full", near_duplicates=False, split=(70, 20, 10))
    assert prepare(data, tmp_path / "out", settings).counts["kept"] == (140, 40, 20)


def twins() -> Dataset:
    """Sixty smooth images, and each again with two grey levels of noise; all in Training."""
    generator = np.random.default_rng(8)
    first = np.stack([smooth(generator) for _ in range(60)])
    second = first + generator.integers(-2, 3, first.shape)
    labels = np.concatenate([np.arange(60) % 3, np.arange(60) % 3])
    images = np.clip(np.concatenate([first, second]), 0, 255).astype(np.uint8)
    zero = np.zeros(120, np.int64)
    return Dataset(
        "twins", images, {"three": one_hot(("happy", "neutral", "sad"), labels)}, None, False, zero, np.arange(120)
    )


def smooth(generator: np.random.Generator) -> npt.NDArray[np.int64]:
    """Grey int64 [48, 48], 20 to 235, with large soft patches that are in no other."""
    coarse = generator.integers(0, 256, (8, 8)).astype(np.uint8)
    soft = cv2.resize(coarse, (48, 48), interpolation=cv2.INTER_CUBIC)
    return np.clip(soft, 20, 235).astype(np.int64)


def splits_of(folder: Path) -> dict[int, int]:
    """The split of each kept face by its row."""
    data = read_prepared(folder)
    return dict(zip(data.rows.tolist(), data.split.tolist(), strict=True))


def test_near_duplicates_that_stay_are_in_one_split(tmp_path: Path) -> None:
    settings = PrepareSettings(faces="full", near_duplicates=False, split=(80, 10, 10))
    summary = prepare(twins(), tmp_path / "out", settings)
    assert sum(summary.counts["kept"]) == 120
    assert np.array(summary.counts["kept"]) / 120 == pytest.approx([0.8, 0.1, 0.1], abs=0.05)
    found = splits_of(tmp_path / "out")
    assert [row for row in range(60) if found[row] != found[row + 60]] == []


def test_of_near_duplicates_in_two_splits_of_the_data_set_one_stays(tmp_path: Path) -> None:
    data = twins()
    data.split[:10], data.split[65:75] = 1, 2
    prepare(data, tmp_path / "out", PrepareSettings(faces="full", near_duplicates=False))
    found = splits_of(tmp_path / "out")
    assert [
        row for row in range(60) if found.get(row, -1) != found.get(row + 60, -1) and {row, row + 60} <= set(found)
    ] == []
    # Of PublicTest and PrivateTest the latter's stays, of Training's the other; twins in one split both do.
    assert set(range(120)) - set(found) == {*range(60, 65), *range(5, 15)}


def test_people_who_look_alike_are_not_one(tmp_path: Path) -> None:
    data = twins()
    noise = np.random.default_rng(9).integers(-30, 31, (60, 48, 48))
    data.pixels[60:] = np.clip(data.pixels[:60].astype(np.int64) + noise, 0, 255)
    data.split[60:] = 2
    settings = PrepareSettings(faces="full", near_duplicates=False)
    assert prepare(data, tmp_path / "strangers", settings).counts["kept"] == (0, 0, 60)
    named = replace(data, people=np.arange(120))
    assert prepare(named, tmp_path / "known", settings).counts["kept"] == (60, 0, 60)
