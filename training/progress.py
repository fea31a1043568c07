"""Progress of a training run: a live bar in a terminal, one line an epoch in a log file."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from edge.system.program import unescaped

T = TypeVar("T")


def terminal_console(stderr: bool = False, quiet: bool = False) -> Console:
    """A console for progress bars: their control characters reach the terminal.

    Args:
        stderr: whether to write to standard error instead of standard output.
        quiet: whether to write nothing.
    """
    return Console(file=unescaped(sys.stderr if stderr else sys.stdout), quiet=quiet)


def progress_bar(console: Console) -> Progress:
    """A progress bar with count, elapsed and remaining time."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


def counted(items: Iterable[T], total: int, title: str, console: Console) -> Iterator[T]:
    """Iterate over items with a progress bar."""
    with progress_bar(console) as bar:
        task = bar.add_task(title, total=total)
        for item in items:
            yield item
            bar.advance(task)


def say_epoch(console: Console, epoch: int, epochs: int, figures: Mapping[str, float]) -> None:
    """Print the figures of an epoch on one line. epoch: number from 1."""
    text = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
    console.print(f"epoch {epoch}/{epochs}  {text}", highlight=False, soft_wrap=True)
