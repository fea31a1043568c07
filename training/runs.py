"""`emotion-train runs`: a table of runs side by side, from their settings and histories."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import EmotionEdgeError
from training.config import CONFIG_FILE, NETWORK_FILE, read_config
from training.history import CHOSEN_BY, TIES_BY, TRAINING, best_epoch, read_history

_NEVER: Final = ("name", "licence", "mean_of")


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its folder, its settings as one flat mapping, and its figures as text, by column."""

    folder: Path
    settings: dict[str, Any]
    figures: dict[str, str]


def runs_in(folders: Sequence[Path]) -> list[Path]:
    """List the runs among folders and in them, in order. Raises EmotionEdgeError if there are none."""
    found = []
    for folder in folders:
        if (folder / CONFIG_FILE).is_file():
            found.append(folder)
        elif folder.is_dir():
            found += sorted(path.parent for path in folder.rglob(CONFIG_FILE))
        else:
            raise EmotionEdgeError(f"{folder}: not there; give runs, or the folder that holds them")
    if not found:
        raise EmotionEdgeError(f"{', '.join(map(str, folders))}: no run ({CONFIG_FILE} of `emotion-train fit`) in it")
    return list(dict.fromkeys(found))


def read_run(folder: Path) -> Run:
    """Read the settings of a run and the figures of its best epoch; no figures before the first epoch."""
    config = read_config(folder / CONFIG_FILE)
    rows = read_history(folder)
    best = best_epoch(folder, len(rows)) if rows else -1
    figures = {"epochs": f"{len(rows)} of {config.epochs}", "best": "", "PublicTest": "", "loss": "", "Training": ""}
    if rows:
        row = rows[best]
        trained = row.get(TRAINING) or ""
        figures |= {
            "best": str(best + 1),
            "PublicTest": f"{float(row[CHOSEN_BY]):.2%}",
            "loss": f"{float(row[TIES_BY]):.3f}" if row.get(TIES_BY) else "",
            "Training": f"{float(trained):.2%}" if trained else "",
            "minutes": f"{sum(float(each.get('seconds') or 0) for each in rows) / 60:.1f}",
        }
    network = folder / NETWORK_FILE
    figures["MB"] = f"{network.stat().st_size / 1e6:.1f}" if network.is_file() else ""
    return Run(folder, _flat(config.model_dump(mode="json")), figures)


def table(runs: Sequence[Run]) -> list[list[str]]:
    """Rows of cells, a header first: the best run first, its figures, and the settings in which any two differ."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if key.split(".")[0] not in _NEVER)
    differ = [key for key in keys if len({repr(run.settings.get(key)) for run in runs}) > 1]
    columns = list(dict.fromkeys(key for run in runs for key in run.figures))
    rows = [["run", *columns, *differ]]
    for run in sorted(runs, key=lambda one: -float(one.figures["PublicTest"].rstrip("%") or -1)):
        figures = [run.figures.get(column, "") for column in columns]
        rows.append([str(run.folder), *figures, *(_shown(run.settings.get(key)) for key in differ)])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Format a table as aligned Markdown."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(3, *(len(row[column]) for row in cells)) for column in range(len(cells[0]))]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in cells]
    return "\n".join([lines[0], f"|{'|'.join('-' * (width + 2) for width in widths)}|", *lines[1:]])


def _shown(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(settings: Any, path: str = "") -> dict[str, Any]:
    """Flatten nested settings to a mapping by dotted names."""
    if not isinstance(settings, dict) or not settings:
        return {path: settings}
    found: dict[str, Any] = {}
    for key, value in settings.items():
        found |= _flat(value, f"{path}.{key}" if path else key)
    return found
