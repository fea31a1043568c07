"""Writes the files of a model's folder atomically: all or none."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge.errors import EmotionEdgeError


@contextmanager
def arriving(folder: Path) -> Iterator[Path]:
    """Context manager: yields an empty folder whose files are moved into `folder` at the end, or discarded on an error.

    The empty folder is hidden beside `folder` and has the same name. Other files in `folder` stay.

    Raises EmotionEdgeError if `folder` is a file, or the place cannot be written.
    """
    folder = folder.resolve()
    hidden = folder.with_name(f".coming-{folder.name}")
    coming = hidden / folder.name
    try:
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(f"{folder} is a file; a model is a folder")
        shutil.rmtree(hidden, ignore_errors=True)
        coming.mkdir(parents=True)
    except OSError as error:
        raise EmotionEdgeError(f"model {folder.name}: {error}") from error
    try:
        yield coming
        folder.mkdir(exist_ok=True)
        for file in coming.iterdir():
            file.replace(folder / file.name)
    finally:
        shutil.rmtree(hidden)
