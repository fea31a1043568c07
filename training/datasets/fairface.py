"""FairFace (Karkkainen and Joo 2021): faces without expression labels, annotated with demographic groups."""

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from edge.errors import EmotionEdgeError
from edge.faces.crop import cut
from edge.reading import Box, Image
from training.datasets.tables import rows_of

GROUPS: Final = ("race", "gender", "age")
PACKED_TABLE: Final = "labels.csv"
"""Table in a zip archive of the faces, with the columns file, age, gender and race."""
FACES_MAX: Final = 200_000
"""Most rows that are read; twice the number of faces in FairFace."""
BYTES_MAX: Final = 1_000_000
"""Largest image file that is read, in bytes; FairFace's face images have about 10,000."""
CENTRE: Final = -0.06
"""Vertical shift of the board's crop from the centre of a FairFace image, in its sides, down; both are of one size."""

Split = Literal["train", "val"]


@dataclass(frozen=True, slots=True)
class FairFace:
    """The faces of one split.

    source: zip archive, or the folder that file names are relative to. groups: by attribute (age, gender, race), the
    group of each face.
    """

    source: Path
    files: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]

    def __len__(self) -> int:
        return len(self.files)

    def images(self) -> Iterator[Image]:
        """Yield the face images in order, BGR uint8 [h, w, 3]. Raises EmotionEdgeError for an unreadable file."""
        if self.source.is_dir():
            for name in self.files:
                file = self.source / name
                if not file.is_file():
                    raise EmotionEdgeError(f"{file}: not there")
                yield _decoded(file.read_bytes() if file.stat().st_size <= BYTES_MAX else b"", str(file))
            return
        with zipfile.ZipFile(self.source) as archive:
            for name in self.files:
                try:
                    small = archive.getinfo(name).file_size <= BYTES_MAX
                    coded = archive.read(name) if small else b""
                except (KeyError, zipfile.BadZipFile, OSError) as error:
                    raise EmotionEdgeError(f"{self.source}: {name}: cannot be read: {error}") from None
                yield _decoded(coded, f"{self.source}: {name}")


def open_fairface(path: Path, split: Split) -> FairFace | None:
    """Open one split of FairFace; None if there is no FairFace at the path.

    Args:
        path: Zip of images with labels.csv; or a folder that holds fairface-train.zip and fairface-val.zip, or the
            original folders `train` and `val` with fairface_label_train.csv and fairface_label_val.csv.
        split: Name of the split.

    Raises:
        EmotionEdgeError: A table or zip archive cannot be read.
    """
    packed = path / f"fairface-{split}.zip" if path.is_dir() else path
    table = path / f"fairface_label_{split}.csv"
    if packed.is_file() and zipfile.is_zipfile(packed):
        with zipfile.ZipFile(packed) as archive:
            if PACKED_TABLE not in archive.namelist():
                return None
            if archive.getinfo(PACKED_TABLE).file_size > 100 * FACES_MAX:
                raise EmotionEdgeError(f"{packed}: its {PACKED_TABLE} is larger than that of any known FairFace")
            text = archive.read(PACKED_TABLE).decode("utf-8-sig", "replace")
        return _listed(packed, text.splitlines(), f"{packed}: {PACKED_TABLE}")
    if table.is_file():
        return _listed(path, table.read_text("utf-8-sig", "replace").splitlines(), str(table))
    return None


def framed(chip: Image, side: int) -> Image:
    """Crop a FairFace image as the board would, grey uint8 [side, side]."""
    height, width = chip.shape[:2]
    return cut(chip, Box(0.0, CENTRE * height, float(width), float(height)), side, side, "grey")[:, :, 0]


def _listed(source: Path, lines: list[str], where: str) -> FairFace:
    found = [fields for _, fields in rows_of(lines, where, ("file", *GROUPS))]
    if not found or len(found) > FACES_MAX:
        raise EmotionEdgeError(f"{where}: {len(found)} faces; between 1 and {FACES_MAX} are read")
    if outside := [name for name, *_ in found if Path(name).is_absolute() or ".." in Path(name).parts]:
        raise EmotionEdgeError(f"{where}: {outside[0]} is outside the data set")
    files, *groups = zip(*found, strict=True)
    return FairFace(source, files, dict(zip(GROUPS, groups, strict=True)))


def _decoded(coded: bytes, where: str) -> Image:
    image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    if image is None:
        raise EmotionEdgeError(f"{where}: no image that can be read, or one of more than {BYTES_MAX:,} bytes")
    return np.asarray(image, np.uint8)
