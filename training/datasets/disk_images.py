"""Images of a data set too large for memory: kept in a file, and read batch by batch."""

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
"""Images go to the disk if they need more than 1 / SHARE of the machine's memory."""


def memory_limit() -> int:
    """Return the largest total size of images, in bytes, that is still kept in memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // SHARE


@dataclass(frozen=True, slots=True)
class DiskImages:
    """Images uint8 [n, h, w] or [n, h, w, c] in a file that is mapped into memory.

    The file has no name, so the system deletes it when the process ends, however it ends.

    array: all images of the file. rows: int64 [n], indexes into `array` of the images of this object, in order.
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
        """Shape of the images, like that of a NumPy array."""
        return len(self.rows), *self.array.shape[1:]

    def take(self, index: Any) -> "DiskImages":
        """Select images by an index array or a boolean mask, without reading them."""
        return replace(self, rows=self.rows[index])

    def reshape(self, count: int, *shape: int) -> "DiskImages":
        """Reshape each image, like `numpy.reshape`. Raises ValueError if `count` is not the number of images."""
        if count != len(self):
            raise ValueError(f"{count} images, not {len(self)}")
        return replace(self, array=self.array.reshape(len(self.array), *shape))


def disk_array(shape: tuple[int, ...], folder: Path) -> npt.NDArray[np.uint8]:
    """Create an array of zeros in an unnamed file in a folder. Raises EmotionEdgeError if the disk is too full."""
    folder.mkdir(parents=True, exist_ok=True)
    size, free = int(np.prod(shape)), shutil.disk_usage(folder).free
    if size > free:
        raise EmotionEdgeError(
            f"{folder}: {size / 1e9:.1f} GB of images at the network's size do not fit into memory, and the disk has "
            f"{free / 1e9:.1f} GB left; make `input` smaller or free some space"
        )
    with tempfile.TemporaryFile(dir=folder) as file:  # the memory map keeps the file open
        return np.memmap(file, np.uint8, "w+", shape=shape)
