"""The sections of the data set report, each about one topic, with figures, plots and pictures."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.labels import CIRCUMPLEX
from training.datasets.dataset import SPLITS, Dataset, Labels
from training.datasets.manifest import names_of
from training.exploring.agreement import agreement, entropy, vote_agreement
from training.exploring.survey import SIDE, Duplicates, Survey, picture_of
from training.pages.figures import figure_svg
from training.pages.page import Cell, Section, bullets, columns, heading, paragraph, table_html, tiles, together
from training.pages.plots import affect_plot, bars, confusion_plot, histogram
from training.pages.sheets import Picture, image_sheet, mosaic

SAMPLES: Final = 32
EXTREMES: Final = 16
CONFLICTS: Final = 24
LISTED: Final = 10
_COLUMNS: Final = 8

Index = npt.NDArray[np.int64]


def classes_section(data: Dataset, found: Survey, label_set: str) -> Section:
    """Class counts, sample images and mean faces of one label set."""
    labels = data.labels[label_set]
    splits = [split for number, split in enumerate(SPLITS) if (data.split == number).any()]
    counts = {split: class_counts(labels.judged[data.split == SPLITS.index(split)], labels) for split in splits}
    total = np.sum([*counts.values()], axis=0)
    rows: list[list[Cell]] = [
        [name, *(int(counts[split][number]) for split in splits), int(total[number]), _percent(total[number], total)]
        for number, name in enumerate(labels.names)
    ]
    without = [int((labels.judged[data.split == SPLITS.index(split)] < 0).sum()) for split in splits]
    outside = "; no class: they count for nothing under it" if any(without) else ""
    if any(without):
        rows.append(["no class", *without, sum(without), ""])
    largest, smallest = total.max(), total[total > 0].min() if total.any() else 0
    plot = figure_svg(
        bars(labels.names, {split: counts[split].tolist() for split in splits}, "faces", spread=True),
        f"Bars: faces in each class of {label_set}, by split. " + _in_words(labels.names, total),
    )
    balance = paragraph(
        f"The largest class has {largest / max(smallest, 1):,.1f} times the faces of the smallest that has any.", True
    )
    table = table_html(["class", *splits, "all", "share"], rows, f"Faces by class and split under {label_set}{outside}")
    sheets, means, names = [], [], []
    for number, name in enumerate(labels.names):
        here = np.flatnonzero((labels.judged == number) & found.readable)
        if len(here):
            remark = f"{len(here):,} faces" if len(here) <= SAMPLES else f"{SAMPLES} of {len(here):,} faces"
            sheets.append(_mosaic(data, _spaced(here, SAMPLES), f"Faces of the class {name}", name, remark))
            means.append(found.means[label_set, name])
            names.append(f"{name}, {len(here):,} faces")
    return Section(
        f"Classes of {label_set}" if len(data.labels) > 1 else "Classes",
        together(
            [
                columns([plot + balance, table]),
                heading("Samples"),
                paragraph("Taken at even distances through each class, in the order of the data set.", quiet=True),
                columns(sheets),
                heading("Mean faces"),
                image_sheet(means, names, len(means)),
            ]
        ),
    )


def images_section(data: Dataset, found: Survey) -> Section:
    """Sizes, brightness, contrast and sharpness, with the most extreme images of each."""
    parts = []
    readable = np.flatnonzero(found.readable)
    distinct = readable[np.sort(np.unique([found.digests[row].hex() for row in readable], return_index=True)[1])]
    sizes = found.sizes[found.readable]
    if len(np.unique(sizes, axis=0)) > 1:
        by_length = {"width": sizes[:, 1], "height": sizes[:, 0]}
        limit = float(np.percentile(sizes, 99))
        plot = histogram(by_length, "pixels", limits=(0, limit), of="images")
        shape = (
            f"from {_size(sizes, sizes.prod(axis=1).argmin())} to {_size(sizes, sizes.prod(axis=1).argmax())} pixels"
        )
        small = int((sizes.min(axis=1) < SIDE).sum())
        remark = f"Width and height, {shape}; {small:,} images have a side shorter than {SIDE} pixels."
        parts.append(figure_svg(plot, f"Histogram of image sizes, {shape}", remark))
    measured = (
        ("brightness", "mean grey value, 0 to 255", found.brightness, "darkest", "brightest"),
        ("contrast", "standard deviation of the grey values", found.contrast, "flattest", "strongest"),
        ("sharpness", "variance of Laplacian / variance", found.sharpness, "most blurred", "sharpest"),
    )
    ends = []
    for name, how, values, low, high in measured:
        by_split = _by_split(data, values)
        known = values[readable]
        middle = ", ".join(f"{split} {np.median(part):.3g}" for split, part in by_split.items())
        plot = histogram(by_split, f"{name}: {how}", limits=_most(known), of="images")
        parts.append(figure_svg(plot, f"Histogram of {name}. Medians: {middle}", f"Medians: {middle}."))
        order = distinct[np.argsort(values[distinct], kind="stable")]
        ends.append(_mosaic(data, order[:EXTREMES], f"The images that are {low}", low, f"({name})"))
        ends.append(_mosaic(data, order[::-1][:EXTREMES], f"The images that are {high}", high, f"({name})"))
    unreadable = [[name] for name, readable in zip(short_names(data), found.readable, strict=True) if not readable]
    files = [table_html(["file"], unreadable, "Files that cannot be read as an image")] if unreadable else []
    note = f"Measured in grey, on images shrunk to {SIDE} pixels where they are larger. The outermost bins hold what "
    return Section(
        "Images",
        together(
            [
                paragraph(note + "lies beyond them.", quiet=True),
                columns(parts),
                heading("The images at the ends"),
                columns(ends),
                *files,
            ]
        ),
    )


def duplicates_section(data: Dataset, twins: Duplicates) -> Section:
    if not twins.groups:
        return Section("Duplicates", paragraph("No two images are alike to the pixel."))
    labels = next(iter(data.labels.values()))
    figures = [
        ("Groups", f"{len(twins.groups):,}", "of images alike to the pixel"),
        ("Images in them", f"{sum(map(len, twins.groups)):,}", "largest group: " + str(max(map(len, twins.groups)))),
        ("Across splits", f"{twins.across.sum():,}", "groups in more than one split"),
        ("Conflicting labels", f"{twins.conflicting.sum():,}", f"groups, under {next(iter(data.labels))}"),
    ]
    parts = [tiles(figures)]
    torn = [group for group, conflict in zip(twins.groups, twins.conflicting, strict=True) if conflict]
    if torn:
        shown = torn[:CONFLICTS]
        words = [_class_words(data, labels, group) for group in shown]
        parts.append(
            heading(f"One image, several labels: {len(shown)} of {len(torn)}" if len(torn) > 1 else "Conflict")
        )
        parts.append(image_sheet(_pictures(data, [int(group[0]) for group in shown]), words, _COLUMNS))
    names = short_names(data)
    across = [group for group, spread in zip(twins.groups, twins.across, strict=True) if spread]
    if across:
        rows: list[list[Cell]] = [
            [names[group[0]], len(group), ", ".join(sorted({SPLITS[split] for split in data.split[group]}))]
            for group in across[:LISTED]
        ]
        caption = f"Images in more than one split: {len(rows)} of {len(across):,}"
        parts.append(table_html(["first of the group", "images", "splits"], rows, caption))
        if told := _told_by_training(data, labels, across):
            header = ["split", "faces that Training has, too", "of its faces", "with the class they have there"]
            parts.append(table_html(header, told, "What Training gives away"))
    return Section("Duplicates", together(parts))


def _told_by_training(data: Dataset, labels: Labels, across: Sequence[Index]) -> list[list[Cell]]:
    """Count, for each split but Training, faces with a duplicate in Training, and with one of the same class."""
    rows: list[list[Cell]] = []
    for number, name in enumerate(SPLITS[1:], 1):
        copied = same = 0
        for group in across:
            there, here = (labels.judged[group[data.split[group] == split]] for split in (0, number))
            copied += len(here) * bool(len(there))
            same += int((np.isin(here, there) & (here >= 0)).sum())
        if copied:
            rows.append([name, copied, f"{copied / (data.split == number).sum():.1%}", same])
    return rows


def agreement_section(data: Dataset, source: Path | None) -> Section:
    """Agreement between two label sets, and between the annotators of one."""
    parts, plots = [], []
    (first, first_labels), *others = data.labels.items()
    for other, labels in others:
        agreed = agreement(first_labels, labels)
        parts.append(
            paragraph(
                f"{agreed.equal:,} of the {agreed.both:,} faces with a class under both {first} and {other} have the "
                f"same in both: {agreed.equal / max(agreed.both, 1):.1%}, or {agreed.equal / len(data):.1%} of all "
                "faces."
            )
        )
        plots.append(
            figure_svg(
                confusion_plot(agreed.table, first_labels.names, labels.names, first, other),
                f"Cross table of {first} (rows) against {other} (columns)",
                "Faces with a class under both; a cell is the darker the larger its part of its row.",
            )
        )
    raw = vote_agreement(data, source)
    if raw:
        parts.append(paragraph("By the raw FER+ votes, before any are dropped:"))
        parts.append(
            bullets(
                [
                    f"the choice with the most votes, of all ten, is the FER label in {raw.most:.1%} of all rows;",
                    f"in the {raw.rows:,} rows where one of FER's seven classes has more than 5 of the votes, that "
                    f"class is the FER label in {raw.clear:.1%}.",
                ]
            )
        )
    for name, labels in data.labels.items():
        if has_votes(labels):
            voted = labels.probabilities.any(axis=1)
            bits = entropy(labels.probabilities[voted])
            plot = histogram({name: bits}, "entropy of a face's votes, bits", bins=24)
            agreeing = f"{np.mean(bits == 0):.1%} of the faces have votes for one class alone; the median is "
            text = f"{agreeing}{np.median(bits):.2f} bits (1 bit: two classes, half of the votes each)."
            plots.append(figure_svg(plot, f"Histogram of the entropy of votes under {name}. {text}", text))
    return Section("Label agreement", together([*parts, columns(plots)]))


def affect_section(data: Dataset, affect: npt.NDArray[np.float32]) -> Section:
    known = ~np.isnan(affect).any(axis=1)
    judged, labels = next(iter(data.labels.items()))
    for name, candidate in data.labels.items():
        if has_votes(candidate):
            judged, labels = name, candidate
    places = {name: CIRCUMPLEX[name] for name in labels.names if name in CIRCUMPLEX}
    origin = (
        "Derived: computed from the labels on the circumplex, whose places for the classes are this project's after "
        "Russell 1980. Nobody measured them."
        if data.affect_derived
        else "As the data set has them. The rings are where the circumplex puts the classes."
    )
    rows: list[list[Cell]] = []
    for number, name in enumerate(labels.names):
        here = affect[known & (labels.judged == number)]
        if len(here):
            spread = zip(here.mean(axis=0), here.std(axis=0), strict=True)
            rows.append([name, len(here), *(f"{mean:.2f} ± {off:.2f}".replace("-", "−") for mean, off in spread)])
    kind = "derived " if data.affect_derived else ""
    header = ["class", "faces", f"{kind}valence", f"{kind}arousal"]
    plot = figure_svg(
        affect_plot(affect[known, 0], affect[known, 1], places),
        f"Faces on the plane of {kind}valence and {kind}arousal, the darker the more",
        f"{known.sum():,} faces, the darker the more.",
    )
    table = table_html(header, rows, f"Mean ± standard deviation by class of {judged}")
    title = "Derived valence and arousal" if data.affect_derived else "Valence and arousal"
    return Section(title, together([paragraph(origin), columns([plot, table])]))


def people_section(data: Dataset, people: Index) -> Section:
    rows: list[list[Cell]] = []
    for number, split in enumerate(SPLITS):
        here = people[data.split == number]
        if len(here):
            rows.append([split, len(known_people(here)), len(here), int((here < 0).sum())])
    shared = shared_people(data.split, people)
    words = (
        f"{len(shared):,} of the people are in more than one split"
        if len(shared)
        else "Nobody is in more than one split"
    )
    which = f": numbers {', '.join(map(str, shared[:CONFLICTS]))}" if len(shared) else ""
    per = np.unique(people[people >= 0], return_counts=True)[1]
    each = f" A person has {per.min():,} to {per.max():,} faces, the median is {np.median(per):g}." if len(per) else ""
    return Section(
        "People",
        together(
            [
                paragraph(f"{words}{which}{', …' if len(shared) > CONFLICTS else ''}.{each}"),
                table_html(["split", "people", "faces", "faces of unknown people"], rows, "People by split"),
            ]
        ),
    )


def _mosaic(data: Dataset, rows: Sequence[int] | Index, alt: str, title: str, remark: str) -> str:
    return mosaic(_pictures(data, rows), _COLUMNS, alt, title, remark, _tile(data))


def _pictures(data: Dataset, rows: Iterable[int]) -> list[Picture]:
    """Load the images of some faces, all of which must be readable."""
    found = (picture_of(data, int(row)) for row in rows)
    return [image for image in found if image is not None]


def _tile(data: Dataset) -> int:
    """Side in pixels at which faces are shown in a sheet of pictures."""
    return 64 if isinstance(data.images, tuple) else min(64, max(data.images.shape[1:3]))


def _class_words(data: Dataset, labels: Labels, group: Index) -> str:
    """Caption of a group of duplicates: each label with its count and its splits."""
    names = [labels.names[label] if label >= 0 else "no class" for label in labels.judged[group]]
    said = ", ".join(f"{name} {names.count(name)}" if len(group) > 2 else name for name in dict.fromkeys(names))
    rows = ", ".join(str(row) for row in data.rows[group[:4]])
    return f"{said} (rows {rows}{', …' if len(group) > 4 else ''})"


def _by_split(data: Dataset, values: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    parts = {split: values[(data.split == number) & ~np.isnan(values)] for number, split in enumerate(SPLITS)}
    return {split: part for split, part in parts.items() if len(part)}


def class_counts(judged: Index, labels: Labels) -> Index:
    return np.asarray(np.bincount(judged[judged >= 0], minlength=len(labels.names)), np.int64)


def _spaced(rows: Index, count: int) -> Index:
    """Choose at most `count` of the rows, evenly spaced; deterministic."""
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)])


def _most(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Range that contains all but a few thousandths of the values."""
    low, high = np.percentile(values, (0.2, 99.5))
    return float(low), float(high)


def short_names(data: Dataset) -> list[str]:
    """Display name of each face: its file relative to the common folder, or its row."""
    if not isinstance(data.images, tuple):
        return names_of(data)
    folder = os.path.commonpath([path.parent for path in data.images])
    return [path.relative_to(folder).as_posix() for path in data.images]


def known_people(people: Index) -> Index:
    return np.asarray(np.unique(people[people >= 0]))


def shared_people(split: Index, people: Index) -> Index:
    """People who appear in more than one split."""
    pairs = np.unique(np.stack([people, split])[:, people >= 0], axis=1)
    who, splits = np.unique(pairs[0], return_counts=True)
    return np.asarray(who[splits > 1])


def has_votes(labels: Labels) -> bool:
    """True if any face has a distribution over several classes."""
    return bool(((labels.probabilities > 0) & (labels.probabilities < 1)).any())


def _percent(part: int, counts: Index) -> str:
    return f"{part / max(counts.sum(), 1):.1%}"


def _in_words(names: Sequence[str], counts: Index) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True)) + "."


def _size(sizes: Index, row: np.intp) -> str:
    return f"{sizes[row][1]}x{sizes[row][0]}"
