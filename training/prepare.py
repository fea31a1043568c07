"""`emotion-train prepare`: cleans a data set for training, and records the decision on every image.

Nothing is deleted: the source stays as it is, and the manifest (`training.datasets.manifest`) says of each image
whether it was kept, and why not.
"""

import logging
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import EmotionEdgeError
from training.cleaning.face_crops import are_crops, crop, image_at, named_face, open_cutter, whole
from training.cleaning.label_errors import LabelIssue
from training.cleaning.scan import Scan, progress, scan
from training.cleaning.verdict import decide
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.manifest import (
    IMAGES_FOLDER,
    NO_FACE,
    REASONS,
    Verdict,
    main_labels,
    names_of,
    write_facts,
    write_manifest,
)

ISSUES_FILE: Final = "label_issues.txt"
Kind = Literal["crop", "full"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """Options of `prepare`.

    faces: `crop`: the face detected and cropped as on the board; `full`: the whole image, or the face box of the data
    set; `both`: both, in the folders crop/ and full/; `auto`: full if the images are face crops already, else crop.
    size: longest side of a kept image in pixels; larger ones are shrunk. split: new shares of Training, PublicTest and
    PrivateTest; None keeps those of the data set. near_duplicates: True omits them (also series of one person in one
    pose, as in JAFFE and CK+); False omits only those across two of the data set's own splits, and new splits keep them
    together. judge: folder of a trained network or committee that finds likely wrong labels, not trained on these
    faces; None: a simple classifier in cross-validation. drop_label_issues: omit likely wrong labels from Training.
    seed: seed of splits and cross-validation.
    """

    faces: Literal["auto", "crop", "full", "both"] = "auto"
    size: int = 256
    split: tuple[int, int, int] | None = None
    near_duplicates: bool = True
    judge: Path | None = None
    drop_label_issues: bool = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Summary:
    """Numbers of images that were kept and omitted.

    counts: by reason, or `kept`, the number in each of SPLITS. label_issues: number in each of SPLITS, among the kept.
    folders: the folders that were written.
    """

    counts: Mapping[str, tuple[int, ...]]
    label_issues: tuple[int, ...]
    folders: tuple[Path, ...]

    def table(self) -> str:
        """Rows for the kept images and for each reason; columns for each split and the total."""
        rows = [*self.counts.items(), ("likely wrong labels", self.label_issues)]
        lines = [["", *SPLITS, "all"], *([name, *map(str, row), str(sum(row))] for name, row in rows)]
        first, *others = (max(map(len, column)) for column in zip(*lines, strict=True))
        return "\n".join(
            "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
            for name, *cells in lines
        )


def parse_split(text: str) -> tuple[int, int, int]:
    """Parse split shares such as `80/10/10`.

    Raises EmotionEdgeError unless they are three whole numbers that sum to 100, the first above 0.
    """
    parts = text.split("/")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        raise EmotionEdgeError(f"split {text!r}: not three shares like 80/10/10 ({', '.join(SPLITS)})")
    training, public, private = map(int, parts)
    if training + public + private != 100:
        raise EmotionEdgeError(f"split {text!r}: the shares sum to {training + public + private}, not to 100")
    if not training:
        raise EmotionEdgeError(f"split {text!r}: leaves none for {SPLITS[0]}")
    return training, public, private


def prepare(data: Dataset, out: Path, settings: PrepareSettings) -> Summary:
    """Write the prepared data set to the folder `out`, or to out/crop and out/full.

    The folder appears only when complete; an interrupted run starts again. Raises EmotionEdgeError if `out` exists,
    nothing would be kept, or there are too few faces or people to split.
    """
    if out.exists():
        raise EmotionEdgeError(f"{out}: there already; remove it or name another folder")
    cutter = None if settings.faces == "full" else open_cutter()
    faces = settings.faces
    if faces == "auto":
        faces = "full" if cutter is not None and are_crops(data, cutter) else "crop"
        reason = (
            "are face crops already: they are kept whole" if faces == "full" else "show more than faces: faces are cut"
        )
        _log.info("%s: its images %s", data.name, reason)
    found = scan(data, None if faces == "full" else cutter, settings.size)
    verdict, labels = decide(
        data,
        found,
        near=settings.near_duplicates,
        split=settings.split,
        judge=settings.judge,
        drop_issues=settings.drop_label_issues,
        seed=settings.seed,
    )
    if labels.agreement is not None:
        _log.info(
            "likely wrong labels: %d, by %s, which agrees with %.0f%% of the labels (mean over the classes)",
            len(labels.issues),
            labels.judge,
            100 * labels.agreement,
        )
    kept = [not reason for reason in verdict.reason]
    if not any(kept):
        why = ", ".join(f"{count} {reason}" for reason, count in Counter(verdict.reason).most_common())
        hint = "; full images instead of face crops need no face" if NO_FACE in verdict.reason else ""
        raise EmotionEdgeError(f"data set {data.name}: nothing would be kept ({why}){hint}")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    kinds: tuple[Kind, ...] = ("crop", "full") if faces == "both" else (faces,)
    names = ("crop", "full") if faces == "both" else ("",)
    summary = summarise(verdict, tuple(out / name for name in names))
    for kind, name in zip(kinds, names, strict=True):
        files = _write_images(partial / name, kind, data, found, verdict, settings.size)
        write_manifest(partial / name, data, verdict, files)
        _list_issues(partial / name / ISSUES_FILE, data, labels.issues)
        chosen = asdict(settings) | {"faces": kind, "judge": settings.judge and str(settings.judge)}
        counted = {"counts": summary.counts, "label_issues": summary.label_issues, "agreement": labels.agreement}
        write_facts(partial / name, data, kind, chosen, counted)
    partial.rename(out)
    return summary


def summarise(verdict: Verdict, folders: tuple[Path, ...]) -> Summary:
    """Count the decisions of a verdict."""
    reasons = np.array(verdict.reason)

    def by_split(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
        return tuple(np.bincount(verdict.split[mask], minlength=len(SPLITS)).tolist())

    counts = {"kept": by_split(reasons == "")}
    counts |= {reason: by_split(reasons == reason) for reason in REASONS if (reasons == reason).any()}
    return Summary(counts, by_split((reasons == "") & (verdict.label_issue == 1)), folders)


def _write_images(folder: Path, kind: Kind, data: Dataset, found: Scan, verdict: Verdict, largest: int) -> list[str]:
    """Write the kept images; returns the file of each, relative to the folder, or "" if omitted."""
    labels = main_labels(data)
    files = [""] * len(data)
    for i in progress(len(data), "writing the images"):
        if verdict.reason[i]:
            continue
        name = labels.names[labels.judged[i]] if labels is not None and labels.judged[i] >= 0 else "unlabelled"
        file = Path(IMAGES_FOLDER, SPLITS[verdict.split[i]], name, f"{i:07d}.png")
        image, square = image_at(data, i), found.squares[i]
        if kind == "crop" and square is not None:
            image = crop(image, square, largest)
        else:
            image = whole(image, named_face(data, i), largest)
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if not cv2.imwrite(str(path), image):
            raise EmotionEdgeError(f"{path}: cannot be written; is the disk full?")
        files[i] = file.as_posix()
    return files


def _list_issues(path: Path, data: Dataset, issues: Sequence[LabelIssue]) -> None:
    """Write the likely wrong labels, the most likely first, one line each."""
    labels, names = main_labels(data), names_of(data)
    lines = (
        []
        if labels is None
        else [
            f"{names[it.index]}: {labels.names[labels.judged[it.index]]} ({it.given:.2f}), "
            f"rather {labels.names[it.suggested]} ({it.other:.2f})\n"
            for it in issues
        ]
    )
    path.write_text("".join(lines), encoding="utf-8")
