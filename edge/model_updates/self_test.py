"""A model's self-test: its outputs for three drawn faces must equal those in its card.

It detects, before the model is used, a file that does not belong to its card and an interpreter that computes
differently.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np

from edge.emotion.local import LocalClassifier
from edge.emotion.scores import scores_of
from edge.errors import EmotionEdgeError
from edge.faces.yunet import YuNet
from edge.models.card import CARD_FILE, Card, EmotionCard, SelfTest, read_any_card
from edge.models.runtime import Runtime, choose
from edge.reading import Image

DRAWING: Final = 1
"""Version of the drawing in this file. The self-test of a card with another version cannot be run."""
MOUTHS: Final = ("smiling", "frowning", "open")
TOLERANCE: Final = 0.1
"""Largest accepted difference of an output: interpreters and processors round int8 differently, by up to 0.03."""
_SUBSAMPLES: Final = 4
"""Samples per pixel and direction, whose mean is the pixel (anti-aliasing)."""
_FACE_SIDE: Final = 128
"""Side in pixels of the face that a detector is shown: the size that every released YuNet detects best."""
MIN_SCORE: Final = 0.3


def drawn_face(height: int, width: int, mouth: str) -> Image:
    """Draw a grey face, uint8 [height, width], that face detectors detect. mouth: one of MOUTHS."""
    fine_height, fine_width = height * _SUBSAMPLES, width * _SUBSAMPLES
    rows, columns = np.mgrid[:fine_height, :fine_width]
    x, y = (columns + 0.5) / fine_width * 2 - 1, (rows + 0.5) / fine_height * 2 - 1
    picture = np.full(x.shape, 90.0)
    head = (x / 0.72) ** 2 + (y / 0.95) ** 2 < 1
    picture[head] = 200 - 40 * np.abs(x[head])
    picture[head & (y < -0.55)] = 50  # hair
    picture[(np.abs(x) < 0.07) & (y > -0.1) & (y < 0.22)] = 150  # nose
    for side in (-0.3, 0.3):
        picture[((x - side) / 0.14) ** 2 + ((y + 0.18) / 0.08) ** 2 < 1] = 40  # eye
        picture[(np.abs(x - side) < 0.18) & (np.abs(y + 0.36) < 0.035)] = 70  # brow
    match mouth:
        case "smiling":
            lips = (np.abs(x) < 0.35) & (np.abs(y - 0.55 + 0.5 * x**2) < 0.06)
        case "frowning":
            lips = (np.abs(x) < 0.35) & (np.abs(y - 0.45 - 0.5 * x**2) < 0.06)
        case _:
            lips = (x / 0.17) ** 2 + ((y - 0.52) / 0.2) ** 2 < 1
    picture[lips] = 60
    return np.asarray(picture.reshape(height, _SUBSAMPLES, width, _SUBSAMPLES).mean((1, 3)), np.uint8)


def framed_face(height: int, width: int, mouth: str) -> Image:
    """Draw a picture, uint8 [height, width], with a face in its middle. mouth: one of MOUTHS."""
    side = min(_FACE_SIDE, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    picture = np.full((height, width), 60, np.uint8)
    picture[top : top + side, left : left + side] = drawn_face(side, side, mouth)
    return picture


def self_test_outputs(folder: Path, runtime: Runtime) -> list[list[float]]:
    """Run the model in a folder on the drawn faces, and return one row of outputs for each.

    A row of an emotion model has the probabilities of its primary output. A row of a face detector has x, y, width and
    height of the best box as fractions of the picture, and its score; all are zero if it finds none.

    Raises:
        EmotionEdgeError: the model is not intact or does not load. Other exceptions if it does not run.
    """
    card = read_any_card(folder)
    if isinstance(card, EmotionCard):
        faces = np.stack([drawn_face(card.input.height, card.input.width, mouth) for mouth in MOUTHS])
        crops = np.repeat(faces[..., None], card.input.channels, axis=3)
        # `mirror_below` is off: interpreters may differ in which faces it averages over mirror images.
        classifier = LocalClassifier(folder, runtime)
        found = scores_of(classifier.card, classifier.outputs(crops)).probabilities
    else:
        detector = YuNet(folder, MIN_SCORE, runtime)
        found = np.array([_best(detector, card, mouth) for mouth in MOUTHS])
    return [[round(float(value), 4) for value in row] for row in found]


def _best(detector: YuNet, card: Card, mouth: str) -> tuple[float, ...]:
    height, width = card.input.height, card.input.width
    found = detector.detect(framed_face(height, width, mouth))
    if not found:
        return (0.0,) * 5
    box = found[0].box
    return box.x / width, box.y / height, box.width / width, box.height / height, found[0].score


def run_self_test(folder: Path, runtime: Runtime) -> bool:
    """Run the self-test of a model's card. Return False if the card has none; the model was then only run.

    Raises:
        EmotionEdgeError: the model is not intact, does not run, or its outputs differ from those in its card.
    """
    test = read_any_card(folder).self_test
    try:
        found = np.array(self_test_outputs(folder, runtime))
    except EmotionEdgeError:
        raise
    except Exception as error:
        # A damaged or hostile file may raise any exception.
        raise EmotionEdgeError(f"model {folder}: does not run: {type(error).__name__}: {error}") from error
    if not np.isfinite(found).all():
        raise EmotionEdgeError(f"model {folder}: fails its self-test: its outputs are not finite numbers")
    if test is None or test.drawing != DRAWING:
        return False
    expected = np.array(test.expected)
    off = np.abs(found - expected).max(axis=1) if found.shape == expected.shape else np.full(len(MOUTHS), np.inf)
    if off.max() > test.tolerance:
        face = int(off.argmax())
        raise EmotionEdgeError(
            f"model {folder}: fails its self-test in {runtime}: its output for the {MOUTHS[face]} face is "
            f"{found[face].tolist()}, its card expects {list(test.expected[face])}"
        )
    return True


def add_self_test(folder: Path) -> SelfTest:
    """Write the model's outputs for the drawn faces into its card, as the expected ones of later self-tests.

    Raises:
        EmotionEdgeError: the model is not intact or does not load.
    """
    expected = tuple(tuple(row) for row in self_test_outputs(folder, choose()))
    test = SelfTest(drawing=DRAWING, expected=expected, tolerance=TOLERANCE)
    path = folder / CARD_FILE
    content = json.loads(path.read_text(encoding="utf-8")) | {"self_test": test.model_dump(mode="json")}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return test
