"""One board over the system's own ssh: keys, host keys and ~/.ssh/config are as everywhere else on this machine."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from deploy.push_hosts import Host
from edge.errors import EmotionEdgeError

_BLOCK: Final = 256 << 10
_ALIVE: Final = ("ServerAliveInterval=15", "ServerAliveCountMax=8", "ConnectTimeout=15")


class Connection:
    """Commands on one board, all through one connection. Every method raises EmotionEdgeError in place of failing.

    options: of ssh, as after `-o`, for instance another UserKnownHostsFile.
    """

    def __init__(self, host: Host, options: tuple[str, ...] = ()) -> None:
        if not shutil.which("ssh"):
            raise EmotionEdgeError("ssh is not here: sudo apt-get install openssh-client")
        self.host = host
        # Of a short path, as a socket's may have some hundred characters at most.
        self._folder = tempfile.TemporaryDirectory(prefix="ee-", dir="/tmp")
        shared = ("ControlMaster=auto", f"ControlPath={self._folder.name}/s", "ControlPersist=60", "BatchMode=yes")
        self._words = ["ssh", *(f"-o{option}" for option in (*options, *_ALIVE, *shared))]
        if host.port:
            self._words += ["-p", str(host.port)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        subprocess.run([*self._words, "-O", "exit", self.host.address], capture_output=True, check=False)
        self._folder.cleanup()

    def run(self, command: str, data: str = "") -> str:
        """What a shell command prints on its standard output. data: its standard input."""
        done = subprocess.run(
            [*self._words, self.host.address, command], input=data.encode(), capture_output=True, check=False
        )
        if done.returncode:
            raise EmotionEdgeError(self._explain(done.returncode, done.stderr.decode(errors="replace")))
        return done.stdout.decode(errors="replace")

    def status(self, command: str) -> tuple[int, str]:
        """A command's own status and all that it prints, for a command that may fail."""
        words = [*self._words, self.host.address, f"{{ {command}\n}} 2>&1"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode == 255:
            raise EmotionEdgeError(self._explain(255, done.stderr.decode(errors="replace")))
        return done.returncode, done.stdout.decode(errors="replace")

    def send(self, source: IO[bytes], size: int, command: str, told: Callable[[int], None]) -> None:
        """Feed a file to a command there. told: called with the percentage done, when it changes."""
        process = subprocess.Popen(
            [*self._words, self.host.address, command], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        assert process.stderr
        sent, said = 0, -1
        try:
            while block := source.read(_BLOCK):
                process.stdin.write(block)
                sent += len(block)
                if (percent := sent * 100 // max(size, 1)) != said:
                    said = percent
                    told(percent)
            process.stdin.close()
        except BrokenPipeError:
            pass  # its status tells why
        with process.stderr as stderr:
            complaint = stderr.read().decode(errors="replace")
        if status := process.wait():
            raise EmotionEdgeError(self._explain(status, complaint))

    def follow(self, command: str) -> int:
        """Let a command print to the screen until it ends or the person ends it; its status."""
        try:
            return subprocess.run([*self._words, self.host.address, command], check=False).returncode
        except KeyboardInterrupt:
            return 0

    def _explain(self, status: int, complaint: str) -> str:
        """A failure in words. ssh itself ends with 255; everything else is the command's."""
        lines = [
            line for line in complaint.splitlines() if line.strip() and not line.startswith("Warning: Permanently")
        ]
        last = lines[-1].strip() if lines else f"status {status}"
        if status != 255:
            return last.removeprefix("sudo: ")
        address = self.host.address
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in complaint:
            fingerprint = re.search(r"SHA256:\S+", complaint)
            shown = f" ({fingerprint[0].rstrip('.')})" if fingerprint else ""
            return (
                f"its host key is another than it was{shown}: either it was set up anew, or something else answers in "
                f"its place. If you know that it was: ssh-keygen -R {self._known_name()}"
            )
        if "Host key verification failed" in complaint or "No matching host key" in complaint:
            port = f"-p {self.host.port} " if self.host.port else ""
            return f"its host key is not known here: look at it once with  ssh {port}{address}"
        if "Permission denied" in complaint:
            return f"it lets nobody in with the keys here: {last} (ssh-copy-id {address})"
        return f"cannot be reached: {last}"

    def _known_name(self) -> str:
        name = self.host.address.rpartition("@")[2]
        return f"'[{name}]:{self.host.port}'" if self.host.port not in (0, 22) else name


def quoted(path: Path | str) -> str:
    """A path for a POSIX shell."""
    return "'" + str(path).replace("'", "'\\''") + "'"
