"""Reads rows of CSV files; errors give the line number."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from edge.errors import EmotionEdgeError


def is_csv(path: Path) -> bool:
    """True if the file name ends in .csv, in lower or upper case."""
    return path.suffix.lower() == ".csv" and path.is_file()


def header_of(path: Path) -> tuple[str, ...]:
    """Column names in the first line; empty for an empty file. Raises EmotionEdgeError if the file is not text."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return tuple(name.strip() for name in next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmotionEdgeError(f"{path}: cannot be read as CSV ({error})") from None


def tables_in(folder: Path, fits: Callable[[Path], bool]) -> list[Path]:
    """The readable, non-hidden CSV files directly in a folder for which `fits` is true, sorted."""

    def is_one(file: Path) -> bool:
        try:
            return is_csv(file) and not file.name.startswith(".") and fits(file)
        except EmotionEdgeError:
            return False

    return [file for file in sorted(folder.glob("*")) if is_one(file)]


def rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
    """Iterate over line number (the header is line 1) and stripped fields of each row.

    Column names are case-insensitive; blank lines are skipped.

    Args:
        path: The CSV file.
        columns: Required columns, yielded first.
        optional: Optional columns, yielded next; "" if the file lacks one.

    Raises:
        EmotionEdgeError: A required column is missing, a row is short, or the file is not CSV.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from rows_of(file, str(path), columns, optional)


def rows_of(
    lines: Iterable[str], where: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Like `rows`, from the lines of a CSV file. where: name of the file, for errors."""
    reader = csv.reader(lines)
    try:
        header = [name.strip() for name in next(reader, [])]
        names = [name.casefold() for name in header]
        if missing := [name for name in columns if name.casefold() not in names]:
            found = ", ".join(header) or "an empty file"
            raise EmotionEdgeError(f"{where}: no column {', '.join(missing)} (found: {found})")
        wanted = [names.index(name.casefold()) if name.casefold() in names else -1 for name in (*columns, *optional)]
        for row in reader:
            if not any(field.strip() for field in row) and len(row) <= 1:  # a blank line, as editors leave at the end
                continue
            if len(row) < len(header):
                raise EmotionEdgeError(f"{where}, line {reader.line_num}: {len(row)} columns instead of {len(header)}")
            yield reader.line_num, [row[column].strip() if column >= 0 else "" for column in wanted]
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmotionEdgeError(f"{where}, after line {reader.line_num}: cannot be read as CSV ({error})") from None
