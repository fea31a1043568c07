"""The record: what is written, how long it is kept, and what happens with a damaged file."""

import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from edge.config import RecordSettings
from edge.errors import EmotionEdgeError
from edge.record import database as store
from edge.record.database import MIGRATIONS, Database, migrate, path_to_read, path_to_write, reading_from
from edge.record.output import RecordOutput
from edge.record.rows import Seen, Watched
from edge.system.clock import TrustedClock
from tests.conftest import ROOT
from tests.edge.test_record_rows import at, through
from tests.support.daemon import free_port, running, wait_until
from tests.support.live import PATIENCE
from tests.support.samples import face, frame, stats

MINUTE = 1_795_000_020.0
"""A full minute, in seconds since the epoch."""

FRAME = frame()


def kept(path: Path, query: str = "SELECT count(*) FROM seen") -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute(query)]


Begin = Callable[..., RecordOutput]
UNKNOWN: Final = TrustedClock(lambda: False)
"""A clock that is not trusted, so that old rows are not deleted."""


@pytest.fixture
def record(tmp_path: Path) -> Iterator[Callable[..., RecordOutput]]:
    """Function that opens a record in tmp_path/record.sqlite3."""
    begun: list[RecordOutput] = []

    def begin(**settings: Any) -> RecordOutput:
        chosen = RecordSettings(file=tmp_path / "record.sqlite3", **settings)
        begun.append(RecordOutput(chosen, "emotion-small", "0" * 64, every=0.02, retry=0.02, clock=UNKNOWN))
        return begun[-1]

    yield begin
    for history in begun:
        history.close()


def test_the_output_writes_batches_and_at_the_end_what_is_open(record: Begin) -> None:
    history = record()
    for one in through((30, 90, (face(1, "happy"),))):
        history.put(one)
    wait_until(lambda: history.rows == 2, "the full minute is written")
    assert history.bytes == history.path.stat().st_size + Path(f"{history.path}-wal").stat().st_size
    history.report(stats("camera 0: unplugged"))
    wait_until(lambda: history.rows == 4, "what the camera showed has ended")
    history.put(at(100, face(1, "sad")))
    history.put(at(101, face(1, "sad")))
    history.close()
    assert kept(history.path, "SELECT emotion FROM seen ORDER BY began") == ["happy", "happy", "sad"]
    assert kept(history.path, "SELECT duration FROM seen ORDER BY began") == [30_000, 29_900, 1000]
    assert kept(history.path, "SELECT model FROM runs") == ["emotion-small"]


def test_another_model_begins_another_run(record: Begin) -> None:
    history = record()
    for one in through((1, 3, (face(1, "happy"),))):
        history.put(one)
    history.report(stats("camera 0: unplugged"))
    wait_until(lambda: history.rows == 2, "what the first model saw is written")
    history.report(replace(stats(), model="emotion-mine", model_sha256="1" * 64))
    for one in through((10, 12, (face(1, "sad"),))):
        history.put(one)
    history.close()
    query = "SELECT model, emotion FROM seen JOIN runs ON runs.id = seen.run ORDER BY seen.began"
    with reading_from(history.path) as connection:
        assert connection.execute(query).fetchall() == [("emotion-small", "happy"), ("emotion-mine", "sad")]


def test_tracks_of_two_runs_are_told_apart(record: Begin) -> None:
    for _ in range(2):
        history = record()
        for one in through((1, 3, (face(1),))):
            history.put(one)
        history.close()
    assert kept(history.path, "SELECT DISTINCT run FROM seen") == [1, 2]
    assert kept(history.path) == [2]


def test_a_record_that_somebody_deletes_is_begun_again(record: Begin) -> None:
    history = record()
    history.put(at(1, face(1)))
    history.put(at(2, face(1, "sad")))
    wait_until(lambda: history.rows == 1, "a row is written")
    # The record itself must be deleted last: after that, a new one with the same file names may be created.
    for file in sorted(history.path.parent.iterdir(), reverse=True):
        file.unlink()
    history.put(at(3, face(1, "happy")))
    wait_until(lambda: (history.path.exists(), began(history.path)) == (True, [MINUTE + 2]), "it is begun again")
    history.close()
    wait_until(lambda: began(history.path) == [MINUTE + 2, MINUTE + 3], "the rest is written")


def test_a_log_that_somebody_deletes_takes_nothing_along(record: Begin) -> None:
    history = record()
    history.put(at(1, face(1)))
    history.put(at(2, face(1, "sad")))
    wait_until(lambda: history.rows == 1, "a row is written")
    history.path.with_name(history.path.name + "-wal").unlink()
    wait_until(lambda: began(history.path) == [MINUTE + 1], "it is in the file")
    history.put(at(3, face(1, "happy")))
    wait_until(lambda: began(history.path) == [MINUTE + 1, MINUTE + 2], "and so is what came after")


def began(path: Path) -> list[float]:
    """Start times of the rows, read while the record is open; empty if there is no valid record."""
    try:
        with reading_from(path) as connection:
            return [row[0] for row in connection.execute("SELECT began / 1000.0 FROM seen ORDER BY began")]
    except EmotionEdgeError:
        return []


def seen_at(began: float) -> Seen:
    return Seen(1, "changed", round(began * 1000), 500, "happy", 0.9, 0.5, 0.5, 12)


def test_what_is_older_than_it_may_be_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    first = Database(path, "1", "a-model-of-long-ago", "0" * 64)
    first.write([replace(seen_at(MINUTE + second), emotion="contempt") for second in range(3000)])
    first.close()
    second = Database(path, "2", "another-model", "0" * 64)
    second.write([seen_at(MINUTE + 3000 + second) for second in range(10)] + [Watched(1, 2, 3)])
    large = second.bytes
    assert second.delete_before(MINUTE + 3005) == 3006
    assert second.rows == 5
    assert second.bytes < large / 3
    second.close()
    assert kept(path, "SELECT min(began) / 1000.0 FROM seen") == [MINUTE + 3005]
    assert b"contempt" not in path.read_bytes()


def test_the_file_stays_below_its_limit_and_loses_the_oldest_first(record: Begin) -> None:
    history = record(max_mb=1)
    emotions = ("happy", "sad")
    for step in range(16_000):
        history.put(at(step / 10, face(1, emotions[step % 2])))
    newest = MINUTE + 1599.9
    wait_until(lambda: history.rows > 0 and history.bytes < 2_000_000, "rows are written")
    history.close()
    assert history.path.stat().st_size <= 1_000_000
    (oldest,) = kept(history.path, "SELECT min(began) / 1000.0 FROM seen")
    (count,) = kept(history.path)
    assert oldest > MINUTE + 60
    assert count > 4000
    # No row is missing between the oldest and the newest, at ten rows a second.
    assert count == pytest.approx((newest - oldest) * 10, rel=0.01)


def filled(path: Path, rows: int = 3000) -> None:
    whole = Database(path, "1", "model", "0" * 64)
    whole.write([seen_at(MINUTE + second) for second in range(rows)])
    whole.close()


def no_header(content: bytes) -> bytes:
    return bytes(100) + content[100:]


def no_middle(content: bytes) -> bytes:
    return content[:8192] + b"\xa5" * (len(content) - 16384) + content[-8192:]


def cut_off(content: bytes) -> bytes:
    return content[: len(content) // 2 // 4096 * 4096]


@pytest.mark.parametrize("damage", [no_header, no_middle, cut_off])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(
    record: Begin,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / "record.sqlite3"
    filled(path)
    broken = damage(path.read_bytes())
    path.write_bytes(broken)
    history = record()
    history.put(at(1, face(1)))
    history.put(at(2, face(1, "sad")))
    wait_until(lambda: history.rows == 1, "the new record has its first row")
    (aside,) = tmp_path.glob("record-damaged-*.sqlite3")
    assert aside.read_bytes() == broken
    (line,) = [entry for entry in caplog.messages if "damaged" in entry]
    assert aside.name in line
    assert not history.paused


def test_a_damaged_file_is_not_kept_for_longer_than_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    path.write_bytes(b"no database")
    aside = store.set_aside(path)
    store.delete_set_aside(path, time.time() - 60)
    assert aside.exists()
    os.utime(aside, (0, 0))
    store.delete_set_aside(path, time.time() - 60)
    assert not aside.exists()


def test_a_file_of_another_program_or_a_newer_version_is_left_alone(
    record: Begin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "record.sqlite3"
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE states (entity TEXT)")
    content = path.read_bytes()
    history = record()
    wait_until(lambda: bool(history.paused), "it is refused")
    history.put(at(1, face(1)))
    history.close()
    assert "another program's database" in caplog.text
    assert path.read_bytes() == content

    path.unlink()
    filled(path, 3)
    with closing(sqlite3.connect(path)) as later:
        later.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    history = record()
    wait_until(lambda: "newer Emotion Edge" in history.paused, "it is refused")
    history.close()
    assert kept(path) == [3]
    with pytest.raises(EmotionEdgeError, match="newer"), reading_from(path):
        pass


def test_a_file_whose_name_is_no_databases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EmotionEdgeError, match=r"must end in \.sqlite3 or \.db"):
        RecordOutput(RecordSettings(file=tmp_path / "config.yaml"), "", "")


def test_an_older_file_is_brought_up_to_date_and_keeps_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    filled(path, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        migrate(connection, (*MIGRATIONS, "ALTER TABLE seen ADD COLUMN mood REAL; UPDATE seen SET mood = valence / 2"))
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert connection.execute("SELECT count(*), min(mood) FROM seen").fetchone() == (5, 0.25)


def test_a_step_that_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "record.sqlite3"
    filled(path, 5)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            migrate(
                connection, (*MIGRATIONS, "DELETE FROM seen; CREATE TABLE half (x); INSERT INTO nowhere VALUES (1)")
            )
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert connection.execute("SELECT count(*) FROM seen").fetchone() == (5,)
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchone() == (0,)


def test_where_the_record_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    user = tmp_path / "state" / "emotion-edge" / "record.sqlite3"
    assert path_to_write(RecordSettings()) == user
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'service'}:/other")
    service = tmp_path / "service" / "record.sqlite3"
    assert path_to_write(RecordSettings()) == service
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setattr(store, "SERVICE_STATE", tmp_path / "service")
    with pytest.raises(EmotionEdgeError, match=r"none at .*record\.enabled"):
        path_to_read(RecordSettings())
    filled(user, 1)
    assert path_to_read(RecordSettings()) == user
    filled(service, 1)
    assert path_to_read(RecordSettings()) == service
    with pytest.raises(EmotionEdgeError, match=r"--record\.file"):
        path_to_read(RecordSettings(file=tmp_path / "nowhere.db"))


def test_a_user_who_may_only_read_gets_a_report() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "record.sqlite3"

        def as_nobody() -> str:
            words = [sys.executable, "-c", "import sys; from tests.edge.test_record import read; read(sys.argv[1])"]
            result = subprocess.run([*words, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stderr
            return result.stdout.strip()

        filled(path, 4)
        assert as_nobody() == "4"  # nobody writes: there is no log to share
        writing = Database(path, "1", "model", "0" * 64)
        writing.write([seen_at(MINUTE)])
        assert as_nobody() == "5"
        writing.close()


def read(path: str) -> None:
    """Print the number of rows that another user can read."""
    os.setuid(65534)
    with reading_from(Path(path)) as connection:
        print(connection.execute("SELECT count(*) FROM seen").fetchone()[0])


def test_today_is_what_was_seen_since_midnight(record: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.record.output._TODAY_S", 0.0)
    history = record()
    wait_until(lambda: history.today() != "null", "the file is there")
    assert json.loads(history.today())["seconds"] == {}
    now = time.time()
    for step in range(31):
        history.put(replace(at(step / 10, face(1, "happy")), wall_time=now - 86400 + step / 10))
    for step in range(31, 62):
        history.put(replace(at(step / 10, face(1, "sad")), wall_time=now + step / 10))
    history.report(stats("camera 0: unplugged"))
    wait_until(lambda: history.rows >= 4, "it is written")
    today = json.loads(history.today())
    assert today["first"] == today["last"] == datetime.now().astimezone().date().isoformat()
    assert today["seconds"] == {"sad": 3.0}
    assert today["appeared"] == 1


def figures(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def sees_a_face(port: int) -> bool:
    try:
        return '"emotion"' in figures(port, "/latest.json")
    except OSError:  # the page does not answer yet
        return False


def test_the_daemon_records_what_it_sees(tmp_path: Path) -> None:
    path, port = tmp_path / "kept" / "record.sqlite3", free_port()
    flags = {"camera.source": ROOT / "edge" / "media" / "clip.mp4", "web.port": port, "mqtt.host": ""}
    with running(tmp_path / "log", {**flags, "record.enabled": "true", "record.file": path}):
        wait_until(lambda: sees_a_face(port), "a face is seen", 60)
        wait_until(lambda: path.exists() and figures(port, "/today.json") != "null", "there is a record", 60)
        assert "emotion_edge_record_paused 0" in figures(port, "/metrics")
        wait_until(lambda: "emotion_edge_record_bytes 0" not in figures(port, "/metrics"), "its size is told")
    assert sum(kept(path, "SELECT frames FROM seen")) > 0
    assert sum(kept(path, "SELECT duration FROM watched")) > 0


def test_the_daemon_stores_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    port = free_port()
    flags = {"camera.source": ROOT / "edge" / "media" / "clip.mp4", "web.port": port, "mqtt.host": ""}
    with running(tmp_path / "log", flags, XDG_STATE_HOME=str(tmp_path / "state")):
        wait_until(lambda: sees_a_face(port), "a face is seen", 60)
        assert figures(port, "/today.json") == "null"
    assert list(tmp_path.rglob("*.sqlite3")) == []
    assert not re.search(r"face \d", (tmp_path / "log").read_text())  # under systemd, the journal keeps it with a time


def test_the_daemon_goes_on_where_there_is_no_place_for_a_record(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "file").write_text("no folder")
    flags = {"camera.source": ROOT / "edge" / "media" / "clip.mp4", "web.port": port, "mqtt.host": ""}
    with running(log, {**flags, "record.enabled": "true", "record.file": tmp_path / "file" / "record.db"}):
        wait_until(lambda: sees_a_face(port), "a face is seen", 60)
        wait_until(lambda: "emotion_edge_record_paused 1" in figures(port, "/metrics"), "the record is paused")
        assert json.loads(figures(port, "/healthz")) == {"status": "ok"}
    assert log.read_text().count("record: paused") == 1
