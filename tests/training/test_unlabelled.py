"""Faces without labels: from FairFace and photographs, with soft labels, and a run that uses them."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from edge.errors import EmotionEdgeError
from tests.support.fer2013_files import TINY, pattern, write_files
from training.datasets.fairface import open_fairface
from training.datasets.unlabelled import read_unlabelled

GROUPS = (("0-2", "Male", "White"), ("20-29", "Female", "Black"))


def chip(row: int) -> bytes:
    image = cv2.resize(pattern(row % 7, np.random.default_rng(row)), (80, 80))
    return bytes(cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, 95))[1])


def table(names: list[str]) -> str:
    rows = [",".join((name, *GROUPS[row % 2], "False")) for row, name in enumerate(names)]
    return "\n".join(["file,age,gender,race,service_test", *rows]) + "\n"


def packed(path: Path, count: int = 28) -> Path:
    names = [f"{row}.jpg" for row in range(count)]
    with zipfile.ZipFile(path, "w") as archive:
        for row, name in enumerate(names):
            archive.writestr(name, chip(row))
        archive.writestr("labels.csv", table(names))
    return path


def test_fairface_packed_and_in_its_own_folders_is_the_same(tmp_path: Path) -> None:
    archive = packed(tmp_path / "fairface-train.zip", 6)
    folder = tmp_path / "own"
    (folder / "train").mkdir(parents=True)
    for row in range(6):
        (folder / "train" / f"{row}.jpg").write_bytes(chip(row))
    (folder / "fairface_label_train.csv").write_text(table([f"train/{row}.jpg" for row in range(6)]))
    one, other, beside = (open_fairface(path, "train") for path in (archive, folder, tmp_path))
    assert one
    assert other
    assert beside
    assert one.groups == other.groups == beside.groups
    assert one.groups["race"][:2] == ("White", "Black")
    for a, b in zip(one.images(), other.images(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert open_fairface(folder, "val") is None
    faces = read_unlabelled(archive)
    assert faces.pixels.shape == (6, 80, 80)
    assert faces.labels == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,age\n1.jpg,3\n", "no column race, gender"),
        ("file,age,gender,race\n../1.jpg,a,b,c\n", "outside the data set"),
        ("file,age,gender,race\n", "0 faces"),
        ("file,age,gender,race\n9.jpg,a,b,c\n", "9.jpg: cannot be read"),
        ("file,age,gender,race\nbad.jpg,a,b,c\n", "bad.jpg: no image that can be read"),
    ],
)
def test_a_faulty_archive_is_said(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", text)
        archive.writestr("bad.jpg", b"no JPEG")
    with pytest.raises(EmotionEdgeError, match=message):
        read_unlabelled(path)


def test_faces_of_photographs_are_cut_as_on_the_board(tmp_path: Path, faces_photograph: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.jpg").write_bytes(faces_photograph.read_bytes())
    cv2.imwrite(str(tmp_path / "mine" / "wall.png"), np.full((120, 160, 3), 90, np.uint8))
    faces = read_unlabelled(tmp_path / "mine")
    assert faces.pixels.shape == (1, 96, 96)


@pytest.fixture
def faces_photograph() -> Path:
    from training.synthetic import portraits

    return Path(portraits.__path__[0]) / "grace_hopper.jpg"


def test_a_folder_without_faces_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="no face found"):
        read_unlabelled(tmp_path)


def test_a_run_learns_from_faces_without_labels(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    pytest.importorskip("keras", reason="the training extra is not installed")
    from training.cli import main
    from training.distill import read_soft_labels

    monkeypatch.chdir(tmp_path)
    write_files(tmp_path / "data")
    packed(tmp_path / "fairface-train.zip")
    (tmp_path / "teacher.yaml").write_text(yaml.safe_dump({**TINY, "epochs": 8, "name": "teacher"}))
    assert main(["fit", "teacher.yaml"]) == 0
    distil = ["distill", "runs/teacher", "--unlabelled", "fairface-train.zip", "--out"]
    assert main([*distil, "plain.npz", "--balance", "0"]) == 0
    assert main([*distil, "even.npz", "--balance", "1"]) == 0
    assert "fer7: angry " in capsys.readouterr().out
    plain, even = (read_soft_labels(tmp_path / name) for name in ("plain.npz", "even.npz"))
    assert len(plain.rows) == 28
    # Patterns that the teacher knows: most faces are named as they are drawn.
    assert np.mean(plain.heads["fer7"].argmax(axis=1) == np.arange(28) % 7) > 0.5
    rarest = np.argmin(plain.heads["ferplus8"].mean(axis=0))
    assert even.heads["ferplus8"][:, rarest].mean() >= plain.heads["ferplus8"][:, rarest].mean()

    unlabelled = {"path": "fairface-train.zip", "soft_labels": "plain.npz", "most_per_class": 2}
    student = {**TINY, "epochs": 1, "name": "student", "unlabelled": unlabelled}
    student["continue_from"] = "runs/teacher/network.keras"
    (tmp_path / "student.yaml").write_text(yaml.safe_dump({**student, "learning_rate": 1e-6, "average_momentum": 0.0}))
    caplog.set_level("INFO")
    assert main(["fit", "student.yaml"]) == 0
    assert "faces are learned from, by class" in caplog.text
    assert _public(tmp_path, "student") >= _public(tmp_path, "teacher") - 0.1

    alone = {"path": "fairface-train.zip", "weight": 1.0}
    steady = {**student, "name": "steady", "unlabelled": alone, "learning_rate": 1e-3, "consistency": {"weight": 0.9}}
    (tmp_path / "steady.yaml").write_text(yaml.safe_dump(steady))
    assert main(["fit", "steady.yaml"]) == 0
    assert _public(tmp_path, "steady") >= _public(tmp_path, "teacher") - 0.1

    wide = {**student, "name": "wide", "options": {**TINY["options"], "stem": 24}}  # type: ignore[dict-item]
    (tmp_path / "wide.yaml").write_text(yaml.safe_dump(wide))
    assert main(["fit", "wide.yaml"]) == 2
    assert "cannot take its weights" in capsys.readouterr().err


def _public(folder: Path, name: str) -> float:
    lines = (folder / "runs" / name / "history.csv").read_text().splitlines()
    column = lines[0].split(",").index("public")
    return max(float(line.split(",")[column]) for line in lines[1:])


def test_priors_are_taken_away_by_their_power() -> None:
    pytest.importorskip("keras", reason="the training extra is not installed")
    from training.distill import without_priors
    from training.unlabelled import few_of_each

    said, priors = np.array([[0.8, 0.2], [0.5, 0.5]], np.float32), np.array([0.8, 0.2], np.float32)
    np.testing.assert_allclose(without_priors(said, priors, 0.0), said, rtol=1e-6)
    np.testing.assert_allclose(without_priors(said, priors, 1.0), [[0.5, 0.5], [0.2, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(without_priors(said, priors, 0.5)[0, 0], 2 / 3, rtol=1e-6)
    kept = few_of_each(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 2, 3, 5]), 2, 0)
    assert len(kept) == 4
    assert set(kept) >= {3, 5}
