"""Back-off, files replaced in one step, and worker threads."""

import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.system import threads
from edge.system.atomic_file import write_atomically
from edge.system.backoff import Backoff
from edge.system.threads import start_worker


def test_delays_double_up_to_the_longest_and_begin_again() -> None:
    backoff = Backoff(0.5, 3.0)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.worked(3.0)  # not longer than the longest delay: it fails soon after each success
    assert backoff.next() == 3.0
    backoff.worked(3.1)
    assert backoff.next() == 0.5
    backoff.reset()
    assert backoff.next() == 0.5


def test_jitter_takes_up_to_its_share_off_a_delay() -> None:
    delays = [Backoff(8.0, 60.0, jitter=0.5).next() for _ in range(100)]
    assert 4.0 <= min(delays) < max(delays) <= 8.0


def test_a_file_is_replaced_whole_with_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    before = os.umask(0o077)
    try:
        for content, mode in ((b"old", 0o600), (b"newer", 0o644)):
            write_atomically(path, content, mode)
            assert (path.read_bytes(), path.stat().st_mode & 0o777) == (content, mode)
    finally:
        os.umask(before)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_bytes(b"old")
    script = (
        "import signal, sys; from pathlib import Path; from edge.system.atomic_file import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try: write_atomically(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError: sys.exit(7)"
    )
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # noqa: E731
    done = subprocess.run([sys.executable, "-c", script, path], timeout=60, preexec_fn=limit)
    assert done.returncode == 7
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "state.json", b"")


def test_a_worker_hangs_until_it_has_ended() -> None:
    release, released = threading.Event(), list[bool]()
    worker = threads.start_worker("test-worker", lambda: released.append(release.wait(10)))
    assert "test-worker" in threads.hanging()
    release.set()
    worker.join(10)
    assert "test-worker" not in threads.hanging()
    assert released == [True]


def test_a_worker_that_hangs_is_left_behind_at_the_end() -> None:
    code = (
        "import threading, sys; from edge.system.logs import start_logging\n"
        "from edge.system.process import end_process\n"
        "from edge.system.threads import start_worker\n"
        "start_logging('info'); print('shown')\n"
        "start_worker('stuck', lambda: bool(threading.Event().wait()) or None)\n"
        "sys.exit(end_process(3))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (3, "shown\n")
    assert "ended without waiting for what hangs: stuck" in done.stderr


def test_a_worker_has_its_name_in_the_system_s_lists_too() -> None:
    told: list[str] = []
    comm = Path("/proc/thread-self/comm")
    start_worker("image-decoder-two", lambda: told.append(comm.read_text().strip())).join()
    assert told == ["image-decoder-t"], "the kernel keeps 15 bytes"
