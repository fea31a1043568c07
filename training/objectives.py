"""What the network is trained for: FER-2013's label and FER+'s votes at once."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from edge.labels import LABEL_SETS
from training.datasets.dataset import Dataset

Arrays = dict[str, npt.NDArray[np.float32]]


def losses(label_smoothing: float) -> dict[str, Any]:
    """Cross-entropy of each head's logits: with label smoothing (0 to 1) for fer7, to the votes' distribution for
    ferplus8.
    """
    return {
        "fer7": keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing),
        "ferplus8": keras.losses.CategoricalCrossentropy(from_logits=True),
    }


def targets(data: Dataset) -> tuple[Arrays, Arrays]:
    """Targets and row weights of each head: one-hot [n, 7] with weight 1; votes [n, 8] with weight 0 where none is
    usable.

    Raises EmotionEdgeError where the data set has no votes.
    """
    if data.votes is None:
        raise EmotionEdgeError("training needs FER+ votes: put fer2013new.csv beside fer2013.csv")
    one_hot = np.eye(len(LABEL_SETS["fer7"]), dtype=np.float32)[data.labels]
    voted = (data.votes.sum(axis=1) > 0).astype(np.float32)
    return {"fer7": one_hot, "ferplus8": data.votes}, {"fer7": np.ones(len(data), np.float32), "ferplus8": voted}
