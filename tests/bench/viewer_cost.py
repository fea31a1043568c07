"""`python -m tests.bench.viewer_cost`: processor time of the daemon and of a viewer of its annotated stream.

The daemon plays the bundled clip; the installed viewers read its stream with a password, one after the other.
"""

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from edge.media import CLIP
from tests.support.daemon import free_port, running, wait_until

PASSWORD: Final = "opensesame"

_FFMPEG: Final = "ffmpeg -v error -f mpjpeg -i URL -t SECONDS"
VIEWERS: Final[Mapping[str, str]] = {
    "nobody": "sleep SECONDS",
    "ffmpeg, as it is": f"{_FFMPEG} -c copy -f null -",
    "ffmpeg, to H.264": f"{_FFMPEG} -c:v libx264 -preset superfast -tune zerolatency -f null -",
    "VLC": "cvlc --quiet --no-audio --vout dummy URL",
}


def measure(url: str, words: str, seconds: float, daemon: psutil.Process) -> tuple[float, float]:
    """Measure processor use of daemon and viewer, in cores. Raises CalledProcessError if the viewer fails."""

    def used() -> float:
        family = [daemon, *daemon.children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in family)

    def of_viewers() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    command = words.replace("SECONDS", str(seconds)).replace("URL", url).split()
    if command[0] == "cvlc":  # VLC does not end by itself, and refuses to run as root
        command = ["timeout", "--preserve-status", "--signal=INT", str(seconds), *command]
        if os.geteuid() == 0:
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env", "HOME=/tmp", *command]
    before, viewed, began = used(), of_viewers(), time.monotonic()
    subprocess.run(command, check=True, capture_output=True, timeout=seconds * 4 + 30)
    span = time.monotonic() - began
    return (used() - before) / span, (of_viewers() - viewed) / span


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each installed viewer."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.viewer_cost", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each viewer (default: 20)")
    seconds = parser.parse_args(arguments).seconds
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["STATE_DIRECTORY"] = folder
        secret = Path(folder) / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o600)
        flags = {"camera.source": CLIP, "web.port": port, "web.password_file": secret, "display.mode": "off"}
        with running(Path(folder) / "log", flags) as daemon:
            url = f"http://viewer:{PASSWORD}@127.0.0.1:{port}/stream?width=640"
            wait_until(lambda: "online" in (Path(folder) / "log").read_text(), "the camera", 60)
            for name, words in VIEWERS.items():
                if not shutil.which(words.split()[0]):
                    print(f"{name:18} is not installed")
                    continue
                board, viewer = measure(url, words, seconds, psutil.Process(daemon.pid))
                print(f"{name:18} daemon {board:.2f} of a core, viewer {viewer:.2f}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
