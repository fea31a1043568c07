"""`prepare` on photographs: what is kept, what is left out and why, and that the rest of the disk stays as it was."""

import csv
import json
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import DetectorSettings
from edge.errors import EmotionEdgeError
from edge.faces.crop import crop_square, cut
from edge.faces.detector import open_detector
from edge.models.card import CropSpec
from edge.models.runtime import choose
from edge.reading import Image
from tests.conftest import ROOT
from training.datasets.dataset import Dataset, Labels, one_hot
from training.datasets.manifest import COLUMNS, REASONS
from training.prepare import PrepareSettings, prepare

NAMES = ("happy", "neutral", "sad")
HOPPER = ROOT / "training" / "synthetic" / "portraits" / "grace_hopper.jpg"


def photos(folder: Path, astronaut: Image) -> Dataset:
    """Nine files, in Training unless said otherwise."""
    folder.mkdir()
    small = cv2.resize(astronaut, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    shapes = np.full((240, 320, 3), 90, np.uint8)
    cv2.circle(shapes, (160, 120), 60, (30, 200, 240), -1)
    files = {
        "portrait.png": astronaut,
        "same.bmp": astronaut,
        "smaller.jpg": small,
        "mirrored.png": astronaut[:, ::-1],
        "hopper.png": cv2.imread(str(HOPPER)),
        "shapes.png": shapes,
        "grey.png": np.full((200, 200), 128, np.uint8),
        "torn.jpg": astronaut,
        "letter.jpg": astronaut,
    }
    for name, image in files.items():
        assert cv2.imwrite(str(folder / name), image)
    whole = (folder / "torn.jpg").read_bytes()
    (folder / "torn.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "letter.jpg").write_text("Dear all, the photographs will follow.")
    count = len(files)
    split = np.zeros(count, np.int64)
    split[1] = 2
    judged = np.zeros(count, np.int64)
    labels = {"faces3": one_hot(NAMES, judged)}
    return Dataset("photos", tuple(folder / name for name in files), labels, None, False, split, np.arange(count))


def lines(folder: Path) -> dict[str, dict[str, str]]:
    """The manifest by the file's own name, or by the whole name where it is no file."""
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return {Path(line["name"]).name: line for line in csv.DictReader(file)}


def test_every_photograph_is_accounted_for(tmp_path: Path, astronaut: Image, caplog: pytest.LogCaptureFixture) -> None:
    data = photos(tmp_path / "source", astronaut)
    before = {path: path.read_bytes() for path in data.images if isinstance(path, Path)}
    with caplog.at_level(logging.WARNING):
        summary = prepare(data, tmp_path / "out", PrepareSettings(faces="crop"))
    found = lines(tmp_path / "out")
    assert {name: line["reason"] for name, line in found.items()} == {
        "portrait.png": "exact duplicate",
        "same.bmp": "",  # in PrivateTest: its copies in Training give way
        "smaller.jpg": "near duplicate",
        "mirrored.png": "near duplicate",
        "hopper.png": "",
        "shapes.png": "no face",
        "grey.png": "blank",
        "torn.jpg": "unreadable",
        "letter.jpg": "unreadable",
    }
    assert all(found[name]["duplicate_of"].endswith("same.bmp") for name in ("portrait.png", "smaller.jpg"))
    assert "mirrored" in found["mirrored.png"]["detail"]
    assert all((line["kept"] == "yes") == (not line["reason"]) == bool(line["file"]) for line in found.values())
    assert "torn.jpg" in caplog.text
    assert "letter.jpg" in caplog.text
    assert summary.counts["kept"] == (1, 0, 1)
    assert summary.counts["unreadable"] == (2, 0, 0)
    assert {path: path.read_bytes() for path in before} == before
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert written == sorted(line["file"] for line in found.values() if line["file"])


def test_a_crop_is_the_boards_own(tmp_path: Path, astronaut: Image) -> None:
    prepare(photos(tmp_path / "source", astronaut), tmp_path / "out", PrepareSettings(faces="crop"))
    kept = cv2.imread(str(tmp_path / "out" / lines(tmp_path / "out")["same.bmp"]["file"]), cv2.IMREAD_UNCHANGED)
    (face,) = open_detector(DetectorSettings(size="320"), choose(), 1).detect(astronaut)
    square = crop_square(face.box, CropSpec())
    side = round(square.width)
    np.testing.assert_array_equal(kept, cut(astronaut, square, side, side, "bgr"))


def test_both_gives_the_same_faces_twice(tmp_path: Path, astronaut: Image) -> None:
    data = photos(tmp_path / "source", astronaut)
    summary = prepare(data, tmp_path / "out", PrepareSettings(faces="both", size=200))
    assert summary.folders == (tmp_path / "out" / "crop", tmp_path / "out" / "full")
    crop, full = (lines(folder) for folder in summary.folders)
    assert crop == full
    file = crop["same.bmp"]["file"]
    face, photo = (cv2.imread(str(folder / file)) for folder in summary.folders)
    assert photo.shape == (200, 200, 3)
    assert face.shape[0] < 200
    facts = [json.loads((folder / "prepared.json").read_text()) for folder in summary.folders]
    assert [it["faces"] for it in facts] == ["crop", "full"]


def test_of_several_faces_the_named_one_is_cut(tmp_path: Path, astronaut: Image) -> None:
    hopper = cv2.resize(cv2.imread(str(HOPPER)), (256, 320))
    scene = np.full((512, 800, 3), 60, np.uint8)
    scene[:, :512], scene[100:420, 530:786] = astronaut, hopper
    cv2.imwrite(str(tmp_path / "two.png"), scene)
    found = [detection.box for detection in open_detector(DetectorSettings(size="320"), choose(), 1).detect(scene)]
    assert len(found) == 2
    right = max(found, key=lambda box: box.x)
    box = np.array([[right.x, right.y, right.width, right.height]], np.int64)
    zero = np.zeros(1, np.int64)
    labels = {"faces3": one_hot(NAMES, zero)}
    data = Dataset("two", (tmp_path / "two.png",), labels, None, False, zero, zero, None, box)
    prepare(data, tmp_path / "out", PrepareSettings(faces="crop"))
    kept = cv2.imread(str(tmp_path / "out" / lines(tmp_path / "out")["two.png"]["file"]))
    square = crop_square(right, CropSpec())
    np.testing.assert_array_equal(kept, cut(scene, square, len(kept), len(kept), "bgr"))


def test_face_crops_are_recognised_and_kept_whole(tmp_path: Path, astronaut: Image) -> None:
    (face,) = open_detector(DetectorSettings(size="320"), choose(), 1).detect(astronaut)
    small = cut(astronaut, crop_square(face.box, CropSpec()), 48, 48, "grey")
    one = np.zeros(1, np.int64)
    crops = Dataset("crops", small[None, :, :, 0], {"faces3": one_hot(NAMES, one)}, None, False, one, one)
    prepare(crops, tmp_path / "crops", PrepareSettings())
    kept = cv2.imread(str(tmp_path / "crops" / lines(tmp_path / "crops")["crops row 0"]["file"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(kept, small[:, :, 0])
    prepare(photos(tmp_path / "source", astronaut), tmp_path / "photos", PrepareSettings())
    assert json.loads((tmp_path / "photos" / "prepared.json").read_text())["faces"] == "crop"


def test_copies_with_conflicting_labels_are_all_left_out(tmp_path: Path, astronaut: Image) -> None:
    data = photos(tmp_path / "source", astronaut)
    data.labels["faces3"].judged[1] = 2
    prepare(data, tmp_path / "out", PrepareSettings(faces="crop"))
    found = lines(tmp_path / "out")
    assert [found[name]["reason"] for name in ("portrait.png", "same.bmp")] == ["conflicting labels"] * 2
    assert found["same.bmp"]["detail"] == "sad here, happy there"
    assert found["same.bmp"]["duplicate_of"].endswith("portrait.png")
    # Alike, but not so much that another label could not be another expression.
    assert [found[name]["reason"] for name in ("smaller.jpg", "mirrored.png")].count("near duplicate") <= 1


def test_near_duplicates_may_stay_but_not_in_two_splits(tmp_path: Path, astronaut: Image) -> None:
    data = photos(tmp_path / "source", astronaut)
    settings = PrepareSettings(faces="crop", near_duplicates=False)
    torn = prepare(data, tmp_path / "torn", settings)
    assert torn.counts["kept"] == (1, 0, 1)
    found = lines(tmp_path / "torn")
    assert [found[name]["reason"] for name in ("smaller.jpg", "mirrored.png")] == ["near duplicate"] * 2
    data.split[:] = 0
    whole = prepare(data, tmp_path / "whole", settings)
    assert whole.counts["kept"] == (4, 0, 0)
    assert "near duplicate" not in whole.counts


def test_a_stopped_prepare_is_simply_run_again(tmp_path: Path, astronaut: Image) -> None:
    data = photos(tmp_path / "source", astronaut)
    stale = tmp_path / "out.partial" / "images" / "Training" / "happy" / "0000099.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"half a pict")
    prepare(data, tmp_path / "out", PrepareSettings(faces="full"))
    assert not (tmp_path / "out.partial").exists()
    assert not list((tmp_path / "out").rglob(stale.name))
    with pytest.raises(EmotionEdgeError, match="there already"):
        prepare(data, tmp_path / "out", PrepareSettings(faces="full"))


def test_a_data_set_of_which_nothing_is_left_is_an_error(tmp_path: Path, astronaut: Image) -> None:
    data = photos(tmp_path / "source", astronaut).take(np.array([5, 6, 7]))
    with pytest.raises(EmotionEdgeError, match=r"1 no face, 1 blank, 1 unreadable\); full images"):
        prepare(data, tmp_path / "out", PrepareSettings(faces="crop"))
    assert not (tmp_path / "out").exists()


def test_the_manifest_holds_every_label_set_votes_affect_and_people(tmp_path: Path, astronaut: Image) -> None:
    votes = np.array([[0.1, 0.9], [1 / 3, 2 / 3], [0, 0]], np.float32)
    labels = {
        "faces3": one_hot(NAMES, np.array([2, -1, 0])),
        "pair": Labels(("calm", "moved"), votes, np.array([1, -1, -1])),
    }
    affect = np.array([[0.1, -0.7], [np.nan, np.nan], [1, 0]], np.float32)
    images = np.array([cv2.resize(astronaut[y : y + 200, y : y + 200], (64, 64)) for y in (0, 120, 240)], np.uint8)
    row = np.array([7, 8, 11])
    data = Dataset("three", images, labels, affect, True, np.array([0, 1, 2]), row, np.array([4, -1, 4]))
    prepare(data, tmp_path / "out", PrepareSettings(faces="full"))
    first, second, third = lines(tmp_path / "out").values()
    probabilities = ("p_pair_calm", "p_pair_moved")
    assert tuple(first) == (*COLUMNS, "label_faces3", "label_pair", *probabilities)
    assert [line["name"] for line in (first, second, third)] == ["three row 7", "three row 8", "three row 11"]
    assert [line["label_faces3"] for line in (first, second, third)] == ["sad", "", "happy"]
    assert [line["label_pair"] for line in (first, second, third)] == ["moved", "", ""]
    read = [[np.float32(line[name]) for name in probabilities] for line in (first, second, third)]
    np.testing.assert_array_equal(np.array(read, np.float32), votes)
    assert [np.float32(first[name]) for name in ("valence", "arousal")] == affect[0].tolist()
    assert second["valence"] == second["person"] == ""
    assert first["person"] == third["person"] == "4"
    assert [line["split"] for line in (first, second, third)] == ["Training", "PublicTest", "PrivateTest"]
    facts = json.loads((tmp_path / "out" / "prepared.json").read_text())
    assert facts["label_sets"] == {"faces3": list(NAMES), "pair": ["calm", "moved"]}
    assert facts["affect"] == "derived"
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / first["file"])), images[0])


def test_the_summary_is_a_table_of_splits_and_reasons(tmp_path: Path, astronaut: Image) -> None:
    summary = prepare(photos(tmp_path / "source", astronaut), tmp_path / "out", PrepareSettings(faces="crop"))
    assert set(summary.counts) - {"kept"} <= set(REASONS)
    head, *rows = [line.split() for line in summary.table().splitlines()]
    assert head == ["Training", "PublicTest", "PrivateTest", "all"]
    assert ["kept", "1", "0", "1", "2"] in rows
    assert ["exact", "duplicate", "1", "0", "0", "1"] in rows


def test_grey_photographs_stay_grey(tmp_path: Path, astronaut: Image) -> None:
    grey = np.asarray(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    zero = np.zeros(1, np.int64)
    data = Dataset("grey", (tmp_path / "grey.png",), {"faces3": one_hot(NAMES, zero)}, None, False, zero, zero)
    prepare(data, tmp_path / "out", PrepareSettings(faces="full", size=512))
    kept = cv2.imread(str(tmp_path / "out" / lines(tmp_path / "out")["grey.png"]["file"]), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(kept, grey)
