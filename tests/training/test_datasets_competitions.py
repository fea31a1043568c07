"""Data sets of competitions: a table beside folders, and folders that are neither class nor split."""

import csv
from pathlib import Path

import pytest

from edge.errors import EmotionEdgeError
from tests.training.test_datasets_layouts import NINE, counts, said, write_classes, write_image
from training.datasets import read_dataset

THREE = ("angry", "happy", "sad")


def competition(folder: Path, root: str = "./train/") -> Path:
    """Write a competition's train.csv, train/<class>, test_kaggle/ and sample_submission.csv."""
    write_classes(folder / "train", NINE, 10)
    rows = [("", "image_path", "emotion")]
    for name in NINE:
        rows += [(str(len(rows) + index - 1), f"{root}{name}/im{index}.jpg", name) for index in range(10)]
    for file, lines in (
        ("train.csv", rows),
        ("sample_submission.csv", [("image_path", "emotion"), ("0.jpg", "happy")]),
    ):
        with (folder / file).open("w", newline="") as table:
            csv.writer(table).writerows(lines)
    for index in range(5):
        write_image(folder / "test_kaggle" / f"{index}.jpg")
    return folder


@pytest.mark.parametrize("root", ["./train/", "train/", ""])
def test_the_table_of_a_competition_is_read(tmp_path: Path, root: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    data = read_dataset(competition(tmp_path, root))
    assert list(data.labels) == ["skillbox9"]
    assert counts(data) == [72, 9, 9]
    assert all(isinstance(file, Path) and file.is_file() and file.parts[-3] == "train" for file in data.images)
    assert f"{tmp_path}: left out as an example of a submission: sample_submission.csv" in caplog.text


def test_folders_beside_train_are_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    competition(tmp_path)
    (tmp_path / "train.csv").unlink()
    (tmp_path / "sample_submission.csv").unlink()
    data = read_dataset(tmp_path)
    assert (list(data.labels), len(data)) == (["skillbox9"], 90)
    assert f"{tmp_path}: folders that are no split or have no classes are left out: test_kaggle" in caplog.text


def test_a_test_folder_of_images_without_labels_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path / "train", THREE, 10)
    write_image(tmp_path / "test" / "1.jpg")
    data = read_dataset(tmp_path)
    assert counts(data) == [24, 3, 3]
    assert set(said(data)) == set(THREE)
    assert "left out: test" in caplog.text


def test_an_archive_that_has_its_images_twice_is_read_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in ("images", "images/images"):
        write_classes(tmp_path / folder / "train", THREE, 10)
        write_classes(tmp_path / folder / "validation", THREE, 2)
    data = read_dataset(tmp_path)
    assert counts(data) == [27, 6, 3]
    assert f"{tmp_path / 'images'}: folders that are no split or have no classes are left out: images" in caplog.text


def test_a_class_that_is_called_test_beside_emotions_is_no_split(tmp_path: Path) -> None:
    write_classes(tmp_path, ("happy", "sad", "test"), 3)
    with pytest.raises(EmotionEdgeError, match="test"):
        read_dataset(tmp_path)
