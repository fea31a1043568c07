"""The record's SQLite file: intact after a power cut, and limited in size and age.

Times are milliseconds since the epoch, UTC. docs/record.md describes the tables for those who read them.
"""

import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from edge.config import RecordSettings
from edge.errors import EmotionEdgeError
from edge.record.rows import Row, Seen, Watched
from edge.system.state_folder import SERVICE_STATE, state_folder

NAME: Final = "record.sqlite3"
_SUFFIXES: Final = (".sqlite3", ".db")
APPLICATION_ID: Final = 0x454D4F45
"""`EMOE` in the file's header, which marks the file as a record of this program (SQLite, "Application ID")."""

MIGRATIONS: Final = (
    """
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY, began INTEGER NOT NULL, version TEXT NOT NULL, model TEXT NOT NULL,
        model_sha256 TEXT NOT NULL
    ) STRICT;
    CREATE TABLE seen (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, track INTEGER NOT NULL, start TEXT NOT NULL,
        began INTEGER NOT NULL, duration INTEGER NOT NULL, emotion TEXT NOT NULL, confidence REAL NOT NULL,
        valence REAL NOT NULL, arousal REAL NOT NULL, frames INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX seen_began ON seen (began);
    CREATE TABLE watched (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, began INTEGER NOT NULL, duration INTEGER NOT NULL,
        frames INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX watched_began ON watched (began);
    """,
)
"""SQL scripts, of which number n brings a file to version n + 1. A released one is never changed; add new ones."""

_TABLES: Final = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('runs', 'seen', 'watched')"
"""Number of the record's tables; a view of the same name, which may have rows without end, does not count."""

_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PAGE_LIMIT: Final = 0.9
"""Share of the allowed size to which a file that is too large is reduced, so that not every batch must delete rows."""
_LOG_BYTES: Final = 1 << 22
_BUSY_S: Final = 5.0


class Database:
    """The record's file, open for writing. Not thread-safe.

    rows: number of rows in `seen` and `watched`.
    """

    def __init__(self, path: Path, version: str, model: str, model_sha256: str, check: bool = True) -> None:
        """Open or create the file; migrate an older one to the newest version.

        Args:
            path: the file.
            version: of the daemon; stored with the first rows.
            model: name of the emotion model; stored with the first rows.
            model_sha256: hash of the emotion model.
            check: check the whole file for damage.

        Raises:
            sqlite3.Error: the file cannot be opened.
            OSError: its folder cannot be made.
            EmotionEdgeError: the file is another program's, or of a newer version.
        """
        self.path = path
        self._about = (version, model, model_sha256)
        self._run: int | None = None
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(check)
            self.rows = sum(self._number(f"SELECT count(*) FROM {table}") for table in ("seen", "watched"))
        except BaseException:
            self._connection.close()
            raise
        self._opened = self._identities()

    @property
    def bytes(self) -> int:
        """Bytes that the file and its write-ahead log take on the disk."""
        return sum(file.stat().st_size for file in self._files() if file.exists())

    @property
    def oldest(self) -> float | None:
        """Time at which the oldest row began, in seconds since the epoch; None without rows."""
        query = "SELECT min(began) FROM (SELECT min(began) AS began FROM seen UNION ALL SELECT min(began) FROM watched)"
        (began,) = self._connection.execute(query).fetchone()
        return None if began is None else began / 1000

    @property
    def in_place(self) -> bool:
        """Whether the opened file and log are still at their paths; rows written to deleted files would be lost."""
        return self._identities() == self._opened

    def note(self, version: str, model: str, model_sha256: str) -> None:
        """Set program version and model of the rows written next; if these differ from before, another run begins."""
        if (version, model, model_sha256) != self._about:
            self._about = (version, model, model_sha256)
            self._run = None

    def write(self, rows: Sequence[Row]) -> None:
        """Add the rows: all of them, or none if this raises sqlite3.Error."""
        with self._transaction():
            run = self._run or self._begin_run()
            for row in rows:
                match row:
                    case Seen():
                        self._connection.execute(
                            "INSERT INTO seen (run, track, start, began, duration, emotion, confidence, valence, "
                            "arousal, frames) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            (
                                run,
                                row.track,
                                row.start,
                                row.began,
                                row.duration,
                                row.emotion,
                                row.confidence,
                                row.valence,
                                row.arousal,
                                row.frames,
                            ),
                        )
                    case Watched():
                        self._connection.execute(
                            "INSERT INTO watched (run, began, duration, frames) VALUES (?, ?, ?, ?)",
                            (run, row.began, row.duration, row.frames),
                        )
        self._run = run
        self.rows += len(rows)

    def delete_before(self, before: float) -> int:
        """Delete rows that began before a time, in seconds since the epoch; return their number."""
        limit = (round(before * 1000),)
        with self._transaction():
            deleted = sum(
                self._connection.execute(f"DELETE FROM {table} WHERE began < ?", limit).rowcount
                for table in ("seen", "watched")
            )
            # All rows of a run are older than those of the next run.
            self._connection.execute("DELETE FROM runs WHERE id < (SELECT max(id) FROM runs WHERE began < ?)", limit)
        self.rows -= deleted
        if deleted:
            self._shrink()
        return deleted

    def shrink_to(self, limit: int) -> int:
        """If the file has more than `limit` bytes, delete its oldest rows; return their number."""
        used = self._used()
        if used <= limit:
            return 0
        surplus = round(self.rows * (1 - _PAGE_LIMIT * limit / used))
        oldest = "SELECT began FROM seen UNION ALL SELECT began FROM watched ORDER BY began LIMIT 1 OFFSET ?"
        found = self._connection.execute(oldest, (surplus,)).fetchone()
        return self.delete_before(found[0] / 1000) if found else 0

    def close(self) -> None:
        """Merge the write-ahead log into the file, and close it."""
        self._connection.close()

    def _prepare(self, check: bool) -> None:
        run = self._connection.execute
        version, ours = self._number("PRAGMA user_version"), self._number("PRAGMA application_id") == APPLICATION_ID
        if not ours and self._number("SELECT count(*) FROM sqlite_schema"):
            raise EmotionEdgeError(f"record.file {self.path}: is another program's database (name a file of its own)")
        if version > len(MIGRATIONS):
            raise EmotionEdgeError(
                f"record.file {self.path}: was written by a newer Emotion Edge (its version is {version}, this one "
                f"knows {len(MIGRATIONS)}): update, or name another file"
            )
        if check and (found := run("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise _damaged(str(found))
        if not ours:
            # This setting must precede the first table.
            run("PRAGMA auto_vacuum = INCREMENTAL")
            run(f"PRAGMA application_id = {APPLICATION_ID}")
        run("PRAGMA journal_mode = WAL")
        # FULL syncs the write-ahead log at each commit; with NORMAL a power cut can lose all since the last checkpoint.
        run("PRAGMA synchronous = FULL")
        run(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        # Deleted rows are overwritten, because they are personal data.
        run("PRAGMA secure_delete = ON")
        migrate(self._connection, MIGRATIONS)

    def _files(self) -> tuple[Path, Path]:
        return self.path, self.path.with_name(self.path.name + "-wal")

    def _identities(self) -> list[tuple[int, int] | None]:
        """Return device and inode of the file and its log; while a file is open, no other file can have its inode."""
        found = [file.stat() if file.exists() else None for file in self._files()]
        return [status and (status.st_dev, status.st_ino) for status in found]

    def _begin_run(self) -> int:
        inserted = self._connection.execute(
            "INSERT INTO runs (began, version, model, model_sha256) VALUES (?, ?, ?, ?)",
            (round(time.time() * 1000), *self._about),
        )
        assert inserted.lastrowid is not None
        return inserted.lastrowid

    def _shrink(self) -> None:
        # `executescript` runs the statement to its end; each step of it frees only one page.
        self._connection.executescript("PRAGMA incremental_vacuum")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _used(self) -> int:
        return self._number("PRAGMA page_count") * self._number("PRAGMA page_size")

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                # SQLite ends the transaction by itself when the disk is full.
                self._connection.execute("ROLLBACK")
            raise


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Migrate the file to the newest schema version; each migration is one transaction."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    for number, script in enumerate(migrations[version:], start=version + 1):
        try:
            connection.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {number}; COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def is_damaged(error: Exception) -> bool:
    """Whether the error means a damaged file, which retrying cannot fix."""
    return isinstance(error, sqlite3.DatabaseError) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGED


def set_aside(path: Path) -> Path:
    """Rename a damaged file and its log to `...-damaged-<time>...`; return the new name."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    aside = path.with_name(f"{path.stem}-damaged-{stamp}{path.suffix}")
    for end in ("-wal", "-shm", ""):
        file = path.with_name(path.name + end)
        if file.exists():
            file.rename(aside.with_name(aside.name + end))
    return aside


def delete_set_aside(path: Path, before: float) -> None:
    """Delete the damaged files of this record that were last written before a time, in seconds since the epoch."""
    for file in path.parent.glob(f"{path.stem}-damaged-*{path.suffix}*"):
        if file.stat().st_mtime < before:
            file.unlink()


def path_to_write(settings: RecordSettings) -> Path:
    """Return the path of the daemon's record: from the setting, else in the service's or the user's folder (XDG state).

    Raises EmotionEdgeError for a name that is no database's: a damaged file is renamed, which must not hit others.
    """
    if settings.file:
        if settings.file.suffix not in _SUFFIXES:
            raise EmotionEdgeError(f"record.file {settings.file}: its name must end in {' or '.join(_SUFFIXES)}")
        return settings.file
    return state_folder() / NAME


def path_to_read(settings: RecordSettings) -> Path:
    """Return the path of the existing record: from the setting, else the service's, else the user's.

    Raises EmotionEdgeError if there is none.
    """
    paths = [settings.file] if settings.file else [SERVICE_STATE / NAME, path_to_write(settings)]
    for path in paths:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise EmotionEdgeError(f"record {path}: is not a regular file")
            return path
        except PermissionError as error:
            raise EmotionEdgeError(f"record {path}: may not be read by this user (try sudo)") from error
        except OSError:
            continue
    where = " nor ".join(map(str, paths))
    raise EmotionEdgeError(f"record: none at {where} (is record.enabled on? another file: --record.file)")


@contextmanager
def reading_from(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only connection, while the daemon may write. Raises EmotionEdgeError if the file cannot be read."""
    try:
        with closing(_open_to_read(path)) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            ours = int(connection.execute("PRAGMA application_id").fetchone()[0]) == APPLICATION_ID
            if not ours:
                raise EmotionEdgeError(f"record {path}: is no record of Emotion Edge")
            if version != len(MIGRATIONS):
                age = "a newer" if version > len(MIGRATIONS) else "an older"
                raise EmotionEdgeError(f"record {path}: was written by {age} Emotion Edge: run its daemon or update")
            if int(connection.execute(_TABLES).fetchone()[0]) != 3:
                raise EmotionEdgeError(f"record {path}: is no record of Emotion Edge: a table is missing")
            yield connection
    except sqlite3.Error as error:
        raise EmotionEdgeError(f"record {path}: cannot be read: {error}") from error
    except (ValueError, OverflowError) as error:
        raise EmotionEdgeError(f"record {path}: holds a value that cannot be right: {error}") from error


def _open_to_read(path: Path) -> sqlite3.Connection:
    address = path.absolute().as_uri()
    connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=_BUSY_S)
    try:
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        # There is no write-ahead log, so the file is complete; this user may not create the index that readers share.
        return sqlite3.connect(f"{address}?immutable=1", uri=True)
    return connection


def _damaged(what: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(what)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
