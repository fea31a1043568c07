"""`emotion-edge analyse`: a folder or a video to a table that an interrupted run continues."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cameras.images import read_image
from edge.cli import main
from edge.commands.analyse_table import Table
from edge.commands.progress import Progress
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.media import CLIP
from edge.models.runtime import choose
from edge.pipeline import open_pipeline, read_once
from edge.reading import Frame, Image
from tests.support.daemon import wait_until

LABELS = open_pipeline(Settings(), choose()).card.primary.labels


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folder(tmp_path: Path, astronaut: Image) -> Path:
    """Five pictures in three folders, one of them unreadable, and files and folders that must be ignored."""
    base = tmp_path / "photos"
    for name in ("happy", "other/deep", ".ipynb_checkpoints", "@eaDir", "other/.thumbnails"):
        (base / name).mkdir(parents=True)
        cv2.imwrite(str(base / name / "face.png"), astronaut)
    cv2.imwrite(str(base / "empty, none.png"), np.zeros_like(astronaut))
    cv2.imwrite(str(base / "two.jpg"), np.hstack([astronaut, astronaut]))
    (base / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (base / "._two.jpg").write_bytes(b"\xff\xd8\xff of macOS")
    (base / "notes.txt").write_text("no picture")
    return base


def test_a_folder_becomes_a_row_a_face(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", str(folder), "--csv", str(tmp_path / "out.csv")]) == 0
    assert capsys.readouterr().out == f"4 pictures, 1 unreadable: 4 faces in 3; {tmp_path / 'out.csv'}\n"
    rows = rows_of(tmp_path / "out.csv")
    assert [(row["file"], row["face"]) for row in rows] == [
        ("broken.jpg", ""),
        ("empty, none.png", ""),
        ("two.jpg", "1"),
        ("two.jpg", "2"),
        ("happy/face.png", "1"),
        ("other/deep/face.png", "1"),
    ]
    assert "cannot be decoded" in rows[0]["note"]
    assert not any(row["note"] for row in rows[1:])
    image = read_image(folder / "happy" / "face.png")
    (face,) = read_once(Settings(), choose(), Frame(image, 0.0, 0.0, 0)).faces
    row = rows[4]
    assert row["emotion"] == face.emotion == "happy"
    assert {label: float(row[label]) for label in LABELS} == pytest.approx(dict(face.scores), abs=1e-4)
    assert float(row["valence"]) == pytest.approx(face.valence, abs=1e-3)
    assert float(row["width"]) == pytest.approx(face.detection.box.width, abs=0.1)
    assert row["model"].startswith("emotion-small ")


def test_from_wherever_a_run_was_cut_off_the_next_one_makes_the_same_table(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    command = ["analyse", str(folder), "--csv", str(out)]
    assert main(command) == 0
    whole = out.read_bytes()
    ends = [at + 1 for at in range(len(whole)) if whole[at : at + 1] == b"\n"]
    for length in (10, ends[0], ends[0] + 5, ends[2] + 9, ends[3], ends[-2] - 1, len(whole)):
        out.write_bytes(whole[:length])
        assert main(command) == 0
        assert out.read_bytes() == whole, f"cut off at byte {length}"


def test_a_table_of_something_else_is_left_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    command = ["analyse", str(folder), "--csv", str(out)]
    assert main(command) == 0
    ours = out.read_text()
    for text, words in {
        "name,mine\na,b\n": "other columns",
        ours.replace("emotion-small", "emotion-mine"): "was made by emotion-mine",
        ours.replace("\ntwo.jpg,1", "\ntwo.jpg,one"): "line 4 is no row",
    }.items():
        out.write_text(text)
        assert main(command) == 2
        assert words in capsys.readouterr().err
        assert out.read_text() == text
    assert main(["analyse", str(folder), "--csv", str(tmp_path / "none" / "out.csv")]) == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nothing", "text.txt", "empty"])
def test_what_cannot_be_analysed_is_one_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    assert main(["analyse", str(tmp_path / name), "--csv", str(tmp_path / "out.csv")]) == 2
    error = capsys.readouterr().err
    assert name in error
    assert error.count("\n") == 1


@pytest.fixture(scope="session")
def short_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first three seconds of the clip, at 10 frames a second."""
    path = tmp_path_factory.mktemp("clip") / "short.avi"
    source, writer = cv2.VideoCapture(str(CLIP)), None
    for number in range(60):
        _, image = source.read()
        writer = writer or cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, image.shape[1::-1])
        if number % 2 == 0:
            writer.write(image)
    assert writer
    writer.release()
    return path


def test_a_video_becomes_a_row_a_face_and_frame_by_its_time_stamps(short_clip: Path, tmp_path: Path) -> None:
    command = ["analyse", str(short_clip), "--csv", str(tmp_path / "out.csv")]
    assert main(command) == 0
    rows = rows_of(tmp_path / "out.csv")
    assert [row["time"] for row in rows] == [f"{number / 10:.3f}" for number in range(30)]
    assert [row["face"] for row in rows] == ["", *["1"] * 29]
    once = (tmp_path / "out.csv").read_bytes()
    (tmp_path / "out.csv").unlink()
    assert main(command) == 0
    assert (tmp_path / "out.csv").read_bytes() == once, "the result does not depend on the machine's speed"


def test_ctrl_c_ends_a_video_at_once_and_the_same_command_continues_it(short_clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    command: list[Any] = [sys.executable, "-m", "edge.cli", "analyse", short_clip, "--csv", out]
    slow = "import time, edge.pipeline as p; f = p.Pipeline.analyse;"
    slow += " p.Pipeline.analyse = lambda s, x: (time.sleep(0.1), f(s, x))[1]; import sys, edge.cli;"
    slow += " sys.exit(edge.cli.main(sys.argv[1:]))"
    run = subprocess.Popen([sys.executable, "-c", slow, *command[3:]], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: out.is_file() and out.read_bytes().count(b"\n") > 5, "rows")
    run.send_signal(signal.SIGINT)
    _, error = run.communicate(timeout=30)
    assert run.returncode == 130
    assert f"the same command continues {out}" in error
    assert "Traceback" not in error
    before = rows_of(out)
    assert len(before) < 30
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    rows = rows_of(out)
    assert [row["time"] for row in rows] == [f"{number / 10:.3f}" for number in range(30)]
    assert rows[: len(before) - 1] == before[:-1]
    assert rows[-1]["face"] == "2", "a track of its own, since the first run's is gone"


def test_the_camera_s_rotation_counts(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "happy" / "face.png", tmp_path / "face.png")
    upright, turned = tmp_path / "upright.csv", tmp_path / "turned.csv"
    assert main(["analyse", str(tmp_path / "face.png"), "--csv", str(upright)]) == 0
    assert main(["analyse", str(tmp_path / "face.png"), "--csv", str(turned), "--camera.rotate", "180"]) == 0
    # An upside-down face may be found too, by the search in rotated pictures, but at another place.
    there, turned_there = rows_of(upright)[0], rows_of(turned)[0]
    assert there["face"] == "1"
    assert turned_there["face"] == "" or abs(float(turned_there["y"]) - float(there["y"])) > 100


def test_an_odd_name_is_on_one_line_and_found_again(tmp_path: Path, astronaut: Image) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "face.png"), astronaut)
    name = b'a "quoted", \n\xff line.png'.decode(errors="surrogateescape")
    shutil.copy(tmp_path / "face.png", folder / name)
    command = ["analyse", str(folder), "--csv", str(tmp_path / "out.csv")]
    assert main(command) == 0
    once = (tmp_path / "out.csv").read_bytes()
    assert once.count(b"\n") == 2
    assert main(command) == 0
    assert (tmp_path / "out.csv").read_bytes() == once


def test_progress_in_a_log_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(float(second) for second in range(0, 1000, 20))
    monkeypatch.setattr("edge.commands.progress.time.monotonic", lambda: next(clock))
    with Progress(4, "pictures") as progress:
        for done in range(1, 5):
            progress.at(done)
    assert capsys.readouterr().err.splitlines() == [
        "emotion-edge:  50%  2 of 4 pictures, 1 min 20 s left",
        "emotion-edge: 100%  4 of 4 pictures, 0 s left",
    ]


def test_a_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="Is a directory"):
        Table(tmp_path, "file", LABELS, "emotion-small")
