"""Parts of a report about single faces and epochs: slices, learning curves, most confident mistakes."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from training.datasets.dataset import VALIDATION, Dataset
from training.datasets.manifest import names_of
from training.datasets.pixels import in_memory
from training.evaluation.findings import Findings
from training.evaluation.judge import SplitResult
from training.evaluation.members import Member
from training.evaluation.slices import Measure, slice_of, slices
from training.history import CHOSEN_BY, LEARNING_RATE, TIES_BY, TRAINING
from training.pages.plots import lines
from training.reporting.blocks import Beside, Block, Faces, Heading, Part, Plot, Table, Words
from training.reporting.plots import slices_plot
from training.validation import AXES

PUBLIC: Final = "public_"
"""Prefix of the columns of a run's history that hold figures on the validation split (PublicTest)."""
MISTAKES: Final = 24
SIDE: Final = 96
"""Side in pixels of a picture loaded from a file."""
ROWS: Final = 12
"""Most epochs shown in a table."""


def slices_part(found: Findings) -> Part:
    """Accuracy of the main voter by image properties that affect it."""
    chief, split = found.results[-1][0].main_voter, found.results[-1][0].split
    words = (
        f"Accuracy of {chief} on fifths of the faces of {split}, as the network gets them. Bars are 95% intervals: "
        "where they overlap, the difference may be chance."
    )
    plots = tuple(_by(measure, found.results[-1]) for measure in found.measures)
    return Part("By sharpness, size and brightness", (Words(words), Beside(plots)))


def _by(measure: Measure, results: Sequence[SplitResult]) -> Plot:
    index = slice_of(measure.values)
    ranges = [_range(measure.values[index == place], measure.digits) for place in range(index.max() + 1)]
    series = {
        result.task.label_set: slices(
            measure.values[result.rows], index[result.rows], result.predictions[result.main_voter].labels == result.true
        )
        for result in results
    }
    cells = {name: {one.place: f"{one.accuracy:.1%} ({one.rows:,})" for one in found} for name, found in series.items()}
    rows = tuple((span, *(cells[name].get(place, "") for name in series)) for place, span in enumerate(ranges))
    name, first = next(iter(series.items()))
    return Plot(
        slices_plot(series, ranges, measure.name),
        f"Accuracy by {measure.name} under {name}: "
        + ", ".join(f"{ranges[one.place]}: {one.accuracy:.1%}" for one in first),
        f"From the {measure.low} to the {measure.high}. {measure.how[0].upper()}{measure.how[1:]}.",
        (
            Table(
                (measure.name, *(f"{name} (faces)" for name in series)),
                rows,
                f"{measure.name.capitalize()}, from the {measure.low}: {measure.how}",
            ),
        ),
    )


def _range(values: npt.NDArray[np.float64], digits: int) -> str:
    low, high = f"{values.min():.{digits}f}", f"{values.max():.{digits}f}"
    return low if low == high else f"{low}–{high}"


def curves_part(found: Findings) -> Part:
    """Learning curves of the evaluated networks that are training runs of more than one epoch."""
    blocks: list[Block] = []
    for member in found.members:
        if len(member.history) > 1:
            blocks += [Heading(member.name), Beside(tuple(_curves(member)))]
    return Part("Learning curves", tuple(blocks))


def _curves(member: Member) -> list[Plot]:
    """Accuracy, F1, CCC, loss and learning rate by epoch, from the columns with a number in every row."""
    full = [name for name in member.history[0] if all(row.get(name) not in (None, "") for row in member.history)]
    columns = {name: [float(row[name]) for row in member.history] for name in full}
    epochs = columns.pop("epoch", [float(epoch) for epoch in range(1, len(member.history) + 1)])
    groups: dict[str, dict[str, Sequence[float]]] = {kind: {} for kind in ("loss", "accuracy", "f1", "affect")}
    for name, values in columns.items():
        measured = name.startswith((PUBLIC, f"{TRAINING}_"))
        if name.endswith("loss"):
            groups["loss"][_short(name)] = values
        elif measured and name.endswith("_f1"):
            groups["f1"][_short(name)] = values
        elif measured and name.endswith(AXES):
            groups["affect"][_short(name)] = values
        elif measured:
            groups["accuracy"][_short(name)] = values
    public = groups["accuracy"]
    chosen_by = columns.get(CHOSEN_BY) or next(iter(public.values()), epochs)
    best = epochs[int(np.argmax(chosen_by))]
    plots = []
    for kind, title, tables in (
        ("accuracy", "accuracy", (_history(epochs, public, best),) if public else ()),
        ("f1", "macro F1", ()),
    ):
        if groups[kind]:
            tops = ", ".join(f"{max(values):.2%} of {name}" for name, values in groups[kind].items())
            plots.append(
                Plot(
                    lines(epochs, groups[kind], "epoch", title, percent=True, mark=best),
                    f"{title.capitalize()} by epoch, on {VALIDATION} unless named; at best {tops}",
                    f"{title[0].upper()}{title[1:]} of the averaged weights, on {VALIDATION} unless named; dotted: the "
                    f"best epoch, {best:.0f}",
                    tables,
                )
            )
    for kind, title, how in (
        ("affect", "CCC", f"Concordance of valence and arousal, on {VALIDATION} unless named"),
        ("loss", "loss", "Loss: on augmented faces with soft targets; on Training and PublicTest as they are"),
    ):
        if groups[kind]:
            ends = ", ".join(f"{name} {values[0]:.2f} to {values[-1]:.2f}" for name, values in groups[kind].items())
            plots.append(
                Plot(
                    lines(epochs, groups[kind], "epoch", title, mark=best),
                    f"{title[0].upper()}{title[1:]} by epoch: {ends}",
                    how,
                )
            )
    if rate := columns.get(LEARNING_RATE):
        plots.append(
            Plot(
                lines(epochs, {"learning rate": rate}, "epoch", "learning rate", mark=best),
                f"Learning rate by epoch: from {rate[0]:.2g}, {max(rate):.2g} at most, to {rate[-1]:.2g}",
                "Learning rate at the end of each epoch",
            )
        )
    return plots


def _short(name: str) -> str:
    """Legend name of a history column: `public_fer7_f1` becomes "fer7", `loss` becomes "total"."""
    special = {"loss": "all, augmented", TIES_BY: f"all, {VALIDATION}", f"{TRAINING}_loss": "all, Training"}
    if name in special:
        return special[name]
    if name.startswith(f"{TRAINING}_"):
        return f"{name.removeprefix(f'{TRAINING}_').removesuffix('_f1').removesuffix('_loss')}, Training"
    if name.endswith("_loss"):
        measured = name.startswith(PUBLIC)
        return f"{name.removeprefix(PUBLIC).removesuffix('_loss')}, {VALIDATION if measured else 'augmented'}"
    return name.removeprefix(PUBLIC).removesuffix("_f1")


def _history(epochs: Sequence[float], public: Mapping[str, Sequence[float]], best: float) -> Table:
    """Table of evenly spaced epochs, always with the best and the last."""
    places = set(np.linspace(0, len(epochs) - 1, min(ROWS, len(epochs))).astype(int).tolist())
    places.add(list(epochs).index(best))
    rows = tuple(
        (f"{epochs[place]:.0f}", *(f"{values[place]:.2%}" for values in public.values())) for place in sorted(places)
    )
    return Table(("epoch", *public), rows, f"Accuracy on {VALIDATION}; the best epoch is {best:.0f}")


def mistakes_part(found: Findings) -> Part:
    """The wrong predictions of the main voter with the highest confidence, for each label set."""
    chief, split = found.results[-1][0].main_voter, found.results[-1][0].split
    words = (
        f"The faces of {split} that {chief} was surest of and wrong about. Look at them before trusting a figure: some "
        "are mistakes of the label. The pictures are in the HTML report alone."
    )
    faces = [_worst(result, found.part) for result in found.results[-1]]
    shown = tuple(of for of in faces if of.images)
    return Part("The worst mistakes", (Words(words if shown else f"On {split} {chief} made none."), *shown))


def _worst(result: SplitResult, part: Dataset) -> Faces:
    names, predictions = result.task.names, result.predictions[result.main_voter]
    wrong = np.flatnonzero(predictions.labels != result.true)
    worst = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")][:MISTAKES]
    shown = part.take(result.rows[worst])
    captions = tuple(
        f"{names[predictions.labels[row]]} {predictions.confidence[row]:.0%}, labelled {names[result.true[row]]}: "
        f"{name.removeprefix(part.name).strip()}"
        for row, name in zip(worst, names_of(shown), strict=True)
    )
    if isinstance(shown.images, tuple):
        shown = in_memory(shown, SIDE, SIDE, 3)
    return Faces(result.task.label_set, tuple(shown.pixels), captions)
