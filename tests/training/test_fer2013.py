"""Reading FER-2013 and FER+: complete, cleaned, and with errors in a file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX
from tests.support.fer2013_files import face_line, pattern, write_files
from training.datasets.dataset import SPLITS, Dataset, clean_training
from training.datasets.fer2013 import VOTES, ferplus_targets, multilabel_targets, read_fer2013

FACE = pattern(0, np.random.default_rng(0))


def test_small_files_are_read_in_order(tmp_path: Path) -> None:
    data = read_fer2013(write_files(tmp_path, training=14, test=7))
    assert data.pixels.shape == (28, 48, 48)
    assert data.pixels.dtype == np.uint8
    assert data.labels["fer7"].judged.tolist() == [*range(7), *range(7), *range(7), *range(7)]
    assert data.labels["fer7"].probabilities.argmax(axis=1).tolist() == data.labels["fer7"].judged.tolist()
    assert [len(data.part(split)) for split in SPLITS] == [14, 7, 7]
    votes = data.labels["ferplus8"]
    assert votes.probabilities[:7].argmax(axis=1).tolist() == [4, 5, 6, 1, 3, 2, 0]
    assert votes.judged[:7].tolist() == [4, 5, 6, 1, 3, 2, 0]
    assert data.affect is not None
    assert data.affect_derived
    assert data.affect[3].tolist() == pytest.approx(CIRCUMPLEX["happy"])


def test_without_the_votes_file_there_are_no_votes(tmp_path: Path) -> None:
    (write_files(tmp_path) / "fer2013new.csv").unlink()
    data = read_fer2013(tmp_path / "fer2013.csv")
    assert list(data.labels) == ["fer7"]
    assert data.affect is None
    assert not data.affect_derived


def test_votes_become_targets_as_the_paper_says() -> None:
    counts = np.array(
        [
            [8, 1, 0, 0, 1, 0, 0, 0, 0, 0],  # single votes dropped: all neutral
            [4, 4, 0, 0, 0, 0, 0, 0, 2, 0],  # two halves: a distribution, but no majority
            [0, 3, 0, 0, 0, 0, 0, 0, 7, 0],  # mostly unknown: no majority
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nothing left
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face
        ]
    )
    votes, majority = ferplus_targets(counts)
    assert votes[0].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert votes[1].tolist() == [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    assert votes[2].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert not votes[3:].any()
    assert majority.tolist() == [0, -1, -1, -1, -1]


def test_votes_become_several_labels_as_the_paper_says() -> None:
    counts = np.array(
        [
            [5, 3, 2, 0, 0, 0, 0, 0, 0, 0],  # 30% is enough, 20% is not
            [5, 4, 1, 0, 0, 0, 0, 0, 0, 0],  # the single vote is dropped before shares are taken
            [3, 0, 0, 0, 0, 0, 0, 0, 4, 3],  # mostly unknown
            [2, 2, 2, 2, 2, 0, 0, 0, 0, 0],  # no class has enough
            [5, 2, 2, 0, 0, 0, 0, 0, 0, 0],  # one has enough, and more than half of what is left
            [4, 2, 2, 2, 0, 0, 0, 0, 0, 0],  # one has enough, but no more than half
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],  # nothing left
        ]
    )
    targets = multilabel_targets(counts)
    assert targets.dtype == np.float32
    assert targets[:2].tolist() == [[0.5, 0.5, 0, 0, 0, 0, 0, 0]] * 2
    assert targets[4].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert not targets[[2, 3, 5, 6]].any()


def test_votes_are_learned_in_the_chosen_way(tmp_path: Path) -> None:
    folder = write_files(tmp_path, training=14, test=7)
    replace_line("fer2013new.csv", 2, "Training,a.png,4,3,3,0,0,0,0,0,0,0")(folder)
    rows = {way: read_fer2013(folder, way).labels["ferplus8"] for way in VOTES}
    assert rows["distribution"].probabilities[0, :3].tolist() == pytest.approx([0.4, 0.3, 0.3])
    assert not rows["majority"].probabilities[0].any()
    assert rows["multilabel"].probabilities[0, :3].tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    for labels in rows.values():
        assert labels.judged[:3].tolist() == [-1, 5, 6]
        assert labels.probabilities[1].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    with pytest.raises(EmotionEdgeError, match=r"votes 'most': not known \(known: distribution, majority, multilabel"):
        read_fer2013(folder, "most")


def test_training_loses_blank_faces_and_those_of_the_other_splits() -> None:
    generator = np.random.default_rng(1)
    kept, shared = pattern(1, generator), pattern(2, generator)
    images = np.stack([kept, shared, np.full((48, 48), 7, np.uint8), shared, kept + np.uint8(0)])
    split = np.array([0, 0, 0, 1, 0])
    data = Dataset("test", images, {}, None, False, split, np.arange(5))
    assert clean_training(data).rows.tolist() == [0, 3, 4]


def replace_line(name: str, line: int, text: str) -> Callable[[Path], None]:
    """Return a function that replaces a line (from 1) of a file."""

    def act(folder: Path) -> None:
        lines = (folder / name).read_text().splitlines()
        lines[line - 1] = text
        (folder / name).write_text("\n".join(lines) + "\n")

    return act


def drop_last_line(name: str) -> Callable[[Path], None]:
    """Return a function that removes the last line of a file."""

    def act(folder: Path) -> None:
        (folder / name).write_text("\n".join((folder / name).read_text().splitlines()[:-1]) + "\n")

    return act


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "fer2013.csv").unlink(), r"fer2013\.csv: not there; give the folder"),
        (
            lambda folder: (folder / "fer2013.csv").write_text(""),
            r"no column emotion, pixels, Usage \(header found: an empty file;",
        ),
        (lambda folder: (folder / "fer2013.csv").write_text("emotion,pixels,Usage\n"), "no rows after the header"),
        (
            replace_line("fer2013.csv", 1, "emotion,image,Usage"),
            r"no column pixels \(header found: emotion, image, Usage;",
        ),
        (
            replace_line("fer2013.csv", 3, face_line(0, FACE.ravel()[:-1], "Training")),
            "line 3: 2303 pixels instead of 2304",
        ),
        (
            replace_line("fer2013.csv", 4, face_line(7, FACE, "Training")),
            "line 4: emotion '7' is no number from 0 to 6",
        ),
        (replace_line("fer2013.csv", 5, face_line("happy", FACE, "Training")), "line 5: emotion 'happy' is no number"),
        (
            replace_line("fer2013.csv", 6, "0," + "256 " * 2304 + ",Training"),
            "line 6: a pixel is no number from 0 to 255",
        ),
        (
            replace_line("fer2013.csv", 6, "0," + "x " * 2304 + ",Training"),
            "line 6: a pixel is no number from 0 to 255",
        ),
        (
            replace_line("fer2013.csv", 7, face_line(0, FACE, "Test")),
            "line 7: Usage 'Test' is none of Training, PublicTest",
        ),
        (replace_line("fer2013.csv", 8, "0"), "line 8: 1 of 3 columns"),
        (replace_line("fer2013new.csv", 1, "Usage,neutral"), r"fer2013new\.csv: no column happiness"),
        (replace_line("fer2013new.csv", 3, "Training,a.png,x,0,0,0,0,0,0,0,0,0"), "line 3: a vote is no whole number"),
        (
            replace_line("fer2013new.csv", 2, "PublicTest,a.png,9,0,0,0,0,0,0,0,0,0"),
            "line 2: not the same rows as fer2013",
        ),
        (drop_last_line("fer2013new.csv"), r"fer2013new\.csv: 27 rows, but fer2013\.csv has 28"),
        (drop_last_line("fer2013.csv"), r"fer2013new\.csv, line 29: not the same rows as fer2013\.csv"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(tmp_path: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = write_files(tmp_path, training=14, test=7)
    spoil(folder)
    with pytest.raises(EmotionEdgeError, match=message):
        read_fer2013(folder)


def test_a_split_that_is_not_there_is_said(tmp_path: Path) -> None:
    data = read_fer2013(write_files(tmp_path, training=14, test=0))
    with pytest.raises(EmotionEdgeError, match="the split PublicTest has no faces"):
        data.part("PublicTest")


def test_the_whole_of_fer2013_has_its_known_counts(fer2013: Dataset) -> None:
    data = fer2013
    assert [len(data.part(split)) for split in SPLITS] == [28709, 3589, 3589]
    assert np.bincount(data.labels["fer7"].judged).tolist() == [4953, 547, 5121, 8989, 6077, 4002, 6198]
    votes = data.labels["ferplus8"]
    sums = votes.probabilities.sum(axis=1)
    assert np.all((sums == 0) | np.isclose(sums, 1))
    assert not sums[[5274, 33200]].any()
    assert data.affect is not None
    assert np.array_equal(np.isnan(data.affect).all(axis=1), sums == 0)
    # 3,153 rows of PrivateTest have a majority; row 33200 is left out.
    assert np.count_nonzero(votes.judged[data.split == 2] >= 0) == 3152
    cleaned = clean_training(data)
    held_out = {image.tobytes() for image in cleaned.pixels[cleaned.split > 0]}
    assert not any(image.tobytes() in held_out for image in cleaned.part("Training").pixels)
    assert [len(cleaned.part(split)) for split in SPLITS] == [28006, 3589, 3589]
