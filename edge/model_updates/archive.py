"""Copies the files of a model out of a folder or an archive, and no other files that are in there."""

import re
import tarfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Final

from edge.errors import EmotionEdgeError
from edge.models.card import CARD_FILE, MODEL_FILE
from edge.models.edge_tpu import EDGE_TPU_FILE

MAX_FILE_BYTES: Final = 64_000_000
"""No model file for a board is larger."""

_MODEL_FILES: Final = re.compile(
    "|".join(map(re.escape, (CARD_FILE, MODEL_FILE, EDGE_TPU_FILE))) + r"|[A-Z][\w-]*\.md|(LICENSE|NOTICE)[\w.-]*"
)


def unpack_model(source: Path, into: Path) -> None:
    """Copy a model's files into an empty folder.

    Args:
        source: a model's folder, or a .zip or .tar (.tar.gz, .tar.xz) with the model at its top or in a folder.
        into: an empty folder.

    Raises:
        EmotionEdgeError: the source is neither, cannot be read, or holds no card or several.
        OSError: `into` cannot be written.
    """
    try:
        found = _read(source)
    except (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise EmotionEdgeError(
            f"model {source}: cannot be read as a model's folder or as a .zip or .tar of one: "
            + str(error).partition(":\n")[0]
        ) from error
    folders = [path.parent for path in found if path.name == CARD_FILE]
    if len(folders) != 1:
        raise EmotionEdgeError(f"model {source}: holds {len(folders) or 'no'} {CARD_FILE}, expected one")
    for path, content in found.items():
        if path.parent == folders[0]:
            (into / path.name).write_bytes(content)


def _read(source: Path) -> dict[PurePosixPath, bytes]:
    """The content of files with a model's names, by path below the source, without symbolic links."""
    if source.is_dir():
        files = [path for path in source.iterdir() if path.is_file() and _is_model_file(path.name, path.stat().st_size)]
        return {PurePosixPath(path.name): path.read_bytes() for path in files}
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            return {
                PurePosixPath(member.filename): archive.read(member)
                for member in archive.infolist()
                if _is_model_file(member.filename, member.file_size)
            }
    found = {}
    with tarfile.open(source) as tar:
        for entry in tar:
            if _is_model_file(entry.name, entry.size) and entry.isreg() and (content := tar.extractfile(entry)):
                found[PurePosixPath(entry.name)] = content.read()
    return found


def _is_model_file(name: str, size: int) -> bool:
    return size <= MAX_FILE_BYTES and _MODEL_FILES.fullmatch(PurePosixPath(name).name) is not None
