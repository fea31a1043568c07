"""Tables of predictions: in the format of a competition's submission, or with a row for each image."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from edge.emotion.scores import Floats
from edge.errors import EmotionEdgeError
from training.datasets.folder import NUMBERINGS
from training.datasets.names import emotion_of, read_mapping
from training.datasets.path_csv import LABEL_COLUMNS, PATH_COLUMNS, column_of
from training.datasets.tables import header_of, rows

DEFAULT_COLUMNS: Final = ("image_path", "emotion")
AFFECT_COLUMNS: Final = ("valence", "arousal")
IDENTIFIERS: Final = (*PATH_COLUMNS, "id", "image_id", "imageid", "id_code", "name")


@dataclass(frozen=True, slots=True)
class Submission:
    """Rows and columns of a table of predictions.

    file_column, label_column: column names; an empty label_column: none. own_names: the table's name of an emotion,
    where it differs. score_columns: column of probabilities by emotion; all_scores: one for each label, named after it.
    names: names of the images in the order of the rows; None: all images of the folder. affect: whether
    columns of valence and arousal follow.
    """

    file_column: str = DEFAULT_COLUMNS[0]
    label_column: str = DEFAULT_COLUMNS[1]
    own_names: Mapping[str, str] = field(default_factory=dict)
    score_columns: Mapping[str, str] = field(default_factory=dict)
    all_scores: bool = False
    names: tuple[str, ...] | None = None
    affect: bool = False

    def files(self, folder: Path, found: Sequence[Path]) -> list[tuple[str, Path]]:
        """Find the name and the image file of each row. found: the images in the folder.

        A name may be a path relative to the folder or its parent, a file name, or a file name without suffix.
        Raises EmotionEdgeError if there is no image, or a name has none, or several.
        """
        if self.names is None:
            if not found:
                raise EmotionEdgeError(f"{folder}: no image in it, nor below it")
            return [(file.relative_to(folder).as_posix(), file) for file in found]
        by_name: dict[str, list[Path]] = {}
        for file in found:
            for name in {file.name, file.stem}:
                by_name.setdefault(name, []).append(file)
        files, missing = [], []
        for name in self.names:
            places = [place for place in (folder / name, folder.parent / name) if place.is_file()]
            places = places[:1] or by_name.get(Path(name).name, [])
            if len(places) > 1:
                raise EmotionEdgeError(f"{folder}: {name!r} may be {places[0]} or {places[1]}; give the folder of one")
            if places:
                files.append((name, places[0]))
            else:
                missing.append(name)
        if missing:
            raise EmotionEdgeError(
                f"{folder}: {len(missing)} of {len(self.names)} images of the submission are not there, the first: "
                f"{missing[0]}"
            )
        return files


def read_submission(
    sample: Path | None, columns: Sequence[str] | None, mapping: Path | None, scores: bool, affect: bool = False
) -> Submission:
    """Build the table format from the options of `emotion-train predict`.

    Args:
        sample: A competition's example of a submission: its rows, columns and names of classes are used.
        columns: Names of the columns of files and labels, in place of the sample's or DEFAULT_COLUMNS.
        mapping: YAML file of `own class name: emotion` lines, or fer2013 or raf-db; the own names are written.
        scores: Whether a column for each class follows, with its probability.
        affect: Whether columns of valence and arousal follow; they do, too, where the sample has them.

    Raises:
        EmotionEdgeError: The sample has no column of images, or none of labels.
    """
    own: dict[str, str] = {}
    for name, emotion in (NUMBERINGS.get(str(mapping)) or read_mapping(mapping)).items():
        if emotion is not None:
            own.setdefault(emotion, name)
    if sample is None:
        first, second = columns or DEFAULT_COLUMNS
        return Submission(first, second, own, {}, scores, None, affect)
    header = header_of(sample)
    back = {name: emotion for emotion, name in own.items()}
    classes = {emotion: name for name in header if (emotion := back.get(name) or emotion_of(name))}
    affect = affect or set(AFFECT_COLUMNS) <= set(header)
    file_column = columns[0] if columns else column_of(header, IDENTIFIERS)
    label_column = columns[1] if columns else column_of(header, LABEL_COLUMNS)
    if columns and (unknown := [name for name in columns if name not in header]):
        raise EmotionEdgeError(f"{sample}: no column {unknown[0]} (found: {', '.join(header)})")
    if label_column is None and not columns and not classes and file_column is not None and len(header) == 2:
        label_column = next(name for name in header if name != file_column)
    if file_column is None or (label_column is None and not classes and not affect):
        raise EmotionEdgeError(
            f"{sample}: which column names the image, and which the label? (found: {', '.join(header)}) give them as "
            "--columns FILE,LABEL"
        )
    wanted = [file_column, *([label_column] if label_column else [])]
    lines = [fields for _, fields in rows(sample, wanted)]
    if not lines:
        raise EmotionEdgeError(f"{sample}: no rows after the header")
    for label in {fields[1] for fields in lines if label_column}:
        if emotion := emotion_of(label):
            own.setdefault(emotion, label)
    names = tuple(fields[0] for fields in lines)
    return Submission(file_column, label_column or "", own, classes, scores and not classes, names, affect)


def write_submission(
    out: Path, form: Submission, names: Sequence[str], found: Iterable[Floats | None], labels: Sequence[str]
) -> dict[str, int]:
    """Write the table of predictions atomically.

    Args:
        out: The CSV file.
        form: Rows and columns of the table.
        names: Names of the images.
        found: Of each image, float32 [labels + 2]: probabilities, valence and arousal; None if it could not be read.
        labels: Names of the classes.

    Returns:
        Number of images by predicted label; "" counts those that could not be read.
    """
    own = [form.own_names.get(label, label) for label in labels]
    scores = dict(zip(labels, own, strict=True)) if form.all_scores else form.score_columns
    counts: Counter[str] = Counter()
    partial = out.with_name(f"partial-{out.name}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(
                [
                    form.file_column,
                    *([form.label_column] if form.label_column else []),
                    *scores.values(),
                    *(AFFECT_COLUMNS if form.affect else ()),
                ]
            )
            for name, predicted in zip(names, found, strict=True):
                *probabilities, valence, arousal = [np.nan, np.nan] if predicted is None else predicted.tolist()
                best = "" if predicted is None else own[int(np.argmax(probabilities))] if own else "predicted"
                values = dict(zip(labels, probabilities, strict=False))
                row = [name, *([best] if form.label_column else [])]
                empty = "" if predicted is None else "0.000000"
                row += [f"{values[label]:.6f}" if label in values else empty for label in scores]
                row += (
                    ["" if np.isnan(value) else f"{value:.6f}" for value in (valence, arousal)] if form.affect else []
                )
                table.writerow(row)
                counts[best] += 1
        partial.replace(out)
    except OSError as error:
        raise EmotionEdgeError(f"{out}: cannot be written ({error.strerror})") from None
    finally:
        partial.unlink(missing_ok=True)
    return dict(counts)
