"""Every layout that `read_dataset` knows, as small copies of the distributed data sets with real images."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import labels_of, own_label
from training.datasets import read_dataset
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.names import emotions_of
from training.datasets.pixels import in_memory

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
NINE = ("anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise", "uncertain")


def write_image(path: Path, shade: int = 100, side: int = 24) -> None:
    """Write an image file of one shade with a white corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((side, side, 3), shade, np.uint8)
    image[:4, :4] = 255
    assert cv2.imwrite(str(path), image)


def write_classes(folder: Path, names: Sequence[str], count: int, suffix: str = ".jpg") -> Path:
    """Write `count` images into a folder for each class; the shade of an image encodes its class."""
    for number, name in enumerate(names):
        for index in range(count):
            write_image(folder / name / f"im{index}{suffix}", 10 + 20 * number)
    return folder


def said(data: Dataset) -> list[str]:
    """Return the name of each face's class."""
    labels = next(iter(data.labels.values()))
    return [labels.names[judged] if judged >= 0 else "" for judged in labels.judged]


def counts(data: Dataset) -> list[int]:
    """Return the number of faces in each split."""
    return [int(np.count_nonzero(data.split == index)) for index in range(len(SPLITS))]


def test_fer2013_in_folders_keeps_its_test_and_cuts_a_stratified_public_test(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", SEVEN, 20)
    write_classes(tmp_path / "test", SEVEN, 3)
    data = read_dataset(tmp_path)
    assert list(data.labels) == ["fer7"]
    assert data.labels["fer7"].names == labels_of("fer7")
    assert counts(data) == [7 * 18, 7 * 2, 7 * 3]
    assert sorted(said(data.part("PublicTest"))) == sorted(SEVEN * 2)
    assert all("test" in file.parts for file in data.part("PrivateTest").images if isinstance(file, Path))
    assert np.array_equal(read_dataset(tmp_path).split, data.split)
    assert not np.array_equal(read_dataset(tmp_path, seed=1).split, data.split)
    pixels = in_memory(data, 48, 48, 1).pixels
    assert pixels.shape == (len(data), 48, 48)
    shade = {name: 10 + 20 * number for number, name in enumerate(SEVEN)}
    assert np.abs(pixels[:, 40, 40].astype(int) - [shade[name] for name in said(data)]).max() <= 3


def test_nine_classes_are_skillbox9_and_cut_into_three(tmp_path: Path) -> None:
    data = read_dataset(write_classes(tmp_path, NINE, 10, ".png"))
    assert list(data.labels) == ["skillbox9"]
    assert counts(data) == [72, 9, 9]
    for split in SPLITS:
        assert set(said(data.part(split))) == set(labels_of("skillbox9"))
    assert data.people is None
    assert data.affect is None


def test_folders_named_train_val_test_are_the_splits(tmp_path: Path) -> None:
    for split, count in (("Train", 4), ("val", 2), ("test_set", 1)):
        write_classes(tmp_path / split, ("0_Happiness", "1-SAD", "Fearful"), count)
    data = read_dataset(tmp_path)
    assert list(data.labels) == ["fear-happy-sad"]
    assert counts(data) == [12, 6, 3]


def test_a_chosen_label_set_merges_and_leaves_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path, NINE, 2)
    merged = read_dataset(tmp_path, label_set="compact4")
    assert list(merged.labels) == ["compact4"]
    assert len(merged) == 16
    assert "2 faces are uncertain, which compact4 has not" in caplog.text
    assert len(read_dataset(tmp_path, label_set="fer7")) == 14
    assert set(said(read_dataset(tmp_path, label_set="happy-sad"))) == {"happy", "sad"}


def test_a_name_that_cannot_be_a_label_of_ones_own_is_asked_for() -> None:
    with pytest.raises(EmotionEdgeError, match=r"name it there \(`wink ;-\): NAME`; a letter, then at most 31 letters"):
        emotions_of(["bored", "wink ;-)"], {}, "photographs", own_label)


def test_own_names_are_mapped_by_a_file(tmp_path: Path) -> None:
    write_classes(tmp_path / "data", ("grumpy", "beaming", "3", "sorrow"), 2)
    mapping = tmp_path / "names.yaml"
    mapping.write_text("grumpy: anger\nbeaming: happy\n3: null\n")
    data = read_dataset(tmp_path / "data", mapping=mapping)
    assert list(data.labels) == ["angry-happy-sad"]
    assert sorted(said(data)) == ["angry", "angry", "happy", "happy", "sad", "sad"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grumpy: angryy", r"grumpy: no emotion 'angryy', did you mean 'angry'\? \(emotions: angry"),
        ("grumpy", "no class names: wanted are lines like `grumpy: angry`"),
        ("grumpy: [", r"names\.yaml: is no YAML in line"),
        (None, r"names\.yaml: cannot be read: .*no such file"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    write_classes(tmp_path / "data", ("grumpy", "happy"), 1)
    if text is not None:
        (tmp_path / "names.yaml").write_text(text)
    with pytest.raises(EmotionEdgeError, match=message):
        read_dataset(tmp_path / "data", mapping=tmp_path / "names.yaml")


def test_a_class_that_means_nothing_is_named_with_the_way_out(tmp_path: Path) -> None:
    write_classes(tmp_path, ("happy", "sad", "grumpy", "12"), 1)
    with pytest.raises(EmotionEdgeError, match=r"no known emotion: 12, grumpy .*mapping file .*`12: null` to leave"):
        read_dataset(tmp_path)


def test_an_empty_class_is_left_out_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path, ("happy", "sad"), 3)
    (tmp_path / "fear").mkdir()
    (tmp_path / "fear" / "notes.txt").write_text("none yet")
    assert list(read_dataset(tmp_path).labels) == ["happy-sad"]
    assert f"{tmp_path / 'fear'}: no images; the class is left out" in caplog.text
    read_dataset(tmp_path, label_set="fear-happy-sad")
    assert "no face is fear, of fear-happy-sad" in caplog.text


def test_photographs_of_kinds_that_are_not_read_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path, ("happy", "sad"), 3)
    (tmp_path / "happy" / "im0.jpg").rename(tmp_path / "happy" / "im0.jfif")
    for name in ("a.HEIC", "b.heic", "c.avif", ".DS_Store"):
        (tmp_path / "sad" / name).write_bytes(b"?")
    assert len(in_memory(read_dataset(tmp_path), 16, 16, 1)) == 6
    assert "passed over, since they are not read: 2 .heic, 1 .avif; convert them to one of .bmp" in caplog.text
    for image in tmp_path.rglob("im*"):
        image.unlink()
    with pytest.raises(EmotionEdgeError, match=r"Found: happy/, sad/; in its folders 2 \.heic, 1 \.avif, which"):
        read_dataset(tmp_path)


def test_odd_tables_beside_the_data_are_passed_over(tmp_path: Path) -> None:
    write_classes(tmp_path, ("happy", "sad"), 3)
    (tmp_path / "notes.csv").write_bytes("Prénom;Âge\n".encode("latin-1"))
    (tmp_path / "._labels.csv").write_bytes(b"\x00\x05\x16\x07path,label\n")
    assert list(read_dataset(tmp_path).labels) == ["happy-sad"]
    (tmp_path / "labels.csv").write_text("path,label\nhappy/im0.jpg,happy\nsad/im0.jpg,sad\n")
    assert read_dataset(tmp_path).name == "labels"
    with pytest.raises(EmotionEdgeError, match=r"notes\.csv: cannot be read as CSV"):
        read_dataset(tmp_path / "notes.csv")


def test_accents_are_the_same_however_they_are_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_classes(tmp_path / "data", (unicodedata.normalize("NFD", "fröhlich"), "sad"), 2)
    (tmp_path / "names.yaml").write_text(unicodedata.normalize("NFC", "fröhlich: happy\n"), encoding="utf-8")
    assert said(read_dataset(tmp_path / "data", mapping=tmp_path / "names.yaml")).count("happy") == 2
    assert "no class" not in caplog.text


def test_one_class_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="all faces are happy: a network needs two classes"):
        read_dataset(write_classes(tmp_path, ("happy",), 3))


def test_raf_db_in_numbered_folders(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("test", 1)):
        for number in range(1, 8):
            for index in range(count):
                write_image(
                    tmp_path / "DATASET" / split / str(number) / f"{split}_{10 * number + index:05d}_aligned.jpg"
                )
    (tmp_path / "train_labels.csv").write_text("image,label\n")
    # A single enclosing folder, as unpacking leaves it, is entered.
    data = read_dataset(tmp_path)
    assert data.name == "DATASET"
    assert list(data.labels) == ["fer7"]
    assert counts(data) == [63, 7, 7]
    assert said(data.part("PrivateTest")) == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]


def test_numbers_of_which_nothing_says_what_they_are_are_asked_about(tmp_path: Path) -> None:
    write_classes(tmp_path / "train", tuple("123456"), 10)
    with pytest.raises(EmotionEdgeError, match="what do the classes 1, 2, 3, 4, 5, 6 stand for") as asked:
        read_dataset(tmp_path)
    assert "--mapping fer2013: 0 angry, 1 disgust," in str(asked.value)
    assert "--mapping raf-db: 1 surprise, 2 fear," in str(asked.value)
    fer = said(read_dataset(tmp_path, mapping=Path("fer2013")))
    raf = said(read_dataset(tmp_path, mapping=Path("raf-db")))
    assert list(dict.fromkeys(fer)) == ["disgust", "fear", "happy", "sad", "surprise", "neutral"]
    assert list(dict.fromkeys(raf)) == ["surprise", "fear", "disgust", "happy", "sad", "angry"]
    (tmp_path / "own.yaml").write_text("".join(f"{number}: happy\n" for number in range(1, 6)) + "6: sad\n")
    assert set(said(read_dataset(tmp_path, mapping=tmp_path / "own.yaml"))) == {"happy", "sad"}


def test_hidden_folders_and_those_of_other_programs_are_left_out_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_classes(tmp_path / "train", SEVEN, 20)
    write_classes(tmp_path / "test", SEVEN, 3)
    whole = counts(read_dataset(tmp_path))
    for copy in (
        "train/happy/.ipynb_checkpoints",
        "train/sad/@eaDir/im0.jpg",
        "test/happy/.thumbnails/large",
        ".Trash-1000/files/train/happy",
        "__MACOSX/train/happy",
        "train/.ipynb_checkpoints",
    ):
        write_image(tmp_path / copy / "copy.jpg")
    caplog.clear()
    caplog.set_level("INFO")
    assert counts(read_dataset(tmp_path)) == whole
    (line,) = [record.getMessage() for record in caplog.records if "left out as hidden" in record.getMessage()]
    for name in ("2 .ipynb_checkpoints", "1 @eaDir", "1 .thumbnails", "1 .Trash-1000", "1 __MACOSX"):
        assert name in line


def write_ferplus(folder: Path) -> None:
    """Write FER+ in the layout of its official script: 20, 4 and 4 faces, alternately happy and sad."""
    number = 0
    for split, count in (("FER2013Train", 20), ("FER2013Valid", 4), ("FER2013Test", 4)):
        lines = []
        for _ in range(count):
            write_image(folder / split / f"fer{number:07d}.png", side=48)
            votes = "0,9,0,1,0,0,0,0,0,0" if number % 2 else "2,0,0,8,0,0,0,0,0,0"
            lines.append(f'fer{number:07d}.png,"(0, 0, 48, 48)",{votes}')
            number += 1
        (folder / split / "label.csv").write_text("\n".join(lines) + "\n\n")


def test_ferplus_as_its_makers_script_writes_it(tmp_path: Path) -> None:
    write_ferplus(tmp_path / "data")
    data = read_dataset(tmp_path)
    assert list(data.labels) == ["ferplus8"]
    assert counts(data) == [20, 4, 4]
    assert said(data)[:2] == ["sad", "happy"]
    labels = data.labels["ferplus8"]
    assert labels.probabilities[0, labels.names.index("neutral")] == pytest.approx(0.2)
    assert labels.probabilities[1, labels.names.index("happy")] == 1, "a single vote is dropped"
    assert read_dataset(tmp_path, votes="majority").labels["ferplus8"].probabilities[0].max() == 1
    assert data.affect_derived
    (tmp_path / "data" / "FER2013Test" / "fer0000024.png").unlink()
    with pytest.raises(EmotionEdgeError, match=r"fer0000024\.png: not there"):
        read_dataset(tmp_path)
    (tmp_path / "data" / "FER2013Train" / "label.csv").write_text('fer0000000.png,"(0, 0, 48, 48)",1,2\n')
    with pytest.raises(EmotionEdgeError, match=r"label\.csv, line 1: .* is not like"):
        read_dataset(tmp_path)


def test_raf_db_as_its_makers_hand_it_out(tmp_path: Path) -> None:
    lines = []
    for split, count in (("train", 70), ("test", 7)):
        for number in range(1, count + 1):
            lines.append(f"{split}_{number:05d}.jpg {(number - 1) % 7 + 1}")
            write_image(tmp_path / "basic" / "Image" / "aligned" / f"{split}_{number:05d}_aligned.jpg")
    names = tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt"
    names.parent.mkdir()
    names.write_text("\n".join(lines) + "\n")
    data = read_dataset(tmp_path)
    assert data.name == "RAF-DB"
    assert counts(data) == [63, 7, 7]
    assert said(data.part("PrivateTest")) == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert len(in_memory(data, 32, 32, 3)) == 77
    names.write_text("train_00001.jpg 5\ntrain_00002.jpg 8\n")
    with pytest.raises(EmotionEdgeError, match=r"label\.txt, line 2: 'train_00002.jpg 8' is not like"):
        read_dataset(tmp_path)


def write_ck_names(folder: Path) -> Path:
    """Write CK+48's folders, whose file names contain the person."""
    for person in range(10, 22):
        for name in ("anger", "happy", "contempt"):
            for frame in (17, 18, 19):
                write_image(folder / name / f"S{person:03d}_001_{frame:08d}.png")
    return folder


def test_ck_plus_in_folders_keeps_people_apart(tmp_path: Path) -> None:
    data = read_dataset(write_ck_names(tmp_path))
    assert data.people is not None
    assert len(set(data.people.tolist())) == 12
    assert all(counts(data))
    for person in set(data.people.tolist()):
        assert len(set(data.split[data.people == person].tolist())) == 1
    assert np.array_equal(read_dataset(tmp_path).split, data.split)


def write_ck_plus(folder: Path) -> Path:
    """Write CK+'s original layout: sequences of six frames, all but one of them labelled."""
    for person in range(5, 9):
        for sequence, number in enumerate((1, 5, None), 1):
            stem = f"S{person:03d}_{sequence:03d}"
            place = f"S{person:03d}/{sequence:03d}"
            for frame in range(1, 7):
                write_image(folder / "cohn-kanade-images" / place / f"{stem}_{frame:08d}.png")
            labels = folder / "Emotion" / place
            labels.mkdir(parents=True)
            if number is not None:
                (labels / f"{stem}_00000006_emotion.txt").write_text(f"   {number:.7e}\n")
    return folder


def test_ck_plus_as_its_makers_hand_it_out(tmp_path: Path) -> None:
    data = read_dataset(write_ck_plus(tmp_path))
    assert data.name == "CK+"
    assert said(data)[:8] == ["neutral", "angry", "angry", "angry", "neutral", "happy", "happy", "happy"]
    assert isinstance(data.images, tuple)
    assert [file.stem[-1] for file in data.images[:4]] == ["1", "4", "5", "6"]
    assert data.people is not None
    assert data.people.tolist() == [person for person in range(4) for _ in range(8)]


def test_a_wrong_label_file_of_ck_plus_is_named(tmp_path: Path) -> None:
    write_ck_plus(tmp_path)
    (tmp_path / "Emotion" / "S005" / "001" / "S005_001_00000006_emotion.txt").write_text("9.0\n")
    with pytest.raises(EmotionEdgeError, match=r"S005_001_00000006_emotion\.txt: '9\.0' is no number from 0 to 7"):
        read_dataset(tmp_path)


def test_jaffe_is_read_from_its_file_names(tmp_path: Path) -> None:
    for person in ("KA", "KL", "KM", "KR", "MK"):
        for number, code in enumerate(("AN", "DI", "FE", "HA", "NE", "SA", "SU")):
            write_image(tmp_path / f"{person}.{code}{number % 3 + 1}.{number + 39}.tiff", 10 + 20 * number)
    (tmp_path / "README").write_text("JAFFE")
    data = read_dataset(tmp_path)
    assert data.name == "JAFFE"
    assert list(data.labels) == ["fer7"]
    assert said(data)[:7] == ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
    assert data.people is not None
    assert data.people.tolist() == [person for person in range(5) for _ in range(7)]
    assert counts(data) == [21, 7, 7]
    assert in_memory(data, 48, 48, 1).pixels[3, 40, 40] == 70


def test_what_is_no_data_set_is_said_with_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(EmotionEdgeError, match=r"no data set that is known\. Looked for .*fer2013\.csv.* Found: notes"):
        read_dataset(tmp_path)
    with pytest.raises(EmotionEdgeError, match="nowhere: not there; give the folder"):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(EmotionEdgeError, match=r"format 'fer': not known \(known: auto, prepared, fer2013"):
        read_dataset(tmp_path, "fer")
    for kind in ("folder", "jaffe", "npy", "raf-db", "ck-plus", "prepared"):
        with pytest.raises(EmotionEdgeError, match=rf"notes\.txt: a file, but {kind} is a folder"):
            read_dataset(tmp_path / "notes.txt", kind)
        with pytest.raises(EmotionEdgeError, match=re.escape(str(tmp_path))):
            read_dataset(tmp_path, kind)


def test_a_mapping_where_it_has_no_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match="is ck-plus, whose classes are known; leave the mapping out"):
        read_dataset(write_ck_plus(tmp_path), mapping=tmp_path / "names.yaml")
