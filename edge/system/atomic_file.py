"""Writes small files that survive a power cut, a kill and a full disk with either the old or the new content."""

import errno
import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace or create a file; its content is on the disk when this returns.

    Args:
        path: the file; its folder must exist.
        content: the whole content.
        mode: its permissions, whatever the umask.

    Raises:
        OSError: it could not be written; the old file is unchanged.
    """
    fresh = path.with_name(f".{path.name}.new")
    try:
        with open(fresh, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    sync(path.parent)


def overwrite(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Overwrite a small file in place, which needs no free disk space, or create it; wait until it is on the disk.

    After a power cut each sector of the file is the old one or the new one.

    Args:
        path: the file; its folder must exist.
        content: the whole content.
        mode: permissions of a new file.

    Raises:
        OSError: it could not be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY)
    except FileNotFoundError:
        write_atomically(path, content, mode)
        return
    try:
        if os.pwrite(handle, content, 0) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.ftruncate(handle, len(content))
        os.fsync(handle)
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, are on the disk. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
