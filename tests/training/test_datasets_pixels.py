"""Loading image files, with unreadable ones skipped, and mapping labels to another label set."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import EmotionEdgeError
from edge.labels import labels_of
from tests.training.test_datasets_layouts import write_classes, write_image
from training.datasets import read_dataset
from training.datasets.dataset import Dataset, Labels, one_hot
from training.datasets.pixels import in_memory, read_image
from training.datasets.relabel import relabel
from training.datasets.splits import complete, split_of


def of_files(*files: Path, boxes: list[list[int]] | None = None) -> Dataset:
    """Make a data set of image files without labels."""
    zeros = np.zeros(len(files), np.int64)
    return Dataset(
        "files", files, {}, None, False, zeros, np.arange(len(files)), boxes=None if boxes is None else np.array(boxes)
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".bmp", ".webp", ".pgm"])
def test_a_cut_off_file_is_skipped_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
    good, bad = tmp_path / f"good{suffix}", tmp_path / f"bad{suffix}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 30), np.uint8)
    cv2.imwrite(str(good), noise)
    bad.write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    data = in_memory(of_files(good, bad), 20, 20, 1)
    assert data.rows.tolist() == [0]
    assert data.pixels.shape == (1, 20, 20)
    assert f"{bad}: no image that can be read; corrupt or cut off" in caplog.text
    assert "files: 1 of 2 images cannot be read and are left out" in caplog.text


def test_empty_missing_and_foreign_files_leave_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty, text, gone = tmp_path / "empty.png", tmp_path / "text.png", tmp_path / "gone.png"
    empty.write_bytes(b"")
    text.write_text("no image")
    with pytest.raises(EmotionEdgeError, match=r"files: none of 3 images can be read, the first: .*empty\.png"):
        in_memory(of_files(empty, text, gone), 20, 20, 3)
    assert f"{gone}: not there" in caplog.text


def test_kinds_of_pixels_become_grey_or_bgr(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("grey.png", "alpha.png", "deep.png")]
    colour = np.zeros((10, 10, 4), np.uint8)
    colour[..., 0], colour[..., 3] = 200, 255
    assert cv2.imwrite(str(files[0]), np.full((10, 10), 90, np.uint8))
    assert cv2.imwrite(str(files[1]), colour)
    assert cv2.imwrite(str(files[2]), np.full((10, 10), 90 << 8, np.uint16))
    bgr = in_memory(of_files(*files), 10, 10, 3).pixels
    assert bgr[:, 5, 5].tolist() == [[90, 90, 90], [200, 0, 0], [90, 90, 90]]
    assert in_memory(of_files(*files), 10, 10, 1).pixels[:, 5, 5].tolist() == pytest.approx([90, 23, 90], abs=1)


def test_images_stand_upright_by_their_exif(tmp_path: Path) -> None:
    from PIL import Image

    image = np.zeros((20, 40), np.uint8)
    image[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90 degrees clockwise
    Image.fromarray(image).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    for channels in (1, 3):
        upright = read_image(tmp_path / "turned.jpg", channels)
        assert upright.shape[:2] == (40, 20)
        assert upright[:8].min() > 200
        assert upright[12:].max() < 50


def test_a_box_is_cut_out_and_one_outside_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path / "a.png", 60)
    boxes = [[0, 0, 4, 4], [-8, -8, 12, 12], [30, 30, 5, 5], [0, 0, 0, 0]]
    data = in_memory(of_files(*[tmp_path / "a.png"] * 4, boxes=boxes), 24, 24, 1)
    assert data.rows.tolist() == [0, 1, 3]
    assert data.pixels[:2].min() == 255
    assert data.pixels[2, 20, 20] == 60
    assert data.boxes is None
    assert "the face box 30, 30, 5 x 5 is outside the image" in caplog.text


def test_labels_stay_with_their_faces_where_one_is_skipped(tmp_path: Path) -> None:
    write_classes(tmp_path, ("happy", "sad"), 3, ".png")
    (tmp_path / "happy" / "im1.png").write_bytes(b"spoilt")
    data = in_memory(read_dataset(tmp_path), 8, 8, 1)
    assert data.labels["happy-sad"].judged.tolist() == [0, 0, 1, 1, 1]
    assert data.pixels[:, 7, 7].tolist() == [10, 10, 30, 30, 30]


def under(**labels: Labels) -> Dataset:
    """Make a data set of three faces with labels under these label sets."""
    return Dataset("test", np.zeros((3, 8, 8), np.uint8), labels, None, False, np.zeros(3, np.int64), np.arange(3))


def test_relabel_merges_drops_and_divides_anew() -> None:
    shares = np.zeros((3, 8), np.float32)
    shares[0, 4], shares[0, 7], shares[1, 7], shares[2, 0] = 0.5, 0.5, 1, 1
    data = under(ferplus8=Labels(labels_of("ferplus8"), shares, np.array([-1, 7, 0])))
    merged = relabel(data, "compact4").labels["compact4"]
    assert merged.probabilities.tolist() == [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert merged.judged.tolist() == [-1, 0, 3]
    narrow = relabel(data, "fer7").labels["fer7"]
    assert narrow.probabilities[0].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert not narrow.probabilities[1].any()
    assert narrow.judged.tolist() == [-1, -1, 6]


def test_relabel_takes_the_set_that_can_say_every_class() -> None:
    judged = np.array([0, 1, 2])
    data = under(fer7=one_hot(labels_of("fer7"), judged), ferplus8=one_hot(labels_of("ferplus8"), judged + 5))
    assert relabel(data, "disgust-contempt").labels["disgust-contempt"].judged.tolist() == [0, -1, 1]
    assert relabel(data, "happy-fear-angry").labels["happy-fear-angry"].judged.tolist() == [2, -1, 1]
    assert relabel(data, "ferplus8").labels["ferplus8"] is data.labels["ferplus8"]


def test_words_of_splits() -> None:
    assert [split_of(word) for word in ("train", "Valid", "test_set", "PublicTest", "happy")] == [0, 1, 2, 1, None]


def test_a_cut_keeps_small_classes_in_training_and_people_together() -> None:
    classes = np.repeat([0, 1, 2], [50, 30, 2])
    split = complete(np.zeros(82, np.int64), classes, None, 3)
    assert [np.bincount(classes[split == part], minlength=3).tolist() for part in range(3)] == [
        [41, 24, 2],
        [4, 3, 0],
        [5, 3, 0],
    ]
    people = np.arange(82) % 15
    people[:5] = -1
    split = complete(np.zeros(82, np.int64), classes, people, 3)
    assert all((split == part).any() for part in range(3))
    assert all(len(set(split[people == person])) == 1 for person in range(15))


def test_one_person_is_cut_by_face_and_said(caplog: pytest.LogCaptureFixture) -> None:
    split = complete(np.zeros(20, np.int64), np.repeat([0, 1], 10), np.zeros(20, np.int64), 0)
    assert np.bincount(split).tolist() == [16, 2, 2]
    assert "one person only" in caplog.text
