"""Formats the measurement of `verify` as text for the terminal and as Markdown for the card."""

from collections.abc import Sequence

from quantize.arm import CPUS
from quantize.layers import LayerError
from quantize.verify import Measured, Row


def table(measured: Measured) -> str:
    """Format the measurement as text: a row per way to run the network, sizes, errors by class, ways not run."""
    return "\n".join(
        [*_plain(_cells(measured)), "", *_notes(measured), "", *(": ".join(row) for row in _error_cells(measured))]
    )


def markdown(measured: Measured) -> str:
    """Format the measurement as Markdown for CARD.md."""
    parts = [_markdown(_cells(measured)), "\n".join(f"- {note}" for note in _notes(measured))]
    return "\n\n".join([*parts, _markdown(_error_cells(measured))])


def layers_table(layers: Sequence[LayerError]) -> str:
    """Format the errors of layers as text, in execution order."""
    cells = [["operation", "layer", "signal to error, dB", "own error, steps", "after training, steps"]]
    for layer in layers:
        alone = ["" if steps is None else f"{steps:.2f}" for steps in (layer.own, layer.after_training)]
        cells.append([layer.op, layer.name, f"{layer.decibels:.1f}", *alone])
    judged = any(layer.own is not None for layer in layers)
    return "\n".join(_plain(cells if judged else [row[:3] for row in cells]))


def _cells(measured: Measured) -> list[list[str]]:
    titles = _titles(measured)
    labelled = list(measured.float_row.agreement)
    floats = {row.runtime: row.milliseconds for row in measured.rows if row.precision == "float32" and row.milliseconds}
    base = next(iter(floats.values()), None)
    cells = [["", *titles.values(), *(f"same {head}" for head in labelled), "ms", "of float"]]
    for row in measured.rows:
        found = {(figure.split, figure.head): f"{figure.accuracy:.2%}" for figure in row.figures}
        same = (
            [f"{row.agreement[head]:.2%}" for head in labelled]
            if row is not measured.float_row
            else [""] * len(labelled)
        )
        time = "" if row.milliseconds is None else f"{row.milliseconds:.2f}"
        ratio = f"{row.milliseconds / base:.2f}" if base and row.milliseconds else ""
        cells.append([_title(row), *(found.get(key, "") for key in titles), *same, time, ratio])
    return cells


def _titles(measured: Measured) -> dict[tuple[str, str], str]:
    """Column titles, by split and head."""
    keys = [(figure.split, figure.head) for figure in measured.float_row.figures]
    return {(split, head): f"{split.removesuffix('Test')} {head}" for split, head in keys}


def _title(row: Row) -> str:
    faces = "" if row.faces is None else f", {row.faces:,} faces"
    return f"{row.precision}, {row.runtime}{faces}"


def _notes(measured: Measured) -> list[str]:
    size = f"file: {measured.size:,} bytes, {measured.compressed:,} compressed"
    if measured.float_size:
        size += f" ({measured.size / measured.float_size:.2f} of the float file's {measured.float_size:,})"
    last = measured.shipped.figures[-1].split
    still = next(f for f in measured.shipped.figures if f.split == last and f.head == measured.primary)
    twice = ", looked at twice" if measured.mirror else ""
    notes = [
        f"{size}; ms: one face{twice}, one thread, on the machine that measured",
        f"{last} {measured.primary} with boxes as a detector jitters them (moved by up to 10%, scaled by 0.85 to 1.15, "
        f"rotated by up to 10 degrees): {measured.jitter:.2%} ({measured.jitter - still.accuracy:+.2%})",
    ]
    if measured.mirror:
        alone = {(figure.split, figure.head): figure.accuracy for figure in measured.one_view}
        each = ", ".join(f"{title} {alone[key]:.2%}" for key, title in _titles(measured).items())
        notes.insert(1, f"every figure is of the mean over each face and its mirror image; of the face alone: {each}")
    for affect in measured.affect:
        kind = "derived from labels on the circumplex, not measured" if affect.derived else "as annotated"
        notes.append(
            f"{affect.split} affect ({kind}), {affect.rows:,} faces: CCC valence {affect.ccc[0]:.3f}, arousal "
            f"{affect.ccc[1]:.3f}; RMSE {affect.rmse[0]:.3f}, {affect.rmse[1]:.3f}"
        )
    if measured.instructions:
        notes.append(f"instructions a face{twice}, millions, {_instructions(measured)}")
    return notes + [f"not run: {where}: {reason}" for where, reason in measured.not_run.items()]


def _instructions(measured: Measured) -> str:
    parts = []
    for cpu, (count, floating) in measured.instructions.items():
        ratio = "" if floating is None else f" ({count / floating:.2f} of float's {floating / 1e6:.2f})"
        parts.append(f"{cpu} ({CPUS[cpu]}): {count / 1e6:.2f}{ratio}")
    return "; ".join(parts)


def _error_cells(measured: Measured) -> list[list[str]]:
    """Largest and mean error of each output of the file, in its first interpreter."""
    cells = [["output", "error against float", "class: largest / mean"]]
    for head, error in measured.shipped.errors.items():
        each = ", ".join(
            f"{label} {largest:.2f} / {mean:.3f}"
            for label, largest, mean in zip(error.labels, error.largest, error.mean, strict=True)
        )
        cells.append([head, f"{error.largest.max():.2f} / {error.mean.mean():.3f}", each])
    return cells


def _plain(cells: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]

    def line(row: Sequence[str]) -> str:
        first, *rest = zip(row, widths, strict=True)
        return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]).rstrip()

    return [line(row) for row in cells]


def _markdown(cells: Sequence[Sequence[str]]) -> str:
    head, *rest = ("| " + " | ".join(row) + " |" for row in cells)
    return "\n".join([head, "|---" * len(cells[0]) + "|", *rest])
