"""Wrong CSV files and settings: each message says what was found, where, and what is allowed."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from training.config import read_config
from training.datasets import read_dataset

NAMES = [f"{number}.png" for number in range(4)]
LINES = [f"{name},{('happy', 'sad')[number % 2]}" for number, name in enumerate(NAMES)]
PIXELS = " ".join(["7"] * 2304)
WANTED = r"wanted as the first line: `path,label`"


def table(header: str, end: str = "", lines: list[str] = LINES) -> str:
    return "\n".join([header, *(line + end for line in lines), ""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with four images and a valid CSV file."""
    path = tmp_path_factory.mktemp("data")
    for number, name in enumerate(NAMES):
        cv2.imwrite(str(path / name), np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8))
    (path / "right.csv").write_text(table("path,label"))
    return path


def test_the_right_one_is_read(folder: Path) -> None:
    assert len(read_dataset(folder / "right.csv")) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table("file,feeling"), rf"no columns that are known \(header: 'file,feeling'\); {WANTED}"),
        (table("path;label").replace(",", ";"), rf"separated by semicolons; save it with commas .*{WANTED}"),
        (table("path\tlabel").replace(",", "\t"), r"separated by tabs; save it with commas"),
        ("\n".join(LINES), rf"has no header: its first line is '0.png,happy'; {WANTED}"),
        ("", rf"is empty; {WANTED}"),
        ("path,label\n", "no rows after the header"),
        (table("path,label") + "1.png,happpy\n", "no known emotion: happpy"),
        (table("path,label").replace("png", "jpg"), r"none of its images is there: 0\.jpg .*relative to the folder"),
        (table("path,label") + "1.png\n", r"line 6: 1 of 2 columns \(path, label\)"),
        ('path,label\n"0.png,happy\n' + "\n".join(LINES), r"a quotation mark never closed\?"),
        (table("path,label").replace("happy", "1"), r"line 2: label 1 is a number: .*--label-set .*--mapping"),
        (table("path,label,split", ",train") + "1.png,sad,\n", "line 6: no split, where others have one"),
        (table("path,label,split", ",trainning"), "line 2: split 'trainning' is none of train, val, test"),
        ("path,valence,arousal\n0.png,2,0\n", "line 2: valence 2, arousal 0: not from -1 to 1"),
        (table("path,label").replace("sad", "happy"), "all faces are happy: a network needs two classes"),
        (f"emotion,pixels\n0,{PIXELS}\n", r"no column Usage \(header found: emotion, pixels; wanted: .*Usage\)"),
        # Without a header its first line may be an image: the message shows the beginning of it.
        (f"0,{PIXELS},Training\n", rf"has no header: its first line is '0,7 .*7\.\.\.'; {WANTED}"),
        (f"emotion,pixels,Usage\n0,{PIXELS} 7,Training\n", "line 2: 2305 pixels instead of 2304"),
        (table("path,label").encode("utf-16"), r"is UTF-16; save it as UTF-8"),
        (b"PK\x03\x04" + bytes(64), "is a workbook or an archive, whatever its name; save it as CSV"),
    ],
)
def test_a_wrong_table_says_what_is_wanted(folder: Path, content: str | bytes, message: str) -> None:
    path = folder / "wrong.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(EmotionEdgeError, match=message) as error:
        read_dataset(path)
    assert str(error.value).startswith(str(path))
    assert len(str(error.value)) < 300 + len(str(path))


RIGHT = "name: a\nepochs: 1\nheads: {fer7: 1.0}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (RIGHT + "netwrok: vgg11\n", "netwrok: is no setting; did you mean 'network'"),
        (RIGHT.replace("1\n", "many\n"), "epochs: 'many' is no whole number"),
        (RIGHT.replace("epochs: 1\n", ""), "epochs: is missing"),
        (RIGHT + "learning_rate: fast\n", "learning_rate: 'fast' is no number"),
        (RIGHT + "learning_rate: -1\n", "learning_rate: -1: should be greater than 0"),
        (RIGHT + "precision: fp16\n", "precision: 'fp16' is none of 'float32'"),
        (RIGHT + "input: {channels: 4}\n", "input.channels: 4 is none of 1 or 3"),
        (RIGHT.replace("{fer7: 1.0}", "[fer7]"), r"heads: \['fer7'\]: wanted are a name and a number in each line"),
        (
            RIGHT.replace("{fer7: 1.0}", "{affect: 1.0}") + "sampling: balanced\n",
            "sampling: balanced: needs a head with labels beside `affect`",
        ),
        (RIGHT.replace("name: a", "name: my run"), "name: 'my run': only letters, digits"),
        (RIGHT + "teacher: {soft_labels: a, models: [b]}\n", "teacher: takes either `soft_labels` or `models`"),
        (RIGHT + "epochs: 3\n", "epochs is there twice, in lines 2 and 4"),
        (RIGHT + "data:\n\tpath: x\n", "is no YAML in line 5"),
        ("- name: a\n", "no settings: wanted are lines of `name: value`"),
        ("", "no settings: wanted are lines of `name: value`"),
    ],
)
def test_wrong_settings_say_what_is_wanted(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    with pytest.raises(EmotionEdgeError, match=message):
        read_config(path)
