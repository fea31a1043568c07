"""The test board as the steps of its tests use it."""

import time
from pathlib import Path
from typing import Final, TextIO

from deploy.emulated.machine import Machine, Subscriber, wait_for
from deploy.emulated.native import NativeMachine
from deploy.emulated.packages import later_package

CLIP: Final = "/opt/emotion-edge/lib/python3.13/site-packages/edge/media/clip.mp4"
CA_FILE: Final = "/etc/emotion-edge/broker-ca.pem"
SLOW: Final = 3600
"""Time limit of any wait on the emulated board, seconds."""

EMOTION_EDGE: Final = "/opt/emotion-edge/bin/emotion-edge"


class Board:
    """The machine, and a log that goes to the screen and to a file; shared by all steps."""

    def __init__(self, log: TextIO, folder: Path, arch: str) -> None:
        self._log = log
        self._started = time.monotonic()
        self.folder, self.arch = folder, arch
        self.fresh_card = folder / "fresh.img"
        self.machine = (Machine if arch == "arm64" else NativeMachine)(folder / "card.img", folder)

    def log(self, text: str) -> None:
        line = f"{time.monotonic() - self._started:6.0f} s  {text}"
        print(line, flush=True)
        print(line, file=self._log, flush=True)

    def boot(self) -> None:
        """Start the machine unless it runs, and wait for SSH."""
        if not self.machine.reached():
            self.machine.cut_power()
            self.machine.start()
            seconds = wait_for(self.machine.reached, "it accepts SSH", SLOW)
            self.log(f"booted and accepted SSH after {seconds:.0f} s")

    def installed(self) -> str:
        return self.machine.shell("dpkg-query -W -f='${Version}' emotion-edge")

    def healthy(self) -> None:
        """Wait until the service is active and a subscriber on this machine receives a face."""
        self.boot()
        seconds = wait_for(lambda: self._state() == "active", "the service is active", SLOW)
        since = time.monotonic()
        subscriber = Subscriber(self.machine.mqtt_port)
        try:
            subscriber.wait("status", lambda word: word == "online", SLOW)
            subscriber.wait("faces", lambda body: bool(body["faces"]), SLOW, since)
        finally:
            subscriber.close()
        self.log(f"the service is active ({seconds:.0f} s) and a face was published ({time.monotonic() - since:.0f} s)")

    def next_version(self, suffix: str, breaks: bool = False) -> Path:
        """Build a package with a later version. breaks: its daemon exits at start."""
        made = later_package(self.folder, suffix, breaks, self.arch)
        self.log(f"packed {made.name}")
        return made

    def models(self) -> list[str]:
        """Return the lines of `emotion-edge model list` on the board; active models begin with a star."""
        return self.machine.shell(f"{EMOTION_EDGE} model list").splitlines()

    def _state(self) -> str:
        return self.machine.shell("systemctl is-active emotion-edge || true")
