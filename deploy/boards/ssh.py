"""A connection to one board with the system's ssh, so that ~/.ssh/config, keys and known hosts apply."""

import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from deploy.boards.inventory import Host
from edge.errors import EmotionEdgeError, escaped

_BLOCK: Final = 256 << 10
OUTPUT_MAX: Final = 4 << 20
"""Maximum bytes that a command on a board may print; ssh is ended beyond them."""
_LINE_MAX: Final = 64 << 10
_ALIVE: Final = ("ServerAliveInterval=15", "ServerAliveCountMax=8", "ConnectTimeout=15")


class Connection:
    """Commands on one board through one shared connection. Methods raise EmotionEdgeError where a command fails.

    options: options of ssh, as after `-o`, for instance another UserKnownHostsFile.
    """

    def __init__(self, host: Host, options: tuple[str, ...] = ()) -> None:
        if not shutil.which("ssh"):
            raise EmotionEdgeError("ssh is not here: sudo apt-get install openssh-client")
        self.host = host
        # The path must be short: that of a socket is limited to about 100 characters.
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

    def run(self, command: str, data: str | bytes = "", seconds: float | None = None) -> str:
        """Run a shell command with `data` as its standard input; returns its standard output, OUTPUT_MAX at most.

        seconds: time after which ssh is ended; None: the command may take as long as it likes.
        """
        content = data.encode() if isinstance(data, str) else data
        status, output, errors = self._bounded(command, content, seconds)
        if status:
            raise EmotionEdgeError(self._explain(status, errors))
        return output

    def status(self, command: str) -> tuple[int, str]:
        """Run a command that may fail; returns its exit status, and output and errors together."""
        status, output, errors = self._bounded(f"{{ {command}\n}} 2>&1", b"", None)
        if status == 255:
            raise EmotionEdgeError(self._explain(255, errors))
        return status, output

    def send(self, source: IO[bytes], size: int, command: str, on_percent: Callable[[int], None]) -> None:
        """Send a file to a command's standard input.

        Args:
            source: the open file.
            size: size of the file in bytes.
            command: the shell command that reads it.
            on_percent: called with the percentage sent, when it changes.
        """
        process = subprocess.Popen(
            [*self._words, self.host.address, command], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdin
        assert process.stderr
        sent, reported = 0, -1
        try:
            while block := source.read(_BLOCK):
                process.stdin.write(block)
                sent += len(block)
                if (percent := sent * 100 // max(size, 1)) != reported:
                    reported = percent
                    on_percent(percent)
            process.stdin.close()
        except BrokenPipeError:
            pass  # ssh has ended: its exit status is checked below
        with process.stderr as stderr:
            errors = stderr.read(OUTPUT_MAX).decode(errors="replace")
        if status := process.wait():
            raise EmotionEdgeError(self._explain(status, errors))

    def follow(self, command: str) -> int:
        """Run a command that prints to the screen until it ends or Ctrl-C is pressed; returns its exit status."""
        words = [*self._words, self.host.address, command]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout
            try:
                # A board that was broken into may send escape codes for the terminal, and lines without an end.
                while line := process.stdout.readline(_LINE_MAX):
                    sys.stdout.write(escaped(line.decode(errors="replace")))
                    sys.stdout.flush()
            except KeyboardInterrupt:
                process.terminate()
                return 0
            return process.wait()

    def _bounded(self, command: str, content: bytes, seconds: float | None) -> tuple[int, str, str]:
        """Run a command with `content` as its input; returns its exit status, output and errors.

        Raises EmotionEdgeError if it prints more than OUTPUT_MAX bytes or takes longer than `seconds`.
        """
        words = [*self._words, self.host.address, command]
        read: dict[IO[bytes], bytes] = {}
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin
            assert process.stdout
            assert process.stderr
            late = threading.Event()

            def end_late() -> None:
                late.set()
                process.kill()

            def read_all(stream: IO[bytes]) -> None:
                read[stream] = stream.read(OUTPUT_MAX + 1)
                if len(read[stream]) > OUTPUT_MAX:
                    process.kill()

            readers = [threading.Thread(target=read_all, args=(one,)) for one in (process.stdout, process.stderr)]
            timer = threading.Timer(seconds, end_late) if seconds else None
            for thread in (*readers, *([timer] if timer else [])):
                thread.start()
            try:
                with suppress(BrokenPipeError):  # ssh has ended: its exit status is checked
                    process.stdin.write(content)
                with suppress(BrokenPipeError):
                    process.stdin.close()
                for reader in readers:
                    reader.join()
                status = process.wait()
            finally:
                if timer:
                    timer.cancel()
                if process.poll() is None:  # Ctrl-C
                    process.kill()
        if max(map(len, read.values())) > OUTPUT_MAX:
            raise EmotionEdgeError(f"it prints more than {OUTPUT_MAX >> 20} MiB: is this the board?")
        if late.is_set():
            raise EmotionEdgeError(f"no answer within {seconds:.0f} s")
        output, errors = (read[stream].decode(errors="replace") for stream in (process.stdout, process.stderr))
        return status, output, errors

    def _explain(self, status: int, errors: str) -> str:
        """Describe why a command failed. ssh itself exits with 255; any other status is the command's."""
        lines = [line for line in errors.splitlines() if line.strip() and not line.startswith("Warning: Permanently")]
        last = lines[-1].strip() if lines else f"status {status}"
        if status != 255:
            return last.removeprefix("sudo: ")
        address = self.host.address
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in errors:
            fingerprint = re.search(r"SHA256:\S+", errors)
            shown = f" ({fingerprint[0].rstrip('.')})" if fingerprint else ""
            return (
                f"its host key has changed{shown}: it was set up again, or another machine answers at this "
                f"address. If you set it up again: ssh-keygen -R {self._known_name()}"
            )
        if "Host key verification failed" in errors or "No matching host key" in errors:
            port = f"-p {self.host.port} " if self.host.port else ""
            return f"its host key is not known here: check it once with  ssh {port}{address}"
        if "Permission denied" in errors:
            return f"it accepts none of the keys here: {last} (ssh-copy-id {address})"
        return f"cannot be reached: {last}"

    def _known_name(self) -> str:
        name = self.host.address.rpartition("@")[2]
        return f"'[{name}]:{self.host.port}'" if self.host.port not in (0, 22) else name


def quoted(path: Path | str) -> str:
    """Quote a path for a POSIX shell."""
    return "'" + str(path).replace("'", "'\\''") + "'"
