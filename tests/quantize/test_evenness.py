"""Evenness between FairFace's groups, added to the card of an existing model."""

import json
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np

from edge.models.card import CARD_FILE, EmotionCard, read_card
from edge.models.released import model_dir
from quantize.cli import main
from training.synthetic import portraits


def test_it_is_measured_into_both_cards_and_replaces_what_was_there(tmp_path: Path) -> None:
    photograph = cv2.imread(str(Path(portraits.__path__[0]) / "grace_hopper.jpg"))
    assert photograph is not None
    side = min(photograph.shape[:2])
    left = (photograph.shape[1] - side) // 2
    face = cv2.resize(photograph[:side, left : left + side], (128, 128))
    with zipfile.ZipFile(tmp_path / "fairface-val.zip", "w") as archive:
        for name, image in (("face", face), ("blank", np.full_like(face, 90))):
            archive.writestr(f"{name}.jpg", cv2.imencode(".jpg", image)[1].tobytes())
        archive.writestr("labels.csv", "file,age,gender,race\nface.jpg,20-29,Female,White\nblank.jpg,3-9,Male,Indian\n")
    model = tmp_path / "emotion-nano"
    shutil.copytree(model_dir("emotion-nano"), model)
    before = read_card(EmotionCard, model)
    for _ in range(2):
        assert main(["evenness", str(model), "--fairface", str(tmp_path / "fairface-val.zip")]) == 0
    rows = {row["group"]: row for row in json.loads((model / CARD_FILE).read_text())["parity"]["rows"]}
    assert rows["all"]["found"][0] == 0.5
    assert rows["White"]["found"][0] == 1.0
    after = read_card(EmotionCard, model)
    assert (after.sha256, after.outputs, after.metrics) == (before.sha256, before.outputs, before.metrics)
    text = (model / "CARD.md").read_text()
    assert text.count("## Evenness") == 1
    assert "| White | 1 | 100.0 " in text
    assert "not accuracy" in text
