"""The parts of an evaluation report, built from its findings."""

from typing import Final

import numpy as np

from training.datasets.dataset import FINAL, VALIDATION
from training.evaluation.figures import SEEN, too_few
from training.evaluation.findings import Findings
from training.evaluation.jitter import ROTATE, SCALE, SHIFT
from training.evaluation.judge import COMMITTEE, JITTERS, SplitResult, missing_labels, views_of
from training.evaluation.members import Member
from training.evaluation.metrics import DRAWS, ENOUGH, Interval, bootstrap_rows, f1, precision, reliability
from training.pages.page import Notice
from training.pages.plots import confusion_plot, reliability_plot
from training.reporting.attention import attention_part, examples_part
from training.reporting.blocks import Beside, Block, Heading, Part, Plot, Points, Table, Tiles, Words
from training.reporting.details import curves_part, mistakes_part, slices_part
from training.reporting.words import derived, ends, figure_with_ends, out_of, points, titled

AXES: Final = ("valence", "arousal")
ENOUGH_OF_CLASS: Final = 20
"""Fewest faces of a class that may be called the best or worst: the recall of 20 in 20 may truly be 84% (Wilson
1927).
"""


def title_of(found: Findings) -> str:
    """The title of the report."""
    if len(found.members) == 1:
        return f"{found.members[0].name} on {found.part.name}"
    return f"A committee of {len(found.members)} on {found.part.name}, led by {found.members[0].name}"


def lead_of(found: Findings) -> str:
    """The introduction of the report, one or two sentences."""
    splits = " and ".join(results[0].split for results in found.results)
    last = found.results[-1][0].split
    details = f"; the details below are of {last}" if len(found.results) > 1 else ""
    return (
        f"Judged on {splits} of {found.part.name}{details}. {last} has {len(found.part):,} faces. In brackets: 95% "
        "intervals: of accuracy Wilson's, of all else by bootstrap over the faces."
    )


def notices_of(found: Findings) -> list[Notice]:
    """Warnings shown at the top of the report."""
    few = [too_few(result.figures[result.main_voter]) for result in found.results[-1]]
    warnings = [Notice(text) for text in few if text][:1]
    if found.results[-1][0].split == FINAL:
        text = (
            f"{FINAL} is for the last figure of all: where it decides anything, it flatters from then on. "
            f"{VALIDATION} flatters already: the epoch was chosen and the temperatures were fitted on it."
        )
    else:
        text = (
            f"The epoch was chosen and the temperatures were fitted on {VALIDATION}, so its figures flatter. The one "
            f"to publish is {FINAL}'s (--final), looked at once."
        )
    return [*warnings, Notice(text, "note")]


def parts_of(found: Findings) -> list[Part]:
    """The parts of the report, in order."""
    return [
        _glance(found),
        _voters(found),
        *(_classes(result) for result in found.results[-1]),
        _calibration(found),
        *([_affect(found)] if found.affects else []),
        _jitter(found),
        slices_part(found),
        *([curves_part(found)] if any(len(member.history) > 1 for member in found.members) else []),
        mistakes_part(found),
        *([examples_part(found), attention_part(found)] if found.attention else []),
        _method(found),
    ]


def _glance(found: Findings) -> Part:
    first = found.results[-1][0]
    chief = first.figures[first.main_voter]
    where = f"{first.task.label_set}, {first.split}"
    drop = next(one for one in found.jitters if (one.voter, one.label_set) == (first.main_voter, first.task.label_set))
    tiles = [
        ("accuracy", f"{chief.accuracy:.2%}", f"{ends(chief.accuracy_interval)}; {where}, {chief.rows:,} faces"),
        ("macro-F1", f"{chief.macro_f1:.2%}", f"{ends(chief.macro_f1_interval)}; {where}"),
        ("lost under detector jitter", f"{100 * drop.drop:.1f} points", f"{points(drop.interval)}; {where}"),
        ("calibration error", f"{chief.calibration[1]:.3f}", f"{chief.calibration[0]:.3f} before the temperature"),
    ]
    for one in found.affects:
        if one.voter == first.main_voter:
            name = f"CCC of {derived(one.derived or found.part.affect_derived)}{AXES[one.axis]}"
            tiles.append((name, f"{one.concordance:.2f}", f"{one.rows:,} faces of {first.split}"))
    blocks: list[Block] = [Tiles(tuple(tiles))]
    blocks.append(Points(tuple(_in_words(found, first))))
    return Part("At a glance", tuple(blocks))


def _in_words(found: Findings, result: SplitResult) -> list[str]:
    """Summary of the results in sentences."""
    chief = result.figures[result.main_voter]
    counts = chief.confusion.sum(axis=1)
    enough = counts >= ENOUGH_OF_CLASS
    judged = sorted((part, label) for (label, part), count in zip(chief.recall.items(), enough, strict=True) if count)
    lines = []
    if len(judged) > 1:
        (low, worst), (high, best) = judged[0], judged[-1]
        lines.append(f"Best at {best} ({high:.0%} found), worst at {worst} ({low:.0%} found).")
    named = zip(chief.labels, counts, strict=True)
    if few := [f"{label} ({count})" for label, count in named if 0 < count < ENOUGH_OF_CLASS]:
        lines.append(f"Too few faces to say how well it finds {', '.join(few)}.")
    shares = np.where(enough[:, None], chief.confusion / np.maximum(counts[:, None], 1), 0.0)
    np.fill_diagonal(shares, 0)
    true, called = np.unravel_index(shares.argmax(), shares.shape)
    if shares[true, called] > 0:
        lines.append(
            f"The commonest confusion: {shares[true, called]:.0%} of {chief.labels[true]} is called "
            f"{chief.labels[called]}."
        )
    if len(found.members) > 2:
        leader = found.members[0].name
        right = [(result.predictions[voter].labels == result.true).astype(float) for voter in (COMMITTEE, leader)]
        gain = right[0] - right[1]
        number = f"{100 * gain.mean():+.2f}".replace("-", "−")
        lines.append(
            f"Against its leader alone, {leader}, the committee has {number} points of {result.task.label_set} "
            f"accuracy ({points(bootstrap_rows(lambda one: float(one.mean()), gain))})."
        )
    if len(found.members) == 2 and result.task.rule == "vote":
        lines.append("Of two, the leader decides every disagreement: the committee's label is the leader's.")
    return lines


def _voters(found: Findings) -> Part:
    facts = Table(
        ("network", "runs as", "input", "label sets", "more"),
        tuple(
            (
                member.name,
                member.kind,
                "x".join(map(str, member.shape)),
                ", ".join(member.heads),
                ", ".join(f"{name} {value}" for name, value in member.facts.items()),
            )
            for member in found.members
        ),
    )
    results = [result for split in found.results for result in split]
    header = tuple(f"{result.task.label_set}, {result.split}" for result in results)
    voters = list(results[0].predictions)
    accuracies, scores = [], []
    for voter in voters:
        each, name = [result.figures[voter] for result in results], titled(found.members, voter)
        accuracies.append((name, *(figure_with_ends(one.accuracy, one.accuracy_interval) for one in each)))
        scores.append((name, *(figure_with_ends(one.macro_f1, one.macro_f1_interval) for one in each)))
    tables = (
        Table(("", *header), tuple(accuracies), "Accuracy"),
        Table(("", *header), tuple(scores), "Macro-F1: the mean of the classes' F1; rare ones count as much"),
    )
    protocols = []
    for result in found.results[-1]:
        protocols.append(f"{result.task.label_set}: {result.task.protocol}.")
        for member in found.members:
            if result.task.heads[member.name][1] is not None:
                protocols.append(_carried(result, member))
    if len(found.results[-1]) > 1:
        protocols.append("Figures under different label sets cannot be compared with each other.")
    title = "The network" if len(found.members) == 1 else "Each network, and all of them together"
    return Part(title, (*tables, facts, Heading("Which faces count"), Points(tuple(protocols))))


def _carried(result: SplitResult, member: Member) -> str:
    head, _ = result.task.heads[member.name]
    missing = missing_labels(result.task, member)
    rest = f"; it cannot predict {', '.join(missing)}" if missing else ""
    return (
        f"{member.name} has no head for {result.task.label_set}: its probabilities of {head} are carried over "
        f"to it{rest}."
    )


def _classes(result: SplitResult) -> Part:
    figures = result.figures[result.main_voter]
    matrix, names = figures.confusion, figures.labels
    others = [voter for voter in result.figures if voter != result.main_voter]
    counted = Table(
        (
            "class",
            f"recall of {result.main_voter}" if others else "recall",
            "precision",
            "F1",
            *(f"recall of {voter}" for voter in others),
        ),
        tuple(
            (
                name,
                out_of(figures, place),
                f"{precision(matrix)[place]:.1%}",
                f"{f1(matrix)[place]:.1%}",
                *(out_of(result.figures[voter], place) for voter in others),
            )
            for place, name in enumerate(names)
        ),
        f"Precision and F1 of {result.main_voter}" if others else "",
    )
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    counts = Table(
        ("true", *names),
        tuple((name, *(int(count) for count in row)) for name, row in zip(names, matrix, strict=True)),
        "Faces: rows are the true class, columns the predicted one",
    )
    parts = Table(
        ("true", *names),
        tuple((name, *(f"{share:.1%}" for share in row)) for name, row in zip(names, shares, strict=True)),
        "Parts of each true class: every row is 100%",
    )
    plot = Plot(
        confusion_plot(matrix, names, across="predicted"),
        f"Confusion matrix of {result.main_voter} under {result.task.label_set}, the same as in the table of parts",
        f"{result.main_voter}: faces, shaded by their part of the true class",
        (counts,),
    )
    summary = (
        f"{result.split}, {result.task.label_set}: accuracy {figures.accuracy:.2%}, macro-F1 {figures.macro_f1:.2%}"
    )
    total = int(np.trace(matrix))
    return Part(
        f"Classes: {result.task.label_set}",
        (
            Words(f"{summary}. {result.main_voter}: {total:,} out of {figures.rows:,} ({figures.accuracy:.2%})."),
            *((Beside((counted, plot)), parts) if not others else (counted, plot, parts)),
        ),
    )


def _calibration(found: Findings) -> Part:
    rows, plots = [], []
    for result in found.results[-1]:
        task = result.task
        for voter, figures in result.figures.items():
            member = next((one for one in found.members if one.name == voter), None)
            on_card = member.card_temperatures.get(task.label_set) if member else None
            rows.append(
                (
                    f"{voter}, {task.label_set}",
                    f"{figures.temperature:.3f}" if member else "",
                    f"{on_card:.3f}" if on_card else "",
                    f"{figures.calibration[0]:.3f}",
                    f"{figures.calibration[1]:.3f}",
                )
            )
        plots.append(_reliability(result))
    split = found.results[-1][0].split
    words = (
        "A confidence is calibrated where, of the faces predicted with 80%, 80% are right: the board decides by it "
        "which face is uncertain. Logits are divided by the temperature, fitted on "
        f"{VALIDATION}; the errors are of {split}."
    )
    few = found.results[0][0].figures[found.results[0][0].main_voter].rows
    if few < ENOUGH:
        words += f" {VALIDATION} has only {few} faces: below {ENOUGH} no temperature is fitted, and it stays 1."
    header = ("", "temperature", "on its card", "error before", "error after")
    blocks: list[Block] = [
        Words(words),
        Table(header, tuple(rows), "Expected calibration error, 15 bins"),
        Beside(tuple(plots)),
    ]
    if COMMITTEE in found.results[-1][0].predictions:
        blocks.append(
            Words(
                "The committee has no temperature of its own: its confidence is the mean of what its members, each "
                "with its own temperature, give the label it decided on.",
                quiet=True,
            )
        )
    return Part("Calibration", tuple(blocks))


def _reliability(result: SplitResult) -> Plot:
    predictions = result.predictions[result.main_voter]
    right = predictions.labels == result.true
    curves = {}
    for name, confidence in (("before", predictions.raw), ("after", predictions.confidence)):
        bins = reliability(confidence, right)
        there = bins.counts > 0
        curves[name] = bins.confidence[there], bins.right[there], bins.counts[there]
    before, after = result.figures[result.main_voter].calibration
    return Plot(
        reliability_plot(curves),
        f"Reliability of {result.main_voter} under {result.task.label_set}: calibration error {before:.3f} before and "
        f"{after:.3f} after the temperature",
        f"{result.task.label_set}, {result.main_voter}: on the dotted line it is right as often as its confidence",
    )


def _affect(found: Findings) -> Part:
    truth = "derived from the labels on the circumplex, not measured" if found.part.affect_derived else "measured"
    rows = []
    for valence, arousal in zip(found.affects[::2], found.affects[1::2], strict=True):
        rows.append(
            (
                titled(found.members, valence.voter),
                *(_three(one.concordance, one.concordance_interval) for one in (valence, arousal)),
                *(_three(one.rmse, one.rmse_interval) for one in (valence, arousal)),
            )
        )
    sources = [
        f"{titled(found.members, one.voter)}: "
        + ("derived from class scores on the circumplex." if one.derived else "predicted by a head of its own.")
        for one in found.affects[::2]
    ]
    what = derived(found.part.affect_derived or any(one.derived for one in found.affects))
    header = tuple(f"{figure} of {what}{axis}" for figure in ("CCC", "RMSE") for axis in AXES)
    split = found.results[-1][0].split
    words = (
        f"Against valence and arousal of {found.affects[0].rows:,} faces of {split}, which are {truth}. "
        "CCC is Lin's concordance correlation coefficient (1989): 1 is perfect, 0 is no better than a constant. RMSE "
        "is on the scale of -1 to 1."
    )
    name = "Derived valence and arousal" if found.part.affect_derived else "Valence and arousal"
    return Part(name, (Words(words), Table(("", *header), tuple(rows)), Points(tuple(sources))))


def _three(value: float, interval: Interval) -> str:
    return f"{value:.3f} ({interval[0]:.3f} to {interval[1]:.3f})".replace("-", "−")


def _jitter(found: Findings) -> Part:
    rows = tuple(
        (
            f"{titled(found.members, one.voter)}, {one.label_set}",
            f"{one.clean:.2%}",
            f"{np.mean(one.moved):.2%}",
            f"{min(one.moved):.2%} to {max(one.moved):.2%}",
            f"{100 * one.drop:.2f} ({points(one.interval)})".replace("-", "−"),
        )
        for one in found.jitters
    )
    words = (
        f"A detector never frames a face quite as a test set does. Here the box of every face is moved by up to "
        f"{SHIFT:.0%} of its side, scaled by {SCALE[0]} to {SCALE[1]} and turned by up to {ROTATE:.0f} degrees, all "
        f"uniform, {JITTERS} times; past the picture's edge the edge pixels are repeated, as the board does. What is "
        "lost is what the board loses, so released models are chosen by it."
    )
    header = ("", "as cut", "moved, mean", f"of {JITTERS} draws", "lost, points")
    split = found.results[-1][0].split
    return Part("Under detector jitter", (Words(words), Table(header, rows, f"Accuracy, {split}")))


def _method(found: Findings) -> Part:
    last = found.results[-1][0].split
    lines = [
        f"Intervals: of accuracy Wilson's (1927), else percentile bootstrap over the faces, {DRAWS:,} samples, seeded. "
        "They say how much another such "
        "test set might change a figure, not how much another training run would.",
        "Macro-F1: over the classes that occur or are predicted.",
        f"Temperatures: fitted on {VALIDATION} (Guo et al. 2017), also where the figures are of {last}.",
        f"Jitter: draws with the seeds 1 to {JITTERS}, the same for every network.",
        f"Every figure is of {SEEN[views_of(found.members)]}, as the data set cuts it, without other crops averaged.",
    ]
    if len(found.members) > 1:
        lines.insert(
            0,
            "Committee: the label that most members predict; in a tie the one of the tied labels that the leader, "
            f"{found.members[0].name}, gives the highest probability.",
        )
    return Part("How it was measured", (Points(tuple(lines)),))
