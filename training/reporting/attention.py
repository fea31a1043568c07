"""Parts of a report on single faces: all probabilities, and which regions of the face the prediction depends on."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from training.datasets.pixels import in_memory
from training.evaluation.findings import Findings
from training.evaluation.metrics import Floats
from training.evaluation.occlusion import PATCH
from training.reporting.blocks import Faces, Part, Words

TITLE: Final = "Where the label comes from"
EXAMPLES: Final = "Examples and their softmax"
SIDE: Final = 96
"""Side of a picture in pixels."""
OPACITY: Final = 0.6
"""Opacity, 0 to 1, of the overlay where covering the face lowers the probability most."""


def attention_part(found: Findings) -> Part:
    """Pictures of the faces of `found.attention`, with the regions coloured on which the prediction depends."""
    leader, result = found.members[0], found.results[-1][0]
    names = result.task.names
    predictions = result.predictions[leader.name]
    words = (
        f"A square of {PATCH:.0%} of the face's side is moved over the face, filled with its mean (occlusion "
        f"sensitivity, Zeiler and Fergus 2014). Yellow: covering it lowers the probability of {leader.name}'s label "
        "most; the caption has by how many points there. Of each class a right face of median confidence, "
        "then the most confident mistakes. A label that depends on the background or a corner is a warning about the "
        "data. The pictures are in the HTML report alone."
    )
    attention = found.attention
    if attention is None or not len(attention.rows):
        return Part(TITLE, (Words(words),))
    rows = result.rows[attention.rows]
    shown = in_memory(found.part.take(rows), SIDE, SIDE, 3)
    pictures, captions = [], []
    for image, drops, row in zip(shown.pixels, attention.drops, attention.rows, strict=True):
        pictures.append(coloured(image, drops))
        label, true = names[predictions.labels[row]], names[result.true[row]]
        wrong = "" if label == true else f", labelled {true}"
        captions.append(
            f"{label} {predictions.confidence[row]:.0%}{wrong}: −{100 * max(float(drops.max()), 0):.0f} points"
        )
    return Part(TITLE, (Words(words), Faces(result.task.label_set, tuple(pictures), tuple(captions))))


def examples_part(found: Findings) -> Part:
    """Pictures of the faces of `found.attention`, each with the probabilities of all classes."""
    leader, result = found.members[0], found.results[-1][0]
    names = result.task.names
    words = (
        f"Softmax of {leader.name} for some faces, after the temperature: of each class a right face of median "
        "confidence, then the most confident mistakes. The pictures are in the HTML report alone."
    )
    chosen = found.attention
    if chosen is None or not len(chosen.rows):
        return Part(EXAMPLES, (Words(words),))
    shown = in_memory(found.part.take(result.rows[chosen.rows]), SIDE, SIDE, 3)
    captions, shares = [], []
    for row, probabilities in zip(chosen.rows, chosen.probabilities, strict=True):
        label, true = names[result.predictions[leader.name].labels[row]], names[result.true[row]]
        captions.append(f"{true}, right" if label == true else f"{true}, called {label}")
        shares.append(tuple(zip(names, probabilities.tolist(), strict=True)))
    return Part(
        EXAMPLES, (Words(words), Faces(result.task.label_set, tuple(shown.pixels), tuple(captions), tuple(shares)))
    )


def coloured(image: npt.NDArray[np.uint8], drops: Floats) -> npt.NDArray[np.uint8]:
    """Colour an image, BGR uint8 [h, w, 3], by probability drops (a 2-D map of any size): larger is more opaque."""
    height, width = image.shape[:2]
    large = cv2.resize(drops.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    heat = np.clip(large, 0, None) / max(float(large.max()), 1e-6)
    colours = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
    opacity = OPACITY * heat[:, :, None]
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.asarray(np.rint((1 - opacity) * grey + opacity * colours), np.uint8)
