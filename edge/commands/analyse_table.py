"""The CSV table that `analyse` writes, which an interrupted run can continue."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge.cameras.camera import printable
from edge.errors import EmotionEdgeError
from edge.reading import Detection

_PLACE: Final = ("x", "y", "width", "height", "detection_score")


@dataclass(frozen=True, slots=True)
class Row:
    """One face of the table. id: of its track in a video, counted from 1 in a picture; other fields as in `Face`."""

    id: int
    detection: Detection
    emotion: str
    confidence: float
    scores: Mapping[str, float]
    valence: float | None
    arousal: float | None


class Table:
    """A CSV file with one row for each face, and a row without a face for a picture or frame that has none.

    Continuing a table drops the rows of its last picture, which may be incomplete.

    Attributes:
        last: the key of the last picture that is kept; empty in a new table.
        largest_id: the largest face id among the rows that are kept; 0 in a new table.
    """

    def __init__(self, path: Path, key: str, labels: Sequence[str], model: str) -> None:
        """Create the table, or open it to continue it.

        Args:
            path: of the file.
            key: name of the first column, which tells pictures or frames apart: `file` or `time`.
            labels: of the model, one column each.
            model: name and version of the model, for the last column.

        Raises:
            EmotionEdgeError: it cannot be written, or was made of another kind of source or by another model.
        """
        self.last = ""
        self.largest_id = 0
        self._labels = tuple(labels)
        self._model = model
        self._keys: set[str] = set()
        self._columns = [key, "face", *_PLACE, "emotion", "confidence", *labels, "valence", "arousal", "note", "model"]
        try:
            kept = self._read(path) if path.is_file() and path.stat().st_size else 0
            self._file = path.open("r+b" if kept else "wb")
            self._file.truncate(kept)
            self._file.seek(kept)
            if not kept:
                self._append([self._columns])
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise EmotionEdgeError(
                f"analyse: {printable(path)}: {getattr(error, 'strerror', None) or error}"
            ) from error

    def has(self, key: str) -> bool:
        """Whether the table has rows of this picture or frame."""
        return key in self._keys

    def write(self, key: str, faces: Iterable[Row], note: str = "") -> None:
        """Append the rows of a picture or frame. note: the error if it could not be read."""
        rows = [
            [
                key,
                face.id,
                *(round(value, 1) for value in _box(face.detection)),
                round(face.detection.score, 4),
                face.emotion,
                round(face.confidence, 4),
                *(round(face.scores[label], 4) for label in self._labels),
                "" if face.valence is None else round(face.valence, 3),
                "" if face.arousal is None else round(face.arousal, 3),
                note,
                self._model,
            ]
            for face in faces
        ]
        empty = [""] * (len(self._columns) - 3)
        self._append(rows or [[key, *empty, note, self._model]])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _append(self, rows: Iterable[Sequence[object]]) -> None:
        self._file.write(_lines(rows))
        self._file.flush()

    def _read(self, path: Path) -> int:
        """Read keys and ids of the existing table; return its length in bytes without the rows to drop."""
        data = path.read_bytes()
        if _lines([self._columns]).startswith(data):
            # The file has only the header, perhaps cut off.
            return 0
        lines = data.splitlines(keepends=True)
        if self._parsed(lines[0]) != self._columns:
            raise EmotionEdgeError(
                f"analyse: {printable(path)}: is there already and has other columns (another model, another kind of "
                "source, or no table of this command): name another file or delete it"
            )
        kept = begins = len(lines[0])
        key, largest = "", 0
        for number, line in enumerate(lines[1:], 2):
            row = self._parsed(line)
            if len(row) != len(self._columns) or not (row[1] or "0").isdecimal() or not line.endswith(b"\n"):
                if number == len(lines):
                    break
                raise EmotionEdgeError(
                    f"analyse: {printable(path)}: line {number} is no row of this command: name another file or "
                    "delete it"
                )
            if row[-1] != self._model:
                raise EmotionEdgeError(
                    f"analyse: {printable(path)}: is there already and was made by {row[-1]}, not {self._model}: name "
                    "another file or delete it"
                )
            if row[0] != key:
                if key:
                    self._keys.add(key)
                    self.last, self.largest_id = key, largest
                key, begins = row[0], kept
            largest = max(largest, int(row[1] or 0))
            kept += len(line)
        return begins

    def _parsed(self, line: bytes) -> list[str]:
        try:
            return next(csv.reader([line.decode()]), [])
        except (ValueError, csv.Error):
            return []


def _lines(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def text_of(path: Path) -> str:
    """Return a file's path as text for one line: unprintable characters become the replacement character."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in printable(path))


def _box(detection: Detection) -> tuple[float, float, float, float]:
    box = detection.box
    return box.x, box.y, box.width, box.height
