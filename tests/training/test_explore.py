"""The report on a data set, of photographs with every fault, and of FER-2013."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver

from edge.errors import EmotionEdgeError
from edge.reading import Image
from tests.conftest import ROOT
from tests.support.browser import is_dark, look_at, overflow, start_browser
from tests.support.fer2013_files import write_files
from training.config import TrainingConfig
from training.datasets.dataset import Dataset, Labels, one_hot
from training.datasets.fer2013 import read_fer2013
from training.explore import explore
from training.exploring.agreement import agreement, entropy, vote_agreement
from training.exploring.survey import duplicates, survey

PORTRAIT = ROOT / "training" / "synthetic" / "portraits" / "grace_hopper.jpg"
NAMES = ("negative", "happy", "surprise", "neutral")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory, astronaut: Image) -> Dataset:
    """Sixty crops of two portraits as files: one twice in two splits with two labels, one blank, one cut off.

    Class by class in turn, without any of `neutral`; three people, of whom one is in two splits.
    """
    folder = tmp_path_factory.mktemp("photographs")
    portraits = [astronaut[:260, 120:340], cv2.imread(str(PORTRAIT))[:360]]
    generator = np.random.default_rng(5)
    for number in range(60):
        portrait = portraits[number % 2]
        side = int(min(portrait.shape[:2]) * generator.uniform(0.6, 1))
        top, left = (generator.integers(0, length - side + 1) for length in portrait.shape[:2])
        suffix = ("jpg", "png")[number // 2 % 2]
        cv2.imwrite(str(folder / f"{number:02}.{suffix}"), portrait[top : top + side, left : left + side])
    (folder / "60.jpg").write_bytes((folder / "00.jpg").read_bytes())
    cv2.imwrite(str(folder / "61.png"), np.full((50, 40), 90, np.uint8))
    (folder / "62 & more.jpg").write_bytes((folder / "00.jpg").read_bytes()[:900])
    judged = np.array([*(np.arange(60) % 3), 2, 0, 1])
    split = np.array([*([0] * 40), *([1] * 10), *([2] * 10), 2, 0, 0])
    return Dataset(
        "Two portraits",
        tuple(sorted(folder.iterdir())),
        {"compact4": one_hot(NAMES, judged)},
        np.stack([np.linspace(-1, 1, 63), np.linspace(-0.5, 0.5, 63)], axis=1).astype(np.float32),
        False,
        split,
        np.arange(63),
        np.where(split == 1, np.arange(63) % 2, split),
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


def warned(page: str) -> list[str]:
    """Return the text of a page's warnings."""
    found = re.findall(r'<p class="notice warning"><strong>Warning:</strong> (.*?)</p>', page, re.DOTALL)
    return [html.unescape(text) for text in found]


def given_away(page: str) -> dict[str, list[str]]:
    """Parse the table of faces that are also in Training: cells by split."""
    table = page[page.index("What Training gives away") :].partition("</table>")[0]
    rows = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: re.findall(r">([^<>]+)</td>", cells) for name, cells in rows}


def test_what_is_wrong_is_said_at_the_top(photographs: Dataset, tmp_path: Path) -> None:
    out = explore(photographs, tmp_path / "deep" / "report.html")
    assert out == tmp_path / "deep" / "report.html"
    page = out.read_text(encoding="utf-8")
    told = warned(page)
    assert told[0] == "1 file cannot be read as an image: 62 & more.jpg."
    assert told[1].startswith("Training has no face of neutral")
    assert told[2].startswith("Training has fewer than 100 faces of negative (15), happy (14) and ")
    assert told[3].startswith("1 image is in more than one split, pixel for pixel")
    assert told[4] == "1 image occurs several times with different labels."
    assert told[5] == "1 image is blank: all pixels alike."
    assert told[6].startswith("1 person is in more than one split")
    assert len(told) == 7
    assert "pictures of people's faces" in html.unescape(page)
    assert page.index("pictures of people") < page.index("Warning:") < page.index("<section")


def test_report_shows_classes_people_sizes_and_affect(photographs: Dataset, tmp_path: Path) -> None:
    assert isinstance(photographs.images, tuple)
    page = explore(photographs, tmp_path / "report.html", photographs.images[0].parent).read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == ["Overview", "Classes", "Images", "Duplicates", "Valence and arousal", "People"]
    row = re.search(r'<th scope="row">negative</th>(.*?)</tr>', page)
    assert row
    assert re.findall(r">([^<>]+)</td>", row[1]) == ["15", "3", "3", "21", "33.3%"]
    assert "Histogram of image sizes" in page
    assert "As the data set has them" in page
    assert "derived" not in page
    assert '<th scope="row">Training</th><td class="number">1</td><td class="number">42</td>' in page
    assert "negative, surprise (rows 0, 60)" in page
    assert given_away(page) == {"PrivateTest": ["1", "9.1%", "0"]}
    assert page.count('class="mosaic"') == 3 + 6


def test_augmentation_is_shown_with_the_settings_of_a_run(photographs: Dataset, tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="the training extra is not installed")
    config = TrainingConfig.model_validate({"name": "a", "epochs": 1, "augment": {"erase": 1.0}})
    page = explore(photographs, tmp_path / "report.html", augmented=config).read_text(encoding="utf-8")
    section = page[page.index('<section id="augmentation"') :]
    assert "Faces, each as it is and augmented several times" in section
    assert section.count("<img") == 1


def test_same_data_gives_the_same_report(photographs: Dataset, tmp_path: Path) -> None:
    first = explore(photographs, tmp_path / "first.html").read_bytes()
    assert first == explore(photographs, tmp_path / "second.html").read_bytes()


def test_survey_measures_what_it_says(photographs: Dataset, astronaut: Image) -> None:
    face = np.asarray(cv2.cvtColor(astronaut[40:140, 180:280], cv2.COLOR_BGR2GRAY), np.uint8)
    files = photographs.images
    assert isinstance(files, tuple)
    found = survey(photographs)
    assert found.sizes[61].tolist() == [50, 40]
    assert found.brightness[61] == 90
    assert found.contrast[61] == 0
    assert not found.readable[62]
    assert np.isnan(found.brightness[62])
    assert {key[1] for key in found.means} == {"negative", "happy", "surprise"}
    assert all(mean.shape == (96, 96, 3) for mean in found.means.values())

    blurred = cv2.GaussianBlur(face, (0, 0), 4)
    dark, flat = (face // 2).astype(np.uint8), (face // 2 + 60).astype(np.uint8)
    shades = np.stack([face, blurred, dark, flat]).astype(np.uint8)
    grey = survey(some(shades))
    assert grey.sharpness[1] < grey.sharpness[0] / 2
    assert grey.brightness[2] < grey.brightness[0] * 0.6
    assert grey.contrast[3] == pytest.approx(grey.contrast[0] / 2, rel=0.1)
    assert np.array_equal(grey.means["compact4", "happy"].shape, (96, 96))


def test_a_mean_face_is_the_mean(astronaut: Image) -> None:
    faces = np.stack([astronaut[60:108, 200:248, 0], astronaut[60:108, 204:252, 0]])
    mean = survey(some(faces)).means["compact4", "happy"]
    assert np.abs(mean - faces.astype(float).mean(axis=0)).max() <= 0.5


def test_faces_are_cut_out_where_the_data_set_has_boxes(photographs: Dataset) -> None:
    boxes = np.zeros((len(photographs), 4), np.int64)
    boxes[0] = (10, 20, 30, 40)
    found = survey(replace(photographs, boxes=boxes))
    assert found.sizes[0].tolist() == [40, 30]
    assert found.sizes[1].tolist() == survey(photographs).sizes[1].tolist()


def test_duplicates_are_images_alike_to_the_pixel_and_of_one_shape(astronaut: Image) -> None:
    face = astronaut[60:108, 200:248, 0]
    other = face.copy()
    other[0, 0] ^= 1
    data = replace(some(np.stack([face, other, face, other, face])), split=np.array([0, 0, 0, 1, 0]))
    twins = duplicates(data, survey(data))
    assert [group.tolist() for group in twins.groups] == [[0, 2, 4], [1, 3]]
    assert twins.across.tolist() == [False, True]
    assert twins.conflicting.tolist() == [False, False]


def some(faces: Image) -> Dataset:
    """Faces that are all happy."""
    labels = {"compact4": one_hot(NAMES, np.ones(len(faces), np.int64))}
    return Dataset("Some", faces, labels, None, False, np.zeros(len(faces), np.int64), np.arange(len(faces)))


def test_agreement_goes_by_the_names_of_classes() -> None:
    first = one_hot(("happy", "sad"), np.array([0, 0, 1, 1, -1]))
    second = one_hot(("sad", "neutral", "happy"), np.array([2, 1, 0, -1, 2]))
    found = agreement(first, second)
    assert (found.both, found.equal) == (3, 2)
    assert found.table.tolist() == [[0, 1, 1], [1, 0, 0]]


def test_entropy_is_in_bits() -> None:
    votes = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25]], np.float32)
    assert entropy(votes).tolist() == [0, 1, 2]


def test_small_data_without_votes_people_or_duplicates(tmp_path: Path) -> None:
    (write_files(tmp_path, training=21, test=7) / "fer2013new.csv").unlink()
    page = explore(read_fer2013(tmp_path), tmp_path / "report.html", tmp_path).read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    assert titles == ["Overview", "Classes", "Images", "Duplicates"]
    assert "No two images are alike" in page
    assert vote_agreement(read_fer2013(tmp_path), tmp_path) is None


def test_split_without_faces_is_said(photographs: Dataset, tmp_path: Path) -> None:
    page = explore(photographs.part("Training"), tmp_path / "report.html").read_text(encoding="utf-8")
    assert any(text.startswith("No faces in PublicTest and PrivateTest.") for text in warned(page))


def test_data_set_whose_labels_say_nothing_still_has_a_report(astronaut: Image, tmp_path: Path) -> None:
    faces = np.stack([astronaut[60:108, 200:248, 0]] * 2)
    nothing = Labels(NAMES, np.zeros((2, 4), np.float32), np.array([-1, -1]))
    page = explore(replace(some(faces), labels={"compact4": nothing}), tmp_path / "report.html").read_text("utf-8")
    assert "Training has no face of negative, happy, surprise and neutral" in page


def test_data_set_of_no_image_at_all_is_refused(photographs: Dataset, tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"Two portraits: none of its 1 images can be read \(62 & more.jpg\)"):
        explore(photographs.take(np.array([62])), tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def fer2013_report(fer2013: Dataset, fer2013_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fer2013") / "report.html"
    return explore(fer2013, out, fer2013_dir)


def test_fer2013_has_the_figures_that_are_known_of_it(fer2013_report: Path) -> None:
    page = html.unescape(fer2013_report.read_text(encoding="utf-8"))
    tiles = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]+)</dd>", page))
    assert tiles["Faces"] == "35,887"
    assert tiles["Groups"] == "1,516"
    assert tiles["Images in them"] == "3,369"
    assert tiles["Across splits"] == "557"
    assert tiles["Conflicting labels"] == "57"
    assert tiles["Valence, arousal"] == "derived"
    assert "is the FER label in 62.3% of all rows" in page
    assert "that class is the FER label in 71.8%" in page
    assert "Derived: computed from the labels" in page
    for name, count in {"angry": "4,953", "disgust": "547", "happy": "8,989", "neutral": "6,198"}.items():
        assert f"{name}, {count} faces" in page
    told = warned(page)
    assert told[0].startswith("Under fer7, Training has few faces of disgust (436)")
    assert any(text.startswith("557 images are in more than one split") for text in told)
    assert given_away(page) == {"PublicTest": ["280", "7.8%", "273"], "PrivateTest": ["288", "8.0%", "279"]}
    assert fer2013_report.stat().st_size < 5_000_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_report_fits_the_screen(
    browser: webdriver.Chrome, photographs: Dataset, width: int, scheme: str, tmp_path: Path
) -> None:
    out = explore(photographs, tmp_path / "report.html")
    look_at(browser, out.as_uri(), width, scheme=scheme)
    assert overflow(browser) <= 0
    assert is_dark(browser) is (scheme == "dark")
    shown = "return [...document.images].every(it => it.complete && it.naturalWidth > 0)"
    assert browser.execute_script(shown)
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(it => it.name)")
    assert [name for name in asked if not name.startswith("data:")] == []
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
