"""Threads that wait on the outside world, and may still hang there when the process ends."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

_started: "WeakSet[threading.Thread]" = WeakSet()


def start_worker(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a daemon thread that `edge.system.process.end_process` leaves behind if it hangs."""

    def run() -> None:
        name_for_system(name)
        target()

    worker = threading.Thread(target=run, name=name, daemon=True)
    _started.add(worker)
    worker.start()
    return worker


def name_for_system(name: str) -> None:
    """Name the current thread for `top -H` and `ps -L`; the kernel keeps 15 bytes of it."""
    with suppress(OSError):
        Path(f"/proc/self/task/{threading.get_native_id()}/comm").write_text(name, encoding="utf-8")


def hanging() -> list[str]:
    """List the names of the workers that have not ended yet."""
    return sorted(worker.name for worker in list(_started) if worker.is_alive())
