"""Teachers that are evaluated in each training step, on the augmented images of the student."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.config import TrainingConfig
from training.datasets.dataset import Dataset
from training.distill import check_heads, common_heads, means
from training.evaluation.members import Member, open_members
from training.evaluation.metrics import softmax
from training.objectives import Arrays, with_teacher

Teachers = Callable[[npt.NDArray[np.uint8], Arrays], Arrays]
"""Function from images uint8 [n, h, w, c] and their targets to targets mixed with the teachers' probabilities."""


def open_teachers(config: TrainingConfig, data: Dataset) -> Teachers:
    """Open the teachers of a run as a committee: the mean of their probabilities at the temperatures of their cards.

    Raises EmotionEdgeError if a folder holds no network, a teacher has another input size than the student, or no
    teacher has any of the student's heads.
    """
    assert config.teacher is not None
    part = config.teacher.weight
    members = open_members(config.teacher.models, data)
    for member in members:
        if tuple(member.shape) != config.input.shape:
            raise EmotionEdgeError(
                f"{member.name}: sees images of {member.shape}, the student of {config.input.shape}; leave it out of "
                "`teacher`, or change `input`"
            )
    spoken = common_heads([member.heads for member in members])
    check_heads(", ".join(member.name for member in members), spoken, config.heads)

    def taught(images: npt.NDArray[np.uint8], wanted: Arrays) -> Arrays:
        return with_teacher(wanted, means([_probabilities(member, images) for member in members]), part)

    return taught


def _probabilities(member: Member, images: npt.NDArray[np.uint8]) -> Mapping[str, npt.NDArray[np.float64]]:
    outputs = member.run(images)
    return {head: softmax(outputs[head], member.card_temperatures.get(head, 1.0)) for head in member.heads}


def taught_batches(
    batches: Iterator[tuple[npt.NDArray[Any], Arrays]], augment: Any, teachers: Teachers
) -> Iterator[tuple[npt.NDArray[np.float32], Arrays]]:
    """Yield augmented batches whose targets are mixed with the probabilities of the teachers.

    Images are float32 [n, h, w, c], 0 to 1.
    """
    for pixels, wanted in batches:
        seen = keras.ops.convert_to_numpy(augment(pixels, training=True))
        yield seen, teachers(np.rint(seen * 255).astype(np.uint8), wanted)
