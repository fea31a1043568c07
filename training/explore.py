"""Report on a data set as one HTML page: classes, faces, images, duplicates, labels, people and faults."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import EmotionEdgeError
from training.config import TrainingConfig
from training.datasets.dataset import SPLITS, Dataset
from training.datasets.pixels import in_memory
from training.exploring.contents import (
    affect_section,
    agreement_section,
    class_counts,
    classes_section,
    duplicates_section,
    has_votes,
    images_section,
    known_people,
    people_section,
    shared_people,
    short_names,
)
from training.exploring.survey import Duplicates, Survey, duplicates, survey
from training.pages.page import FACES_SHOWN, Notice, Section, paragraph, render_page, tiles, together
from training.pages.sheets import mosaic

FEW: Final = 100
"""Number of Training faces below which the page warns that a class has too few to learn from."""
SMALL: Final = 0.2
"""Share of the mean number of Training faces per class below which the page warns of an underrepresented class."""
LISTED: Final = 10
"""Most names listed in a warning; the page lists all of them further down."""

ORIGINS: Final[Mapping[str, str]] = {
    "FER-2013": "Found by image search for emotion words, 48x48 pixels, grey (Goodfellow et al. 2013). No licence of "
    "the images is known: they are for research. Where FER+ votes are there, ten people judged each face (Barsoum "
    "et al. 2016, MIT licence).",
}


def explore(data: Dataset, out: Path, source: Path | None = None, augmented: TrainingConfig | None = None) -> Path:
    """Write the page about a data set, one HTML file with pictures of faces, and return its path.

    source: file or folder of the data set, for the heading; FER+ votes found there are compared with the labels.
    augmented: settings of a run, to show some faces as it augments them. Raises EmotionEdgeError if no image can be
    read.
    """
    found = survey(data)
    if not found.readable.any():
        names = ", ".join(short_names(data)[:LISTED])
        raise EmotionEdgeError(f"{data.name}: none of its {len(data)} images can be read ({names}); check the files")
    twins = duplicates(data, found)
    sections = [
        _overview(data, found, twins, source),
        *(classes_section(data, found, label_set) for label_set in data.labels),
        images_section(data, found),
        duplicates_section(data, twins),
        *([_augmented(data, found, augmented)] if augmented else []),
    ]
    if len(data.labels) > 1 or any(has_votes(labels) for labels in data.labels.values()):
        sections.append(agreement_section(data, source))
    if data.affect is not None:
        sections.append(affect_section(data, data.affect))
    if data.people is not None:
        sections.append(people_section(data, data.people))
    page = render_page(
        f"{data.name}: what is in it",
        f"{len(data):,} faces. {ORIGINS.get(data.name, '')}".strip(),
        sections,
        [FACES_SHOWN, *(Notice(text) for text in warnings(data, found, twins))],
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page, encoding="utf-8")
    return out


def warnings(data: Dataset, found: Survey, twins: Duplicates) -> list[str]:
    """Describe faults of a data set that matter for training, in one or two sentences each."""
    told = []
    unreadable = np.flatnonzero(~found.readable)
    if len(unreadable):
        names = short_names(data)
        shown = ", ".join(names[row] for row in unreadable[:LISTED])
        more = f" and {len(unreadable) - LISTED:,} more, listed under Images" if len(unreadable) > LISTED else ""
        told.append(f"{_many(len(unreadable), 'file', 'cannot', 'cannot')} be read as an image: {shown}{more}.")
    training = data.split == SPLITS.index("Training")
    for label_set, labels in data.labels.items():
        under = f"Under {label_set}, " if len(data.labels) > 1 else ""
        here = class_counts(labels.judged[training], labels)
        even = here.sum() / len(labels.names)
        missing = [name for name, count in zip(labels.names, here, strict=True) if not count]
        few = [f"{name} ({count})" for name, count in zip(labels.names, here, strict=True) if 0 < count < FEW]
        small = [
            f"{name} ({count:,})" for name, count in zip(labels.names, here, strict=True) if FEW <= count < SMALL * even
        ]
        if missing:
            told.append(f"{under}Training has no face of {_list(missing)}: no network can learn that.")
        if few:
            told.append(f"{under}Training has fewer than {FEW} faces of {_list(few)}: little to learn from.")
        if small:
            told.append(
                f"{under}Training has few faces of {_list(small)}, where an even share would be "
                f"{even:,.0f}. Balance the classes when training, and read these classes' figures with care."
            )
    empty = [split for number, split in enumerate(SPLITS) if not (data.split == number).any()]
    if empty:
        told.append(f"No faces in {_list(empty)}. emotion-train prepare can split the data set.")
    if twins.across.any():
        told.append(
            f"{_many(twins.across.sum(), 'image', 'is', 'are')} in more than one split, pixel for pixel: figures on "
            "the other splits would be too good. emotion-train fit leaves such faces out of Training, emotion-train "
            "prepare does so for good."
        )
    if twins.conflicting.any():
        told.append(
            f"{_many(twins.conflicting.sum(), 'image', 'occurs', 'occur')} several times with different labels."
        )
    blank = int((found.contrast == 0).sum())
    if blank:
        told.append(f"{_many(blank, 'image', 'is', 'are')} blank: all pixels alike.")
    if data.people is not None and len(shared := shared_people(data.split, data.people)):
        told.append(
            f"{len(shared):,} {'person is' if len(shared) == 1 else 'people are'} in more than one split: a network "
            "may know them by their faces, and figures would be too good. emotion-train prepare splits by person."
        )
    return told


def _overview(data: Dataset, found: Survey, twins: Duplicates, source: Path | None) -> Section:
    splits = ", ".join(f"{(data.split == number).sum():,} {split}" for number, split in enumerate(SPLITS))
    sets = ", ".join(data.labels)
    sizes = np.unique(found.sizes[found.readable], axis=0)
    one_size = f"{sizes[0][1]}x{sizes[0][0]}" if len(sizes) == 1 else f"{len(sizes):,} sizes"
    figures = [
        ("Faces", f"{len(data):,}", splits),
        ("Label sets", str(len(data.labels)), sets),
        ("Image size", one_size, "width x height in pixels" if len(sizes) == 1 else "see Images"),
        ("Duplicates", f"{len(twins.groups):,}", "groups of images alike to the pixel"),
        ("Unreadable", f"{(~found.readable).sum():,}", "files that are no image"),
        ("Valence, arousal", _affect_kind(data), _affect_known(data)),
        ("People", "unknown" if data.people is None else f"{len(known_people(data.people)):,}", ""),
    ]
    read = [paragraph(f"Read from {source}.", quiet=True)] if source else []
    return Section("Overview", together([tiles(figures), *read]))


def _augmented(data: Dataset, found: Survey, config: TrainingConfig) -> Section:
    from training.preview import FACES, VIEWS, preview_tiles

    training = np.flatnonzero(found.readable & (data.split == SPLITS.index("Training")))
    rows = training[np.unique(np.linspace(0, len(training) - 1, FACES).astype(int))] if len(training) else training
    if not len(rows):
        return Section("Augmentation", paragraph("Training has no face to augment."))
    faces = in_memory(data.take(rows), *config.input.shape).pixels
    words = (
        f"Faces of Training as a run would see them: each row begins with the face as it is, then {VIEWS} draws with "
        "the settings of `augment`. emotion-train explore --config FILE.yaml shows those of a run of yours."
    )
    sheet = mosaic(preview_tiles(faces, config), 1 + VIEWS, "Faces, each as it is and augmented several times")
    return Section("Augmentation", together([paragraph(words), sheet]))


def _affect_kind(data: Dataset) -> str:
    return "none" if data.affect is None else "derived" if data.affect_derived else "measured"


def _affect_known(data: Dataset) -> str:
    return "" if data.affect is None else f"for {(~np.isnan(data.affect).any(axis=1)).sum():,} faces"


def _list(words: Sequence[str]) -> str:
    """Join words as in an English list: "a", "a and b", "a, b and c"."""
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _many(count: int, noun: str, one: str, several: str) -> str:
    """Format a count, followed by `noun` and by the verb `one` (singular) or `several` (plural)."""
    return f"1 {noun} {one}" if count == 1 else f"{count:,} {noun}s {several}"
