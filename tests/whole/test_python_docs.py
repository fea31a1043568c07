"""Runs the examples in docs/python.md unchanged."""

import csv
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.media import CLIP
from edge.reading import Image
from tests.conftest import ROOT

EXAMPLES = {
    part.partition("\n")[0]: code[1]
    for part in (ROOT / "docs" / "python.md").read_text().split("\n## ")
    if (code := re.search(r"```python\n(.*?)```", part, re.DOTALL))
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, astronaut: Image) -> Path:
    """Working directory with a folder of one portrait and one picture without a face."""
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "portrait.jpg"), astronaut)
    cv2.imwrite(str(tmp_path / "photos" / "wall.jpg"), np.full((200, 200, 3), 128, np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(title: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(EXAMPLES[title], f"docs/python.md, {title}", "exec"), names)
    return names


def test_a_folder_becomes_a_csv(photos: Path) -> None:
    run("A folder to a CSV")
    rows = list(csv.DictReader((photos / "emotions.csv").open()))
    assert [(row["file"], row["emotion"]) for row in rows] == [("portrait.jpg", "happy")]
    assert float(rows[0]["happy"]) > 0.5


def test_a_webcam_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundled clip replaces the camera, and a list the window."""
    opened, shown = cv2.VideoCapture, []
    keys = iter([-1] * 30 + [ord("q")])
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: opened(str(CLIP)))
    monkeypatch.setattr(cv2, "imshow", lambda _, image: shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    names = run("A webcam")
    assert len(shown) == 30
    assert names["reading"].faces


@pytest.mark.usefixtures("photos")
def test_a_notebook_shows_the_scores() -> None:
    plt = pytest.importorskip("matplotlib.pyplot", reason="the training extra is not installed")
    plt.switch_backend("agg")
    names = run("A notebook")
    assert [bar.get_width() for bar in names["right"].patches] == list(names["reading"].leader.scores.values())
    plt.close("all")


def test_a_web_service_answers(photos: Path) -> None:
    pytest.importorskip("flask", reason="Flask is not installed")
    client = run("A web service with Flask")["app"].test_client()
    answer = client.post("/emotions", data=(photos / "photos" / "portrait.jpg").read_bytes())
    assert [face["emotion"] for face in answer.get_json()["faces"]] == ["happy"]
    assert client.post("/emotions", data=b"no picture").status_code == 400
