"""Threads that wait on the outside world, and may hang there when the process ends."""

import threading
from collections.abc import Callable
from weakref import WeakSet

_started: "WeakSet[threading.Thread]" = WeakSet()


def start_worker(name: str, target: Callable[[], None]) -> threading.Thread:
    """Start a thread that the process may leave behind at its end, as `edge.system.process.end_process` does."""
    worker = threading.Thread(target=target, name=name, daemon=True)
    _started.add(worker)
    worker.start()
    return worker


def hanging() -> list[str]:
    """Names of the workers that have not ended yet."""
    return sorted(worker.name for worker in list(_started) if worker.is_alive())
