"""Threads that wait on the outside world, and may hang there when the process ends."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

_started: "WeakSet[threading.Thread]" = WeakSet()


def start_worker(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that the process may leave behind at its end, as `edge.system.process.end_process` does."""

    def run() -> None:
        name_for_system(name)
        target()

    worker = threading.Thread(target=run, name=name, daemon=True)
    _started.add(worker)
    worker.start()
    return worker


def name_for_system(name: str) -> None:
    """Let `top -H` and `ps -L` show this thread by a name; the kernel keeps 15 bytes of it."""
    with suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name, encoding="utf-8")


def hanging() -> list[str]:
    """Names of the workers that have not ended yet."""
    return sorted(worker.name for worker in list(_started) if worker.is_alive())
