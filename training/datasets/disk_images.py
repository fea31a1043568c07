"""Images of a data set that are too many for memory: in a file, and read where a batch needs them."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError

SHARE: Final = 4
"""Images that take more than one part in so many of the machine's memory go to the disk."""


def memory_limit() -> int:
    """Bytes of images up to which they are kept in memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // SHARE


@dataclass(frozen=True, slots=True)
class DiskImages:
    """Images uint8 [n, h, w] or [n, h, w, c] in a file that is mapped into memory.

    The file has no name: it is gone when the process ends, however it ends.

    array: every image of the file. rows: int64 [n], which of them these are, in their order.
    """

    array: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> npt.NDArray[np.uint8]:
        """Read images into memory. index: a row, a slice, an array of rows or a boolean mask."""
        return np.array(self.array[self.rows[index]])

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        return (self[row] for row in range(len(self)))

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array's."""
        return len(self.rows), *self.array.shape[1:]

    def take(self, index: Any) -> "DiskImages":
        """The images at an index array or under a boolean mask; nothing is read."""
        return replace(self, rows=self.rows[index])

    def reshape(self, count: int, *shape: int) -> "DiskImages":
        """As an array's, of as many images. Raises ValueError where the count differs."""
        if count != len(self):
            raise ValueError(f"{count} images, not {len(self)}")
        return replace(self, array=self.array.reshape(len(self.array), *shape))


def disk_array(shape: tuple[int, ...], folder: Path) -> npt.NDArray[np.uint8]:
    """An array of zeros in a nameless file of a folder. Raises EmotionEdgeError where the disk has too little space."""
    folder.mkdir(parents=True, exist_ok=True)
    size, free = int(np.prod(shape)), shutil.disk_usage(folder).free
    if size > free:
        raise EmotionEdgeError(
            f"{folder}: {size / 1e9:.1f} GB of images at the network's size do not fit into memory, and the disk has "
            f"{free / 1e9:.1f} GB left; make `input` smaller or free some space"
        )
    with tempfile.TemporaryFile(dir=folder) as file:  # the map keeps it open
        return np.memmap(file, np.uint8, "w+", shape=shape)
