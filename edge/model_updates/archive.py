"""Copies the files of a model out of a folder or an archive, within limits on their size and number.

Only regular files with the names of a model's files are copied. Everything is written to disk as it is read, so that an
archive that unpacks to gigabytes fills neither memory nor disk.
"""

import bz2
import gzip
import lzma
import os
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol, cast

from edge.errors import EmotionEdgeError, printable
from edge.models.card import CARD_FILE, MODEL_FILE
from edge.models.edge_tpu import EDGE_TPU_FILE

MAX_FILE_BYTES: Final = 64_000_000
"""Largest size of one model file: no model for a board is larger."""

MAX_TOTAL_BYTES: Final = 200_000_000
"""Largest size of all that an archive unpacks to, including files that are not copied."""

MAX_MEMBERS: Final = 10_000
_MAX_TAR_HEADER: Final = 100_000
_TAR_EXTENSIONS: Final = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_MAX_ZIP_DIRECTORY: Final = 1_000_000
_XZ_MEMORY: Final = 100_000_000
"""Memory for unpacking .xz: `xz -9` makes archives that need 65 MB."""

_CHUNK: Final = 65_536
_MODEL_FILES: Final = re.compile(
    "|".join(map(re.escape, (CARD_FILE, MODEL_FILE, EDGE_TPU_FILE)))
    + r"|[A-Z][\w-]{0,60}\.md|(LICENSE|NOTICE)[\w.-]{0,60}",
    re.ASCII,
)
_ERRORS: Final = (
    *(OSError, EOFError, RuntimeError, ValueError, NotImplementedError, MemoryError, RecursionError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""Exceptions that Python's archive readers raise for damaged archives."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def unpack_model(source: Path, into: Path) -> None:
    """Copy a model's files into an empty folder.

    Args:
        source: a model's folder, or a .zip or .tar (.tar.gz, .tar.bz2, .tar.xz) with the model at its top or in a
            folder.
        into: an empty folder.

    Raises:
        EmotionEdgeError: the source is neither, cannot be read, passes a limit, or holds no card or several.
        OSError: the folder cannot be written.
    """
    copies = _Copies(into)
    try:
        if source.is_dir():
            _copy_folder(source, copies)
        elif _starts_with(source, b"PK"):
            _copy_zip(source, copies)
        else:
            _copy_tar(source, copies)
    except _ERRORS as error:
        text = printable(str(error).partition(":\n")[0]) or type(error).__name__
        raise EmotionEdgeError(
            f"model {source}: cannot be read as a model's folder or as a .zip or .tar of one: {text[:300]}"
        ) from error
    except _WriteError as error:
        raise error.args[0] from None
    except _PassesLimitError as error:
        raise EmotionEdgeError(f"model {source}: is no model for a board: {error}") from error
    folders = copies.with_card()
    if len(folders) != 1:
        raise EmotionEdgeError(f"model {source}: holds {len(folders) or 'no'} {CARD_FILE}, expected one")
    copies.keep(folders[0])


def _starts_with(source: Path, magic: bytes) -> bool:
    """Whether the file begins with these bytes.

    `zipfile.is_zipfile` looks at the end of the file, where a .tar may hold a model that contains a .zip of metadata.
    """
    with source.open("rb") as file:
        return file.read(len(magic)) == magic


class _PassesLimitError(Exception):
    """Unpacking would exceed a limit; the message says which."""


class _WriteError(Exception):
    """A copy cannot be written; the argument is the OSError."""


@contextmanager
def _written() -> Iterator[None]:
    """Turn an OSError of writing into _WriteError, to tell it from an error of reading."""
    try:
        yield
    except OSError as error:
        raise _WriteError(error) from error


class _Copies:
    """The files copied so far; those of each folder of the source are in a folder of their own."""

    def __init__(self, into: Path) -> None:
        self._into = into
        self._folders: dict[PurePosixPath, Path] = {}
        self._left = MAX_TOTAL_BYTES

    def add(self, path: PurePosixPath, stream: _Readable) -> None:
        """Copy a file. path: its place below the source."""
        folder = self._folders.setdefault(path.parent, self._into / f"{len(self._folders)}")
        with _written():
            folder.mkdir(exist_ok=True)
            (folder / path.name).unlink(missing_ok=True)
        size = 0
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            self._left -= len(chunk)
            if size > MAX_FILE_BYTES:
                raise _PassesLimitError(f"{path.name} is larger than {MAX_FILE_BYTES // 1_000_000} MB")
            if self._left < 0:
                raise _PassesLimitError(_TOO_MUCH)
            with _written(), (folder / path.name).open("ab") as file:
                file.write(chunk)

    def with_card(self) -> list[Path]:
        """List the folders of copies that contain a model card (`card.json`)."""
        return [folder for folder in self._folders.values() if (folder / CARD_FILE).is_file()]

    def keep(self, folder: Path) -> None:
        """Move the files of one folder of copies up to the target folder, and delete all other copies."""
        for file in folder.iterdir():
            file.rename(self._into / file.name)
        for copied in self._folders.values():
            shutil.rmtree(copied)


_TOO_MUCH: Final = f"it unpacks to more than {MAX_TOTAL_BYTES // 1_000_000} MB"


def _copy_folder(source: Path, copies: _Copies) -> None:
    for path in source.iterdir():
        if not _MODEL_FILES.fullmatch(path.name) or not stat.S_ISREG(path.lstat().st_mode):
            continue
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)) as file:
            copies.add(PurePosixPath(path.name), file)


def _copy_zip(source: Path, copies: _Copies) -> None:
    _check_zip_directory(source)
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if member.is_dir() or not _MODEL_FILES.fullmatch(path.name) or kind not in (0, stat.S_IFREG):
                continue
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile(f"{path.name} is compressed in a way that is not supported")
            with archive.open(member) as stream:
                copies.add(path, stream)


def _check_zip_directory(source: Path) -> None:
    """Limit the size of a .zip's directory, which Python reads into memory as a whole (APPNOTE.TXT, 4.3.16)."""
    with source.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 65_557))
        tail = file.read()
    end = tail.rfind(b"PK\x05\x06")
    (directory,) = struct.unpack_from("<I", tail, end + 12)
    if directory > _MAX_ZIP_DIRECTORY or tail.rfind(b"PK\x06\x07") >= 0:
        raise _PassesLimitError("it has too many files")


def _copy_tar(source: Path, copies: _Copies) -> None:
    with source.open("rb") as file, _open_tar(file) as tar:
        for number, member in enumerate(tar):
            tar.members = []  # type: ignore[attr-defined]  # else Python keeps every one
            if number >= MAX_MEMBERS:
                raise _PassesLimitError("it has too many files")
            path = PurePosixPath(member.name)
            regular = member.isreg() and not member.issparse()
            if regular and _MODEL_FILES.fullmatch(path.name) and (stream := tar.extractfile(member)):
                copies.add(path, stream)


def _open_tar(file: IO[bytes]) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast(IO[bytes], _Bounded(file)), mode="r|", tarinfo=_Member)


class _Member(tarfile.TarInfo):
    """A tar header that limits its extensions (long names, pax), which Python reads into memory as a whole."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo | None:
        # A private method of TarInfo: Python 3.13 no longer calls the public `frombuf` for each header.
        if self.size > _MAX_TAR_HEADER and self.type in _TAR_EXTENSIONS:
            raise tarfile.ReadError("a header is too large")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


class _Bounded:
    """A reader of decompressed content that stops at MAX_TOTAL_BYTES."""

    def __init__(self, file: IO[bytes]) -> None:
        magic = file.read(6)
        file.seek(0)
        self._stream: _Readable = file
        if magic.startswith(b"\x1f\x8b"):
            self._stream = gzip.GzipFile(fileobj=file)
        elif magic.startswith(b"BZh"):
            self._stream = bz2.BZ2File(file)
        elif magic == b"\xfd7zXZ\x00":
            self._stream = _Xz(file)
        self._left = MAX_TOTAL_BYTES

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(min(size, _CHUNK))
        self._left -= len(content)
        if self._left < 0:
            raise _PassesLimitError(_TOO_MUCH)
        return content


class _Xz:
    """A reader of a .xz file's content, with a limit on the memory of its dictionary."""

    def __init__(self, file: IO[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(lambda: file.read(_CHUNK), b"")
        self._decompressor = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while not self._decompressor.eof:
            compressed = next(self._chunks, None) if self._decompressor.needs_input else b""
            if compressed is None:
                raise EOFError("the archive ends too early")
            if content := self._decompressor.decompress(compressed, size):
                return content
        return b""
