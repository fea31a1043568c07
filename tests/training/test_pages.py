"""Reports as HTML pages: what they hold, and how they stand in a real browser."""

import base64
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver

from edge.labels import CIRCUMPLEX, LABEL_SETS
from edge.reading import Image
from tests.support.browser import is_dark, look_at, overflow, start_browser
from training.pages.figures import figure_svg
from training.pages.page import (
    FACES_SHOWN,
    Notice,
    Section,
    bullets,
    columns,
    heading,
    paragraph,
    render_page,
    table_html,
    tiles,
    together,
)
from training.pages.plots import affect_plot, bars, confusion_plot, histogram, lines, reliability_plot
from training.pages.sheets import data_uri, image_sheet, mosaic, square

NAMES = LABEL_SETS["ferplus8"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = start_browser(tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


class Elements(HTMLParser):
    """Every element of a page with its attributes, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


def every_plot() -> list[str]:
    generator = np.random.default_rng(3)
    matrix = generator.integers(0, 2000, (8, 8))
    sure = np.linspace(0.2, 0.95, 8)
    affect = generator.uniform(-1, 1, (200, 2))
    history = {"Training": [2.0, 1.4, 1.1], "PublicTest": [1.9, 1.5, 1.3]}
    return [
        figure_svg(confusion_plot(matrix, NAMES), "Confusion matrix"),
        figure_svg(bars(NAMES, {"recall": generator.random(8).tolist()}, "recall", percent=True), "Recall"),
        figure_svg(bars(NAMES, {"a": [5.0] * 8, "b": [7.0] * 8}, "faces", spread=True), "Faces"),
        figure_svg(bars(NAMES, {"a": [5.0] * 8, "b": [float("nan")] * 8}, "faces"), "Faces"),
        figure_svg(histogram({"a": affect[:, 0], "b": affect[:, 1]}, "brightness"), "Brightness", "A caption"),
        figure_svg(histogram({"a": np.full(3, 7.0)}, "all alike"), "All alike"),
        figure_svg(lines([1, 2, 3], history, "epoch", "loss", mark=2), "Loss by epoch"),
        figure_svg(reliability_plot({"as trained": (sure, sure**2, sure * 100)}), "Reliability"),
        figure_svg(affect_plot(affect[:, 0], affect[:, 1], CIRCUMPLEX), "Valence and arousal"),
    ]


def whole_page(face: Image) -> str:
    faces = [face[top : top + 96, 160:256] for top in range(0, 256, 8)]
    sections = [
        Section("Figures", together([tiles([("Faces", "35,887", "of 48x48 pixels"), ("Accuracy", "71.2%", "")])])),
        Section("Plots", columns(every_plot())),
        Section("Pictures", together([mosaic(faces, 8, "Faces"), image_sheet(faces, ["row 7: sad as fear"] * 32, 10)])),
        Section("Table", table_html(["class", *NAMES], [[name, *range(1000, 9000, 1000)] for name in NAMES], "Wide")),
        Section("Words", together([paragraph("a" * 200), heading("Names"), bullets(NAMES)])),
    ]
    return render_page("A report", "What it is.", sections, [FACES_SHOWN, Notice("Something is wrong.")])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_screen_in_light_and_dark(
    browser: webdriver.Chrome, astronaut: Image, width: int, scheme: str, tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(whole_page(astronaut), encoding="utf-8")
    look_at(browser, (tmp_path / "page.html").as_uri(), width, scheme=scheme)
    assert overflow(browser) <= 0
    assert is_dark(browser) is (scheme == "dark")
    shown = "return [...document.images].map(it => it.complete && it.naturalWidth > 0 && it.clientWidth > 40)"
    seen = browser.execute_script(shown)
    assert len(seen) == 33
    assert all(seen)
    ink = "return getComputedStyle(document.querySelector('.plot svg text')).fill"
    assert (int(browser.execute_script(ink).removeprefix("rgb(").split(",")[0]) > 128) is (scheme == "dark")
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_letters_of_plots_can_be_read_on_a_phone(browser: webdriver.Chrome, astronaut: Image, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(whole_page(astronaut), encoding="utf-8")
    look_at(browser, (tmp_path / "page.html").as_uri(), 390)
    script = """
        return [...document.querySelectorAll(".plot svg text")].map(it => {
            const shown = it.getScreenCTM();
            return parseFloat(getComputedStyle(it).fontSize) * Math.hypot(shown.a, shown.b);
        });
    """
    sizes = browser.execute_script(script)
    assert len(sizes) > 100
    assert min(sizes) > 8


def test_page_needs_nothing_from_elsewhere(browser: webdriver.Chrome, astronaut: Image, tmp_path: Path) -> None:
    page = whole_page(astronaut)
    elements = Elements(page)
    assert not elements.of("script")
    addresses = [
        attributes[name] or "" for _, attributes in elements.found for name in ("src", "href") if name in attributes
    ]
    assert len(addresses) > 40
    assert all(address.startswith(("data:", "#")) for address in addresses)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    look_at(browser, (tmp_path / "page.html").as_uri())
    asked = browser.execute_script("return performance.getEntriesByType('resource').map(it => it.name)")
    assert [name for name in asked if not name.startswith("data:")] == []


def test_page_can_be_read_without_seeing_it(astronaut: Image) -> None:
    elements = Elements(whole_page(astronaut))
    assert all(image["alt"] for image in elements.of("img"))
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in elements.of("svg"))
    assert {header["scope"] for header in elements.of("th")} == {"row", "col"}
    assert [tag for tag, _ in elements.found if tag in ("h1", "h2")] == ["h1", *["h2"] * 5]
    names = [attributes["id"] for _, attributes in elements.found if attributes.get("id")]
    assert len(names) == len(set(names))
    links = [link["href"] for link in elements.of("a")]
    assert links == ["#figures", "#plots", "#pictures", "#table", "#words"]
    assert {str(link)[1:] for link in links} <= set(names)


def test_text_is_escaped_wherever_it_goes() -> None:
    evil = "<script>alert('1 & 2')</script>"
    sections = [
        Section(evil, together([paragraph(evil), heading(evil), bullets([evil]), tiles([(evil, evil, evil)])])),
        Section("Table", table_html([evil, evil], [[evil, evil]], evil)),
        Section("Pictures", image_sheet([np.zeros((8, 8), np.uint8)], [evil])),
        Section("Plot", figure_svg(bars([evil], {evil: [1.0], "other": [2.0]}, evil), evil, evil)),
        Section("Mosaic", mosaic([np.zeros((8, 8), np.uint8)], 1, evil, evil, evil)),
    ]
    page = render_page(evil, evil, sections, [Notice(evil)], footer=evil)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") > 15


def test_table_shows_numbers_as_people_write_them() -> None:
    page = table_html(["class", "faces", "score", "share"], [["happy", 8989, -0.5, "25.0%"], ["none", 0, None, ""]])
    assert '<th scope="row">happy</th><td class="number">8,989</td><td class="number">−0.50</td>' in page
    assert '<th scope="row">none</th><td class="number">0</td><td class="number"></td>' in page
    assert '<td class="number">25.0%</td>' in page
    assert '<th scope="col">class</th>' in page


def test_plots_hold_their_figures_as_text_in_the_colours_of_the_page() -> None:
    matrix = np.arange(64).reshape(8, 8) * 100
    page = figure_svg(confusion_plot(matrix, NAMES), "Confusion matrix", "Rows are true")
    assert all(f">{name}</text>" in page for name in NAMES)
    assert ">6,300</text>" in page
    assert "<figcaption>Rows are true</figcaption>" in page
    assert "var(--heat)" in page
    assert "#0101" not in page
    assert page == figure_svg(confusion_plot(matrix, NAMES), "Confusion matrix", "Rows are true")


def decoded(address: str) -> Image:
    packed = np.frombuffer(base64.b64decode(address.split(",", 1)[1]), np.uint8)
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_UNCHANGED), np.uint8)


def test_small_pictures_come_back_to_the_pixel_and_large_ones_nearly(astronaut: Image) -> None:
    small = astronaut[60:108, 200:248]
    assert np.array_equal(decoded(data_uri(small)), small)
    assert np.array_equal(decoded(data_uri(small[..., 0])), small[..., 0])
    back = decoded(data_uri(astronaut))
    assert back.shape == astronaut.shape
    assert float(np.abs(back.astype(float) - astronaut).mean()) < 4


def test_mosaic_shows_each_picture_in_its_place(astronaut: Image) -> None:
    faces = [astronaut[top : top + 90, 180:240] for top in (0, 60, 120)]
    (image,) = Elements(mosaic(faces, 2, "Three faces", "angry", "3 faces", side=48)).of("img")
    sheet = decoded(str(image["src"]))
    assert sheet.shape == (98, 98, 4)
    assert (image["width"], image["height"]) == ("98", "98")
    for (top, left), face in zip(((0, 0), (0, 50), (50, 0)), faces, strict=True):
        tile = sheet[top : top + 48, left : left + 48]
        assert (tile[..., 3] == 255).all()
        assert float(np.abs(tile[..., :3].astype(float) - square(face, 48)).mean()) < 8
    assert not sheet[50:, 50:, 3].any()
