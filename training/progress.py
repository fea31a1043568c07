"""Progress bars of a training run: a live bar in a terminal, one line an epoch in a log file."""

from collections.abc import Mapping
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


def progress_bar(console: Console) -> Progress:
    """A bar with its count, the time it took and the time it will take."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True)


class ProgressBar(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar over the batches of each epoch, then the epoch's figures on a line of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console()
        self.bar: Progress | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        self.bar = progress_bar(self.console)
        self.task = self.bar.add_task(f"epoch {epoch + 1}/{self.params['epochs']}", total=self.params["steps"])
        self.bar.start()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        if self.bar:
            self.bar.update(self.task, completed=batch + 1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self.close()
        figures = "  ".join(f"{name} {value:.4f}" for name, value in (logs or {}).items())
        self.console.print(f"epoch {epoch + 1}/{self.params['epochs']}  {figures}", highlight=False, soft_wrap=True)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:  # noqa: ARG002
        self.close()

    def close(self) -> None:
        """Take the bar off the terminal."""
        if self.bar:
            self.bar.stop()
            self.bar = None
