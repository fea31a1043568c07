"""Predictions of a run, a released model or a committee for images without labels."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.emotion.committee import COMMITTEE_FILE, Committee, open_local
from edge.emotion.scores import Floats, affect_output, probabilities_of, softmax
from edge.errors import EmotionEdgeError
from edge.faces.crop import cut, face_crops, stretched
from edge.labels import circumplex_of, labels_of
from edge.models.card import CARD_FILE, CropSpec
from edge.models.runtime import choose
from edge.reading import Box, Image
from training.cleaning.face_crops import FaceCutter, are_crops, open_cutter
from training.config import AFFECT, CONFIG_FILE, NETWORK_FILE, read_config
from training.datasets.assemble import image_files
from training.datasets.dataset import Dataset
from training.datasets.pixels import read_image
from training.progress import counted, terminal_console
from training.submission import Submission, write_submission

BATCH: Final = 128
"""Number of faces in a batch; only the images of one batch are in memory."""

Faces = Literal["auto", "crop", "full"]
Array = npt.NDArray[Any]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Predictor:
    """A network with its preprocessing.

    Attributes:
        labels: class names; none for a network of valence and arousal alone.
        prepare: converts a BGR image, uint8 [h, w, 3], to a row of the network's input; for a committee, to its final
            result.
        run: maps a batch of these rows, [n, ...], to float32 [n, labels + 2]: probabilities, then valence and arousal,
            derived from the probabilities where the network does not predict them, NaN where that is impossible.
        parallel: whether `prepare` may run in several threads.
    """

    labels: tuple[str, ...]
    prepare: Callable[[Image], Array]
    run: Callable[[Array], Floats]
    parallel: bool


def predict_files(
    folder: Path, images: Path, out: Path, submission: Submission, head: str | None = None, faces: Faces = "auto"
) -> dict[str, int]:
    """Write a table with the prediction for each image.

    Args:
        folder: Folder of a run, a released model or a committee.
        images: A folder of images; subfolders are included.
        out: The CSV file to write, replaced whole.
        submission: Rows and columns of the table.
        head: Label set to predict; None: the primary one.
        faces: `crop`: the largest face as cut on the board, the whole image where none is found; `full`: the whole
            image; `auto`: `full` for a run, and for a model unless the images show more than faces.

    Returns:
        Number of images by predicted label; "" for those that cannot be read, whose label is empty.

    Raises:
        EmotionEdgeError: The folder is none of these, has no such head, there are no images, or one that the example
            of a submission lists is missing.
    """
    if not images.is_dir():
        raise EmotionEdgeError(f"{images}: {'is a file' if images.exists() else 'not there'}; give a folder of images")
    files = submission.files(images, image_files(images))
    predictor = open_predictor(folder, [file for _, file in files], head, faces)
    if not predictor.labels:
        submission = replace(submission, label_column="", affect=True)
    found = _predictions([file for _, file in files], predictor)
    progress = counted(found, len(files), "images", terminal_console(stderr=True))
    counts = write_submission(out, submission, [name for name, _ in files], progress, predictor.labels)
    if unread := counts.get("", 0):
        _log.warning("%s: %d of %d images cannot be read; their label is empty in %s", images, unread, len(files), out)
    return counts


def open_predictor(folder: Path, files: Sequence[Path], head: str | None, faces: Faces) -> Predictor:
    """Open a run, a released model or a committee. files: images to predict; a sample of them decides `faces` auto."""
    if (folder / CARD_FILE).is_file() or (folder / COMMITTEE_FILE).is_file():
        return _released(folder, files, head, faces)
    if (folder / NETWORK_FILE).is_file():
        return _run(folder, head, faces)
    raise EmotionEdgeError(f"{folder}: holds neither a run ({NETWORK_FILE}) nor a released model ({CARD_FILE})")


def _run(folder: Path, head: str | None, faces: Faces) -> Predictor:
    from training.evaluation.figures import load_network, predict

    network = load_network(folder)
    config = read_config(folder / CONFIG_FILE) if (folder / CONFIG_FILE).is_file() else None
    sets = [name for name in network.output if name != AFFECT]
    alone = not sets and head in (None, AFFECT)
    wanted = AFFECT if alone else head or (config.primary if config else sets[0])
    if wanted not in sets and not alone:
        raise EmotionEdgeError(f"{folder}: no head {wanted!r} (it has {', '.join(sets)})")
    labels = () if alone else labels_of(wanted)
    if not alone and len(labels) != network.output[wanted].shape[-1]:
        raise EmotionEdgeError(f"{folder}: its head {wanted} has not the {len(labels)} classes of that label set")
    _, height, width, channels = network.input_shape
    shape = (height, width) if channels == 1 else (height, width, 3)
    cutter = open_cutter() if faces == "crop" else None

    def prepare(image: Image) -> Array:
        square = cutter.square(image, None) if cutter else None
        if square is not None:
            return cut(image, square, width, height, "grey" if channels == 1 else "bgr").reshape(shape)
        return stretched(image, shape)

    def run(pixels: Array) -> Floats:
        outputs = predict(network, pixels)
        if alone:
            return np.asarray(np.clip(outputs[AFFECT], -1, 1), np.float32)
        return _with_affect(softmax(outputs[wanted].astype(np.float32)), labels, outputs.get(AFFECT))

    return Predictor(labels, prepare, run, cutter is None)


def _released(folder: Path, files: Sequence[Path], head: str | None, faces: Faces) -> Predictor:
    classifier = open_local(str(folder), choose(), os.cpu_count() or 1)
    card = classifier.card
    cutter = _cutter_for(files, faces) if card.crop.area == "face" else None

    def located(image: Image) -> tuple[Image, Box]:
        square = cutter.square(image, None) if cutter else None
        if square is None:
            side = max(image.shape[:2])
            image = np.asarray(cv2.resize(image, (side, side)), np.uint8)
            square = Box(0, 0, side, side)
        return image, _box_of(square, card.crop)

    outputs = {it.label_set or it.name: it for it in card.outputs if it.kind == "emotion"}
    primary = card.primary.label_set or card.primary.name
    wanted = head or primary
    if wanted not in outputs:
        raise EmotionEdgeError(f"{folder}: no head {wanted!r} (it has {', '.join(outputs)})")
    if isinstance(classifier, Committee):

        def voted(image: Image) -> Array:
            place, box = located(image)
            scores = classifier(place, [box])
            return np.concatenate([scores.probabilities[0], scores.valence_arousal[0]])

        return Predictor(classifier.labels, voted, lambda rows: np.asarray(rows, np.float32), False)

    def prepare(image: Image) -> Array:
        place, box = located(image)
        return np.asarray(face_crops(place, [box], card.crop, card.input)[0])

    output, affect = outputs[wanted], affect_output(card)

    def run(crops: Array) -> Floats:
        values = classifier.outputs(crops)
        known = None if affect is None else values[affect.name]
        return _with_affect(probabilities_of(output, values[output.name]), output.labels, known)

    return Predictor(output.labels, prepare, run, cutter is None)


def _with_affect(probabilities: Floats, labels: Sequence[str], affect: Array | None) -> Floats:
    """Probabilities [n, labels] with two columns more: valence and arousal, as the network gave them or derived."""
    known = probabilities @ circumplex_of(labels) if affect is None else np.clip(affect, -1, 1)
    return np.concatenate([probabilities, known], axis=1, dtype=np.float32)


def _cutter_for(files: Sequence[Path], faces: Faces) -> FaceCutter | None:
    """Return the face detector for `faces`, or None if whole images are used."""
    if faces == "full":
        return None
    cutter = open_cutter()
    rows = np.arange(len(files))
    if faces == "auto" and are_crops(Dataset("images", tuple(files), {}, None, False, rows * 0, rows), cutter):
        _log.info("the images are faces already: used whole (--faces crop detects them)")
        return None
    return cutter


def _box_of(square: Box, crop: CropSpec) -> Box:
    """Compute the face box from which the model's crop would cut this square."""
    side = square.width / crop.scale
    x = square.x + square.width / 2 - crop.shift[0] * square.width
    y = square.y + square.height / 2 - crop.shift[1] * square.width
    return Box(x - side / 2, y - side / 2, side, side)


def _predictions(files: Sequence[Path], predictor: Predictor) -> Iterator[Floats | None]:
    """A row of `Predictor.run` for each file, in order; None for a file that cannot be read."""

    def prepared(file: Path) -> Array | None:
        try:
            return predictor.prepare(read_image(file, 3))
        except EmotionEdgeError as error:
            _log.warning("%s", error)
            return None

    with ThreadPoolExecutor(2 if predictor.parallel else 1) as pool:
        for start in range(0, len(files), BATCH):
            inputs = list(pool.map(prepared, files[start : start + BATCH]))
            good = [one for one in inputs if one is not None]
            rows = iter(predictor.run(np.stack(good)) if good else ())
            yield from (None if one is None else next(rows) for one in inputs)
