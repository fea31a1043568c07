"""Runs the test board as a container on this machine's processor, with systemd as process 1 on the card's root.

A whole emulated board may take hours. Here units, cloud-init, SSH, apt and the broker are real; the kernel is this
machine's, so there is no camera, screen or watchdog device, and the boot partition is a folder with the same files.
Needs root and a kernel with loop devices, ext4 and cgroup2.
"""

import fcntl
import os
import shutil
import signal
import struct
import subprocess
import time
from pathlib import Path
from typing import Final

from deploy.emulated.machine import Machine, wait_for, web_server
from deploy.image.disk import parse_layout
from edge.errors import EmotionEdgeError

_SHUTDOWN: Final = 0x8004587D
"""Number of the ioctl EXT4_IOC_SHUTDOWN, and its flag to discard data not yet on the disk, journal included."""
_NO_LOG_FLUSH: Final = 2

_WEB_PORT: Final = 8089


class NativeMachine(Machine):
    """A board whose system runs in a container. See `Machine`."""

    repository_url = f"http://127.0.0.1:{_WEB_PORT}"

    def __init__(self, card: Path, folder: Path) -> None:
        super().__init__(card, folder)
        self._boot, self._root = folder / "boot", folder / "root"
        self._root.mkdir(exist_ok=True)

    def insert(self, card: Path) -> None:
        """Copy a card image, and the files of its boot partition, as the machine's card."""
        super().insert(card)
        shutil.rmtree(self._boot, ignore_errors=True)
        self._boot.mkdir(mode=0o700)
        with card.open("rb") as file:
            start = parse_layout(file.read(512), card.name).boot.start
        subprocess.run(["mcopy", "-s", "-n", "-i", f"{card}@@{start}", "::*", str(self._boot)], check=True)

    def start(self) -> None:
        """Mount the card and start systemd."""
        (self._folder / "known").unlink(missing_ok=True)
        with self._card.open("rb") as file:
            start = parse_layout(file.read(512), self._card.name).root.start
        # Mounted in a mount namespace of its own: outside, another process could keep the mount busy after the end.
        words = ["unshare", "--mount", "sh", "-ec", f'mount -o loop,offset={start} "$1" "$2"; shift 2; exec "$@"', "sh"]
        words += [str(self._card), str(self._root)]
        words += ["systemd-nspawn", "--quiet", f"--directory={self._root}", f"--bind={self._boot}:/boot/firmware"]
        words += ["--private-network", "--register=no", "--keep-unit", "--boot", "--console=pipe"]
        words += ["--resolv-conf=off", "--timezone=off", "systemd.log_target=console"]
        with (self._folder / time.strftime("console-%H%M%S.log")).open("wb") as console:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                start_new_session=True,
            )
        try:
            wait_for(self._booting, "systemd starts", 60)
        except EmotionEdgeError:
            self.cut_power()
            raise
        enter = f"nsenter -t {self._leader()} -n"
        for port, there in ((self.ssh_port, 22), (self.mqtt_port, 1883)):
            command = f"{enter} socat STDIO TCP:127.0.0.1:{there}".replace(":", "\\:")
            self._run_beside("socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr", f"EXEC:{command}")
        self._run_beside(*enter.split(), *web_server(self.repository, _WEB_PORT))

    def cut_power(self) -> None:
        """Stop the container like a power cut: data not yet written to the card is lost."""
        if self._process and self._booting():
            descriptor = os.open(f"/proc/{self._process.pid}/root{self._root}", os.O_RDONLY)
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
            os.close(descriptor)
            os.kill(self._leader(), signal.SIGKILL)  # process 1: all others of the container end with it
        super().cut_power()
        words = ["losetup", "--noheadings", "--associated", str(self._card)]
        wait_for(lambda: not subprocess.run(words, capture_output=True, check=False).stdout, "the card is free", 60)

    def _children(self) -> list[str]:
        if not self._process or self._process.poll() is not None:
            return []
        return Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()

    def _booting(self) -> bool:
        """Return True once process 1 of the container is systemd, no longer the program that prepares the container."""
        names = [Path(f"/proc/{child}/comm").read_text().strip() for child in self._children()]
        return names == ["systemd"]

    def _leader(self) -> int:
        return int(self._children()[0])
