"""Reads rows of CSV files; errors give the line number."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from edge.errors import EmotionEdgeError, shortened
from training.datasets.assemble import SUFFIXES

WANTED: Final = (
    "`path,label` or `image_path,emotion` (also `valence,arousal`, `split`, `person`), `emotion,pixels,Usage` of "
    "FER-2013, or AffectNet's columns"
)
"""Description of the CSV headers that can be read, for messages."""
_SHOWN: Final = 57
"""Maximum characters of a first line in messages: without a header it may hold a whole image."""
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_BEGINNINGS: Final = {
    b"\xff\xfe": "is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    b"\xfe\xff": "is UTF-16; save it as UTF-8 (in Excel: CSV UTF-8)",
    b"PK\x03\x04": "is a workbook or an archive, whatever its name; save it as CSV",
}


def is_csv(path: Path) -> bool:
    """True if the file name ends in .csv, in lower or upper case."""
    return path.suffix.lower() == ".csv" and path.is_file()


def header_of(path: Path) -> tuple[str, ...]:
    """Column names in the first line; empty for an empty file. Raises EmotionEdgeError if the file is not text."""
    _check_text(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return tuple(name.strip() for name in next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmotionEdgeError(f"{path}: cannot be read as CSV ({error})") from None


def header_problem(path: Path) -> str:
    """Describe why a CSV file has no known layout: the header found and those that can be read."""
    header = header_of(path)
    line = shortened(",".join(header), _SHOWN)
    if not any(header):
        found = "is empty"
    elif len(header) == 1 and (name := next((it for sign, it in _SEPARATORS.items() if sign in line), None)):
        found = f"its columns are separated by {name}; save it with commas (header: {line!r})"
    elif any(Path(field).suffix.lower() in SUFFIXES or field.lstrip("-").isdecimal() for field in header):
        found = f"has no header: its first line is {line!r}"
    else:
        found = f"no columns that are known (header: {line!r})"
    return f"{path}: {found}; wanted as the first line: {WANTED}"


def _check_text(path: Path) -> None:
    """Raise EmotionEdgeError if the beginning of a file is not UTF-8 text."""
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
    except OSError as error:
        raise EmotionEdgeError(f"{path}: cannot be read ({error.strerror})") from None
    for mark, problem in _BEGINNINGS.items():
        if beginning.startswith(mark):
            raise EmotionEdgeError(f"{path}: {problem}")


def tables_in(folder: Path, fits: Callable[[Path], bool]) -> list[Path]:
    """List the readable, non-hidden CSV files directly in a folder for which `fits` returns True, sorted."""

    def is_one(file: Path) -> bool:
        try:
            return is_csv(file) and not file.name.startswith(".") and fits(file)
        except EmotionEdgeError:
            return False

    return [file for file in sorted(folder.glob("*")) if is_one(file)]


def rows(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> Iterator[tuple[int, list[str]]]:
    """Yield the line number (the header is line 1) and the stripped fields of each row.

    Column names are case-insensitive; blank lines are skipped.

    Args:
        path: The CSV file.
        columns: Required columns, yielded first.
        optional: Optional columns, yielded next; "" if the file lacks one.

    Raises:
        EmotionEdgeError: A required column is missing, a row is short, or the file is not CSV.
    """
    _check_text(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from rows_of(file, str(path), columns, optional)


def rows_of(
    lines: Iterable[str], where: str, columns: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped fields of each row of CSV text, like `rows`. where: file name for errors."""
    reader = csv.reader(lines)
    try:
        header = [name.strip() for name in next(reader, [])]
        names = [name.casefold() for name in header]
        if missing := [name for name in columns if name.casefold() not in names]:
            found = shortened(", ".join(header), _SHOWN) or "an empty file"
            raise EmotionEdgeError(
                f"{where}: no column {', '.join(missing)} (header found: {found}; wanted: {', '.join(columns)})"
            )
        wanted = [names.index(name.casefold()) if name.casefold() in names else -1 for name in (*columns, *optional)]
        for row in reader:
            if not any(field.strip() for field in row) and len(row) <= 1:  # a blank line, as editors leave at the end
                continue
            if len(row) < len(header):
                raise EmotionEdgeError(
                    f"{where}, line {reader.line_num}: {len(row)} of {len(header)} columns ({', '.join(header)}); is a "
                    "comma missing, or a quotation mark never closed?"
                )
            yield reader.line_num, [row[column].strip() if column >= 0 else "" for column in wanted]
    except (UnicodeDecodeError, csv.Error) as error:
        raise EmotionEdgeError(f"{where}, after line {reader.line_num}: cannot be read as CSV ({error})") from None
