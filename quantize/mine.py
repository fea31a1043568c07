"""`emotion-quantize mine`: from a folder of photographs to a model that runs on the board, in one command."""

import argparse
import shutil
from pathlib import Path

from edge.errors import EmotionEdgeError
from edge.labels import CIRCUMPLEX
from edge.models.released import model_dir
from quantize.calibration import SAMPLES
from quantize.make import make
from training.config import NETWORK_FILE
from training.datasets import read_dataset
from training.datasets.splits import split_of
from training.few_faces import FewFaces, fit_few
from training.prepare import PrepareSettings, prepare

RUNS = Path("runs")
SPLIT = (75, 25, 0)
"""Percent of faces in Training, PublicTest and PrivateTest: a quarter is held out for evaluation."""


def make_mine(
    photographs: Path, out: Path, start: str, mapping: Path | None = None, label_set: str | None = None
) -> FewFaces:
    """Crop the faces, fit a released network's head to them, quantize it, and compare it with the released one.

    Args:
        photographs: A data set; most simply a folder of photographs for each class.
        out: Folder of the model to write; its name becomes the model's name.
        start: The released model to start from, by name or folder.
        mapping: YAML file of `own class name: label` lines.
        label_set: Name of the label set; None: the one that fits the classes; `own` keeps class names that are not
            emotions.

    Returns:
        Result of the fit.

    Raises:
        EmotionEdgeError: The photographs cannot be read or are too few, or `out` or a folder of an intermediate step
            exists.
    """
    released, run = model_dir(start), RUNS / out.resolve().name
    if not (released / NETWORK_FILE).is_file():
        raise EmotionEdgeError(f"{released}: has no {NETWORK_FILE} beside it; begin with a released model")
    for folder in (out, run):
        if folder.exists():
            raise EmotionEdgeError(f"{folder}: there already; remove it or take another name as --out")
    faces = RUNS / f"{run.name}-faces"
    shutil.rmtree(faces, ignore_errors=True)
    data = read_dataset(photographs, label_set=label_set, mapping=mapping)
    known = all(name in CIRCUMPLEX for labels in data.labels.values() for name in labels.names)
    # Folders named train, val or test are the user's own splits, often by person.
    own = photographs.is_dir() and any(split_of(path.name) is not None for path in photographs.iterdir())
    print(
        prepare(data, faces, PrepareSettings(split=None if own else SPLIT, judge=released if known else None)).table()
    )
    outcome = fit_few(read_dataset(faces), faces, released, run)
    make(
        argparse.Namespace(
            command="ptq", run=run, out=out, data=None, samples=SAMPLES, calibration=None, prune=None, cluster=None,
            model_version="1.0.0", final=False, arm=False, mirror=False, fairface=None, force=False,
        )
    )  # fmt: skip
    return outcome
