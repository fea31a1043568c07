"""A real Mosquitto on a free port of the loopback, for tests."""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest


class Mosquitto:
    """A broker that a test may stop, start again on the same port, and freeze.

    settings: lines of mosquitto.conf besides the listener. Skips the test where mosquitto is not installed.
    """

    def __init__(self, *settings: str) -> None:
        found = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if found is None:
            pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
        self._program = found
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.port = int(server.getsockname()[1])
        self._settings = settings or ("allow_anonymous true",)
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = Path(self._folder.name) / "mosquitto.conf"
        config.write_text("\n".join([f"listener {self.port} 127.0.0.1", *self._settings, ""]))
        self._process = subprocess.Popen([self._program, "-c", str(config)], stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < ends, "mosquitto does not answer"
                assert self._process.poll() is None, f"mosquitto ended with status {self._process.returncode}"
                time.sleep(0.02)

    def stop(self) -> None:
        if self._process:
            self.freeze(False)
            self._process.kill()  # no goodbye to its clients, as when its machine goes
            self._process.wait()
            self._process = None

    def freeze(self, frozen: bool = True) -> None:
        """Stall with every connection left open; or go on."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()
