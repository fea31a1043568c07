"""What every data set is read into."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

SPLITS = ("Training", "PublicTest", "PrivateTest")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Faces with their labels.

    images: uint8 [n, 48, 48], grey. labels: int64 [n], index into fer7. votes: float32 [n, 8], distribution over
    ferplus8 that sums to 1, or a row of zeros where no vote is usable; None where the data set has no votes at all.
    majority: int64 [n], the ferplus8 class that more than half of the votes name, or -1. split: int64 [n], index into
    SPLITS. rows: int64 [n], row in the file the face came from, from 0.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    votes: npt.NDArray[np.float32] | None
    majority: npt.NDArray[np.int64] | None
    split: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "Dataset":
        """The faces at an index array or under a mask."""
        return Dataset(
            self.images[index],
            self.labels[index],
            None if self.votes is None else self.votes[index],
            None if self.majority is None else self.majority[index],
            self.split[index],
            self.rows[index],
        )

    def part(self, split: str) -> "Dataset":
        """The faces of one split. Raises EmotionEdgeError where there are none."""
        part = self.take(self.split == SPLITS.index(split))
        if not len(part):
            raise EmotionEdgeError(f"data set: the split {split} has no faces; use the whole file")
        return part


def clean_training(data: Dataset) -> Dataset:
    """Without the Training faces that no honest figure may rest on: blank ones, and those that PublicTest or
    PrivateTest hold too, pixel for pixel. The other splits stay whole."""
    flat = data.images.reshape(len(data), -1)
    blank = flat.min(axis=1) == flat.max(axis=1)
    training = data.split == SPLITS.index("Training")
    held_out = {image.tobytes() for image in flat[~training]}
    seen = np.array([image.tobytes() in held_out for image in flat], np.bool_)
    return data.take(~(training & (blank | seen)))
