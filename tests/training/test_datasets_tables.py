"""Data sets described by tables: AffectNet, CSV files with paths, pairs of .npy files, prepared folders."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS, labels_of
from tests.support.fer2013_files import write_files
from tests.training.test_datasets_layouts import counts, said, write_image
from training.datasets import npy, read_dataset
from training.datasets.dataset import SPLITS, Dataset, Labels, one_hot
from training.datasets.manifest import Verdict, write_facts, write_manifest
from training.datasets.pixels import in_memory
from training.datasets.tables import rows
from training.explore import explore
from training.prepare import PrepareSettings, prepare

AFFECTNET = (
    "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    "689/a.jpg,0,0,6,6,134.0;1.0,1,0.785714,-0.055556\n"
    "689/b.jpg,8,4,12,12,134.0;1.0,0,-0.017253,0.004313\n"
    "7/c.png,4,4,12,12,134.0;1.0,8,0.174603,0.007937\n"
    "7/d.jpg,4,4,12,12,134.0;1.0,9,-2,-2\n"
    "7/e.jpg,4,4,12,12,134.0;1.0,10,-2,-2\n"
    "7/f.jpg,4,4,12,12,134.0;1.0,6,-0.6,0.7\n"
)


def write_affectnet(folder: Path, text: str = AFFECTNET) -> Path:
    """Write AffectNet's training.csv and validation.csv beside Manually_Annotated_Images/."""
    for name in ("689/a.jpg", "689/b.jpg", "7/c.png", "7/d.jpg", "7/e.jpg", "7/f.jpg"):
        write_image(folder / "Manually_Annotated_Images" / name, 60)
    (folder / "training.csv").write_text(text)
    (folder / "validation.csv").write_text("\n".join(text.splitlines()[:3]) + "\n")
    return folder


def test_affectnet_has_measured_affect_boxes_and_its_own_splits(tmp_path: Path) -> None:
    data = read_dataset(write_affectnet(tmp_path))
    assert data.name == "AffectNet"
    assert list(data.labels) == ["ferplus8"]
    # `none` stays for its affect, `uncertain` without affect and `no face` go.
    assert said(data) == ["happy", "neutral", "", "angry", "happy", "neutral"]
    assert data.affect is not None
    assert not data.affect_derived
    assert data.affect[2].tolist() == pytest.approx([0.174603, 0.007937])
    assert counts(data)[1] == 2
    assert data.boxes is not None
    assert data.boxes[1].tolist() == [8, 4, 12, 12]
    pixels = in_memory(data, 12, 12, 1).pixels
    # The first box is the white corner and a rim, the second has none of it.
    assert pixels[0].max() > 200
    assert np.abs(pixels[1].astype(int) - 60).max() <= 8


def test_affectnet_says_uncertain_where_the_label_set_can(tmp_path: Path) -> None:
    data = read_dataset(write_affectnet(tmp_path) / "training.csv", label_set="skillbox9")
    assert said(data) == ["happy", "neutral", "", "uncertain", "angry"]
    assert data.affect is not None
    assert np.isnan(data.affect[3]).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expression,", "", r"no column expression"),
        ("134.0;1.0,6,", "134.0;1.0,11,", r"training\.csv, line 7: expression '11' is no number from 0 to 10"),
        ("-0.6,0.7", "-0.6,1.7", r"line 7: valence -0\.6, arousal 1\.7: not from -1 to 1"),
        ("-0.6,0.7", "-0.6,high", r"line 7: valence -0\.6, arousal high"),
        ("b.jpg,8,4,12", "b.jpg,8,4,0", r"line 3: a face box of 0 x 12 pixels"),
        ("b.jpg,8,", "b.jpg,NULL,", r"line 3: a face box is no number"),
        ("7/f.jpg,4,4,12,12,134.0;1.0,6,-0.6,0.7", "7/f.jpg,4", r"line 7: 2 of 9 columns"),
    ],
)
def test_wrong_values_of_affectnet_are_refused_with_their_line(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    write_affectnet(tmp_path, AFFECTNET.replace(old, new))
    with pytest.raises(EmotionEdgeError, match=message):
        read_dataset(tmp_path, "affectnet")


def test_affectnet_without_its_images_says_where_it_looked(tmp_path: Path) -> None:
    (tmp_path / "training.csv").write_text(AFFECTNET)
    with pytest.raises(EmotionEdgeError, match=r"none of its images is there: 689/a\.jpg .*Manually_Annotated_Images"):
        read_dataset(tmp_path)


def write_table(folder: Path, *lines: str) -> Path:
    """Write a CSV file of these lines, and the images a.png to d.png."""
    for name in "abcd":
        write_image(folder / "faces" / f"{name}.png")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return folder / "faces.csv"


def test_a_table_of_paths_says_everything(tmp_path: Path) -> None:
    table = write_table(
        tmp_path,
        "Person,path,label,valence,arousal,split",
        "anna,faces/a.png,Happiness,0.5,0.25,train",
        "ben,faces/b.png,sad,,,val",
        f"anna,{tmp_path / 'faces' / 'c.png'},,-0.5,-2,test",
        "ben,faces/d.png,,-0.5,0.1,test",
    )
    data = read_dataset(table)
    assert list(data.labels) == ["happy-sad"]
    assert said(data) == ["happy", "sad", ""]
    assert data.rows.tolist() == [0, 1, 3]
    assert data.split.tolist() == [0, 1, 2]
    assert data.people is not None
    assert data.people.tolist() == [0, 1, 1]
    assert data.affect is not None
    assert not data.affect_derived
    assert data.affect[0].tolist() == [0.5, 0.25]
    assert np.isnan(data.affect[1]).all()
    assert len(in_memory(read_dataset(tmp_path), 16, 16, 3)) == 3


def test_a_table_of_valence_and_arousal_alone_is_a_data_set(tmp_path: Path) -> None:
    table = write_table(
        tmp_path, "path,valence,arousal", *(f"faces/{name}.png,0.{number},-0.25" for number, name in enumerate("abcd"))
    )
    data = read_dataset(table)
    assert list(data.labels) == ["fer7"]
    assert said(data) == [""] * 4
    assert data.affect is not None
    assert not data.affect_derived
    assert data.affect.tolist() == pytest.approx(np.array([[0, -0.25], [0.1, -0.25], [0.2, -0.25], [0.3, -0.25]]))
    assert list(read_dataset(table, label_set="happy-sad").labels) == ["happy-sad"]
    page = explore(data, tmp_path / "page.html").read_text(encoding="utf-8")
    assert "4 faces, the darker the more" in page
    prepare(data, tmp_path / "prepared", PrepareSettings(faces="full", near_duplicates=False))
    assert read_dataset(tmp_path / "prepared").affect is not None


def test_a_table_that_says_nothing_of_any_face_is_refused(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,valence,arousal", "faces/a.png,-2,-2", "faces/b.png,,")
    with pytest.raises(EmotionEdgeError, match="no face has a label"):
        read_dataset(table)


def test_numbers_count_in_the_label_set_or_the_mapping(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label", "faces/a.png,3", "faces/b.png,4")
    assert said(read_dataset(table, label_set="fer7")) == ["happy", "sad"]
    (tmp_path / "names.yaml").write_text("3: fear\n4: angry\n")
    assert said(read_dataset(table, mapping=tmp_path / "names.yaml")) == ["fear", "angry"]
    with pytest.raises(EmotionEdgeError, match=r"faces\.csv, line 2: label 3 is a number: say what it counts"):
        read_dataset(table)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["path,label", "faces/a.png,0", "faces/b.png,7"], r"line 3: label 7 is out of range: fer7 has 0 to 6"),
        (["path,label", "faces/a.png,-1"], r"line 2: label -1 is out of range"),
        (["path,label", "faces/a.png,cross"], r"no known emotion: cross"),
        (["path,label,split", "faces/a.png,sad,later"], r"line 2: split 'later' is none of train, val, test"),
        (
            ["path,label,split", "faces/a.png,sad,train", "faces/b.png,happy,"],
            "line 3: no split, where others have one",
        ),
        (["path,label", "faces/a.png"], r"line 2: 1 of 2 columns"),
        (["path,label", "x.png,sad"], r"none of its images is there: x\.png"),
        (["path,label"], "no rows after the header"),
        (["path,name", "faces/a.png,x"], r"no column path with label, .*\(found: path, name\)"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(EmotionEdgeError, match=message):
        read_dataset(write_table(tmp_path, *lines), "csv", label_set="fer7")


def test_two_tables_are_not_guessed_between(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label", "faces/a.png,sad")
    (tmp_path / "more.csv").write_text(table.read_text())
    with pytest.raises(EmotionEdgeError, match=r"but faces\.csv, more\.csv; name the one to read"):
        read_dataset(tmp_path, "csv")


def write_pairs(folder: Path, classes: int = 7) -> Path:
    """Write grey float images with class numbers for training, and the same images with one-hot labels for test."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 10 * classes), ("test", classes)):
        np.save(folder / f"X_{split}.npy", generator.random((count, 24, 24, 1), np.float32))
        np.save(folder / f"Y_{split}.npy", np.arange(count) % classes)
    return folder


def test_npy_pairs_are_read_by_split_and_guessed_by_their_classes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = read_dataset(write_pairs(tmp_path))
    assert list(data.labels) == ["fer7"]
    assert "7 classes are taken for fer7" in caplog.text
    assert counts(data) == [63, 7, 7]
    assert said(data.part("PrivateTest")) == list(labels_of("fer7"))
    assert data.pixels.shape == (77, 24, 24)
    first = np.load(tmp_path / "X_train.npy")[0, ..., 0]
    assert np.abs(data.pixels[0] / 255 - first).max() <= 0.5 / 255 + 1e-6


def test_npy_colours_become_bgr_and_distributions_stay(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[..., 0] = 200
    np.save(tmp_path / "X.npy", images)
    shares = np.array([[1, 0, 0], [0, 1, 0], [0.25, 0, 0.75], [0, 0.5, 0.5]])
    np.save(tmp_path / "y.npy", shares)
    data = read_dataset(tmp_path, label_set="happy-sad-fear")
    assert data.pixels[0, 0, 0].tolist() == [0, 0, 200]
    assert np.array_equal(data.labels["happy-sad-fear"].probabilities, shares.astype(np.float32))
    assert said(data) == ["happy", "sad", "fear", "sad"]
    (tmp_path / "names.yaml").write_text("0: happy\n1: null\n2: sad\n")
    mapped = read_dataset(tmp_path, mapping=tmp_path / "names.yaml")
    assert said(mapped) == ["happy", "", "sad", "sad"]
    with pytest.raises(EmotionEdgeError, match=r"3 classes, which no label set has \(4 as compact4"):
        read_dataset(tmp_path)


def test_a_number_of_classes_that_fits_several_label_sets_is_not_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "X.npy", np.zeros((7, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.arange(7))
    monkeypatch.setattr(npy, "LABEL_SETS", {**LABEL_SETS, "other7": tuple("abcdefg")})
    with pytest.raises(EmotionEdgeError, match=r"7 classes, which several label sets have \(.*7 as fer7, 7 as other7"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("Y_train", np.zeros(5, np.int64), r"Y_train\.npy: 5 labels, but X_train\.npy has 70 images"),
        ("Y_train", np.full(70, 7), "8 classes, but the label set fer7 has 7"),
        ("Y_train", np.full(70, -1), r"Y_train\.npy: labels are class numbers from 0"),
        ("Y_train", np.full(70, 0.5), r"Y_train\.npy: labels are class numbers from 0"),
        ("Y_train", np.ones((70, 7)), "labels are neither all class numbers"),
        ("Y_train", np.array(["happy"] * 70), r"Y_train\.npy: no array of numbers"),
        ("X_train", np.zeros((70, 24)), r"X_train\.npy: shape \(70, 24\), but images are"),
        ("X_train", np.full((70, 24, 24), -0.5), r"X_train\.npy: pixels from -0\.5 to -0\.5"),
        ("X_train", np.zeros((70, 32, 32)), r"images of \(24, 24\), but X_train\.npy has \(32, 32\)"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, name: str, array: npt.NDArray[Any], message: str) -> None:
    np.save(write_pairs(tmp_path) / f"{name}.npy", array)
    with pytest.raises(EmotionEdgeError, match=message):
        read_dataset(tmp_path, label_set="fer7")


def test_a_broken_npy_file_is_named(tmp_path: Path) -> None:
    (write_pairs(tmp_path) / "X_test.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(EmotionEdgeError, match=r"X_test\.npy: cannot be read as an array"):
        read_dataset(tmp_path)


def write_prepared(folder: Path) -> Dataset:
    """Write a prepared folder of four faces, the second left out; returns the original data set."""
    shares = np.array([[0.7, 0.3], [0, 0], [0, 0], [0, 1]], np.float32)
    labels = {
        "fer7": one_hot(labels_of("fer7"), np.array([3, 0, 6, -1])),
        "happy-sad": Labels(("happy", "sad"), shares, np.array([0, -1, -1, 1])),
    }
    affect = np.array([[0.1, 1 / 3], [0, 0], [np.nan, np.nan], [-1, 1]], np.float32)
    people = np.array([4, 4, -1, 9])
    split = np.array([0, 0, 1, 2])
    data = Dataset("mine", np.zeros((4, 8, 8), np.uint8), labels, affect, True, split, np.arange(10, 14), people)
    files = ["images/0.png", "", "images/2.png", "images/3.png"]
    for file in filter(None, files):
        write_image(folder / file)
    nothing = np.full(4, -1)
    write_manifest(folder, data, Verdict(["", "blank", "", ""], [""] * 4, nothing, nothing, split), files)
    write_facts(folder, data, "crop", {}, {})
    return data


def test_a_prepared_folder_gives_back_what_was_kept(tmp_path: Path) -> None:
    kept = write_prepared(tmp_path).take(np.array([0, 2, 3]))
    data = read_dataset(tmp_path)
    assert data.name == "mine (prepared)"
    assert list(data.labels) == list(kept.labels)
    for name, labels in kept.labels.items():
        assert data.labels[name].names == labels.names
        assert np.array_equal(data.labels[name].probabilities, labels.probabilities)
        assert np.array_equal(data.labels[name].judged, labels.judged)
    assert data.affect is not None
    assert kept.affect is not None
    assert np.array_equal(data.affect, kept.affect, equal_nan=True)
    assert data.affect_derived
    assert data.rows.tolist() == [10, 12, 13]
    assert data.people is not None
    assert data.people.tolist() == [4, -1, 9]
    assert [len(data.part(split)) for split in SPLITS] == [1, 1, 1]
    assert len(in_memory(data, 24, 24, 1)) == 3


def test_an_unfinished_prepared_folder_is_refused(tmp_path: Path) -> None:
    write_prepared(tmp_path)
    (tmp_path / "prepared.json").unlink()
    with pytest.raises(EmotionEdgeError, match=r"no manifest\.csv with prepared\.json; let emotion-train prepare"):
        read_dataset(tmp_path)


def test_fer2013_is_recognised_and_carried_to_another_set(tmp_path: Path) -> None:
    write_files(tmp_path, training=14, test=7)
    assert list(read_dataset(tmp_path).labels) == ["fer7", "ferplus8"]
    assert list(read_dataset(tmp_path / "fer2013.csv", label_set="compact4").labels) == ["compact4"]
    with pytest.raises(EmotionEdgeError, match=r"votes 'all': not known \(known: distribution, majority, multilabel"):
        read_dataset(tmp_path, votes="all")


@pytest.mark.parametrize("name", ["icml_face_data.csv", "fer2013.CSV"])
def test_fer2013_is_found_under_its_other_names(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, training=14, test=7)
    (tmp_path / "fer2013.csv").rename(tmp_path / name)
    # As downloaded from Kaggle: spaces in the header, and other files that lack columns.
    (tmp_path / name).write_text(
        (tmp_path / name).read_text().replace("emotion,pixels,Usage", "emotion, pixels, Usage")
    )
    (tmp_path / "train.csv").write_text("emotion,pixels\n")
    (tmp_path / "test.csv").write_text("pixels\n")
    for path in (tmp_path, tmp_path / name):
        data = read_dataset(path)
        assert data.name == "FER-2013"
        assert list(data.labels) == ["fer7", "ferplus8"]
        assert len(data) == 28
    with pytest.raises(EmotionEdgeError, match=r"train\.csv: no column Usage"):
        read_dataset(tmp_path / "train.csv")
    (tmp_path / "again.csv").write_text((tmp_path / name).read_text())
    with pytest.raises(EmotionEdgeError, match=rf"not one CSV file of FER-2013, but again\.csv, {name}; name the one"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n\r\n", "\n \n", "\n\n\n"])
def test_blank_lines_at_the_end_of_a_table_are_no_rows(end: str, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("path,label\na.jpg,happy\nb.jpg,sad" + end, newline="")
    assert list(rows(file, ("path", "label"))) == [(2, ["a.jpg", "happy"]), (3, ["b.jpg", "sad"])]
