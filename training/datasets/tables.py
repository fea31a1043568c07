"""Rows of CSV files, with the line where something is wrong."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from edge.errors import EmotionEdgeError


def is_csv(path: Path) -> bool:
    """True for a file whose name ends in .csv, in small letters or capitals."""
    return path.suffix.lower() == ".csv" and path.is_file()


def header_of(path: Path) -> tuple[str, ...]:
    """The column names in the first line; none for an empty file. Raises EmotionEdgeError for no text file."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return tuple(name.strip() for name in next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmotionEdgeError(f"{path}: cannot be read as CSV ({error})") from None


def tables_in(folder: Path, fits: Callable[[Path], bool]) -> list[Path]:
    """The CSV files right in a folder that fit, in order: hidden ones and those that cannot be read do not."""

    def is_one(file: Path) -> bool:
        try:
            return is_csv(file) and not file.name.startswith(".") and fits(file)
        except EmotionEdgeError:
            return False

    return [file for file in sorted(folder.glob("*")) if is_one(file)]


def rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
    """Line number (the header is 1) and the fields of each row, without spaces round them: those of `columns`, then
    those of `optional`, "" where the file has no such column. Case does not count in column names; blank lines are
    passed over.

    Raises EmotionEdgeError for a column of `columns` that is missing, a short row, and what is no CSV.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from rows_of(file, str(path), columns, optional)


def rows_of(
    lines: Iterable[str], where: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """As `rows`, of the lines of a CSV file. where: the file's name, for errors."""
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
