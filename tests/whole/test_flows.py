"""Runs every command of the five projects in docs/flows.md, on small data of the same layout."""

import csv
import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("keras", reason="the training extra is not installed")

from edge.labels import labels_of
from quantize import cli as quantizing
from tests.conftest import ROOT
from tests.support.fer2013_files import TINY, pattern, write_files
from training import cli as training

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "flows.md").read_text()
MAINS = {"emotion-train": training.main, "emotion-quantize": quantizing.main}


def write_images(folder: Path, classes: tuple[str, ...], count: int) -> None:
    generator = np.random.default_rng(len(folder.parts))
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for row in range(count):
            assert cv2.imwrite(str(folder / name / f"{row}.png"), pattern(label % 7, generator))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the data of all five projects, and their settings with a small network and one epoch."""
    root = tmp_path_factory.mktemp("flows")
    nine, seven = labels_of("skillbox9"), labels_of("fer7")
    competition = root / "data" / "competition"
    write_images(competition / "train", nine, 10)
    with (competition / "train.csv").open("w", newline="") as file:
        rows = [(f"./train/{name}/{row}.png", name) for name in nine for row in range(10)]
        csv.writer(file).writerows([("image_path", "emotion"), *rows])
    (competition / "test_kaggle").mkdir()
    for row in range(4):
        (competition / "test_kaggle" / f"{row}.png").write_bytes(
            (competition / "train" / "happy" / f"{row}.png").read_bytes()
        )
    (competition / "sample_submission.csv").write_text(
        "image_path,emotion\n" + "".join(f"{row}.png,happy\n" for row in range(4))
    )
    write_files(root / "data" / "fer2013", 70)
    for place in ("images", "images/images"):
        write_images(root / "data" / "images" / place / "train", seven, 10)
        write_images(root / "data" / "images" / place / "validation", seven, 2)
    for block in re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.S):
        settings = {**TINY, **yaml.safe_load(block[1]), "epochs": 1}
        (root / block[0]).write_text(yaml.safe_dump(settings))
    return root


TITLES = re.findall(r"^## (.*)$", PAGE, re.M)


@pytest.mark.parametrize("title", TITLES)
def test_every_command_of_a_project_works(folder: Path, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Projects run in the order of the page, as the fourth uses the third one's run."""
    monkeypatch.chdir(folder)
    part = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
    commands = [shlex.split(line) for line in part.split("```sh\n")[1].split("```")[0].splitlines()]
    for program, *arguments in commands:
        assert MAINS[program](arguments) == 0
        if "--out" in arguments:
            assert Path(arguments[arguments.index("--out") + 1]).exists()
    if title == TITLES[0]:
        lines = Path("submission.csv").read_text().splitlines()
        assert lines[0] == "image_path,emotion"
        assert [line.split(",")[0] for line in lines[1:]] == [f"{row}.png" for row in range(4)]
