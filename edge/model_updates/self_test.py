"""A model's self-test: three drawn faces, and what it said of them when it was made; its card brings both along.

It finds a file that is not what its card says it is, and an interpreter that computes something else: before such a
model runs, not after.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np

from edge.emotion.local import LocalClassifier
from edge.errors import EmotionEdgeError
from edge.faces.yunet import YuNet
from edge.models.card import CARD_FILE, Card, EmotionCard, SelfTest, read_any_card
from edge.models.runtime import Runtime, choose
from edge.reading import Image

DRAWING: Final = 1
"""Version of the drawing below: a card with another was made for other faces."""
MOUTHS: Final = ("smiling", "frowning", "open")
TOLERANCE: Final = 0.1
"""Interpreters and processors round int8 differently: by up to 0.03, as seen on the released models."""
_FINE: Final = 4
"""Points in a row and in a column of which each pixel is the mean."""
_SIDE: Final = 128
"""Pixels of the face that a detector is shown: of the sizes tried, the one that every YuNet finds best."""
_OWN_SCORE: Final = 0.3


def drawn_face(height: int, width: int, mouth: str) -> Image:
    """A grey face, uint8 [height, width], the same on any machine; detectors take it for one. mouth: one of MOUTHS."""
    fine_height, fine_width = height * _FINE, width * _FINE
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
    return np.asarray(picture.reshape(height, _FINE, width, _FINE).mean((1, 3)), np.uint8)


def answers(folder: Path, runtime: Runtime) -> list[list[float]]:
    """What the model in a folder says of each drawn face.

    An emotion model: the probabilities of its primary output. A face detector: x, y, width and height of the best box
    as parts of the picture's, and its score; all zero where it finds none.
    Raises EmotionEdgeError when the model is not whole or does not load, and others when it does not run.
    """
    card = read_any_card(folder)
    if isinstance(card, EmotionCard):
        faces = np.stack([drawn_face(card.input.height, card.input.width, mouth) for mouth in MOUTHS])
        crops = np.repeat(faces[..., None], card.input.channels, axis=3)
        found = LocalClassifier(folder, runtime).classify(crops).probabilities
    else:
        detector = YuNet(folder, _OWN_SCORE, runtime)
        found = np.array([_best(detector, card, mouth) for mouth in MOUTHS])
    return [[round(float(value), 4) for value in row] for row in found]


def _best(detector: YuNet, card: Card, mouth: str) -> tuple[float, ...]:
    height, width = card.input.height, card.input.width
    side = min(_SIDE, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    picture = np.full((height, width), 60, np.uint8)
    picture[top : top + side, left : left + side] = drawn_face(side, side, mouth)
    found = detector.detect(picture)
    if not found:
        return (0.0,) * 5
    box = found[0].box
    return box.x / width, box.y / height, box.width / width, box.height / height, found[0].score


def check(folder: Path, runtime: Runtime) -> bool:
    """Run the self-test of a model's card; false where it has none, and the model was only seen to run.

    Raises EmotionEdgeError when the model is not whole, does not run, or says something else than its card.
    """
    test = read_any_card(folder).self_test
    try:
        found = np.array(answers(folder, runtime))
    except EmotionEdgeError:
        raise
    except Exception as error:  # whatever a file from anywhere may bring about
        raise EmotionEdgeError(f"model {folder}: does not run: {type(error).__name__}: {error}") from error
    if not np.isfinite(found).all():
        raise EmotionEdgeError(f"model {folder}: fails its self-test: it answers with something that is no number")
    if test is None or test.drawing != DRAWING:
        return False
    expected = np.array(test.expected)
    off = np.abs(found - expected).max(axis=1) if found.shape == expected.shape else np.full(len(MOUTHS), np.inf)
    if off.max() > test.tolerance:
        face = int(off.argmax())
        raise EmotionEdgeError(
            f"model {folder}: fails its self-test in {runtime}: of the {MOUTHS[face]} face it says "
            f"{found[face].tolist()}, its card expects {list(test.expected[face])}"
        )
    return True


def add_self_test(folder: Path) -> SelfTest:
    """Write what the model says of the drawn faces now into its card, as what it must say from now on.

    Raises EmotionEdgeError when the model is not whole or does not load.
    """
    expected = tuple(tuple(row) for row in answers(folder, choose()))
    test = SelfTest(drawing=DRAWING, expected=expected, tolerance=TOLERANCE)
    path = folder / CARD_FILE
    content = json.loads(path.read_text(encoding="utf-8")) | {"self_test": test.model_dump(mode="json")}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return test
