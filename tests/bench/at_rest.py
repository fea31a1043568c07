"""Measures the memory of an idle daemon with page, record and MQTT and without viewers, and what uses it.

    python -m tests.bench.at_rest --seconds 30

Prints resident, proportional and private memory, the median of the last ten seconds, and the largest mappings. Resident
memory counts pages of libraries that other programs share as well; proportional divides them among all; private is what
the daemon's end would give back. The environment is that of the unit in `systemd/`. Status 1 where the resident memory
is over 150 MB.
"""

import argparse
import re
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from statistics import median

from edge.media import CLIP
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, free_port, running

ALLOWED_MB = 150.0
_UNIT = Path(__file__).parents[2] / "systemd/emotion-edge.service"
_SAMPLES = 10
_LARGEST = 12
_KINDS: Mapping[str, tuple[str, ...]] = {
    "resident": ("Rss",),
    "proportional": ("Pss",),
    "private": ("Private_Clean", "Private_Dirty"),
}


def memory(pid: int) -> dict[str, float]:
    """Megabytes of a process: resident, proportional, private."""
    fields = _fields(Path(f"/proc/{pid}/smaps_rollup").read_text())
    return {kind: sum(fields[name] for name in names) for kind, names in _KINDS.items()}


def mappings(pid: int) -> list[tuple[str, float, float]]:
    """List mappings: file (`[heap]`: malloc's; "": anonymous), resident and proportional megabytes; largest first."""
    resident, proportional = Counter[str](), Counter[str]()
    text = Path(f"/proc/{pid}/smaps").read_text()
    for block in re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", text):
        head, _, rest = block.partition("\n")
        name = Path(" ".join(head.split()[5:])).name
        fields = _fields(rest)
        resident[name] += fields["Rss"]  # type: ignore[assignment]
        proportional[name] += fields["Pss"]  # type: ignore[assignment]
    return [(name, size, proportional[name]) for name, size in resident.most_common(_LARGEST)]


def _fields(text: str) -> dict[str, float]:
    return {name: int(kilobytes) * 1024 / 1e6 for name, kilobytes in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}


def main() -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="from the first frame to the first sample")
    arguments = parser.parse_args()
    unit = dict(re.findall(r"^Environment=(\w+)=(\S+)$", _UNIT.read_text(), re.M))
    with tempfile.TemporaryDirectory() as name, Mosquitto() as broker:
        flags = {
            "camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "web.port": free_port(),
            "record.enabled": "true", "record.file": Path(name) / "record.db",
        }  # fmt: skip
        listener = Listener(broker.port)
        with running(Path(name) / "log", flags, STATE_DIRECTORY=name, **unit) as daemon:
            listener.wait(lambda heard: heard.topic == "faces", "frame", timeout=120)
            listener.close()
            time.sleep(arguments.seconds)
            samples = []
            for _ in range(_SAMPLES):
                samples.append(memory(daemon.pid))
                time.sleep(1)
            largest = mappings(daemon.pid)
    sizes = {kind: median(sample[kind] for sample in samples) for kind in _KINDS}
    print(", ".join(f"{kind} {size:.1f} MB" for kind, size in sizes.items()))
    for name, resident, proportional in largest:
        print(f"{resident:7.1f} MB resident {proportional:7.1f} proportional  {name or 'anonymous'}")
    return int(sizes["resident"] > ALLOWED_MB)


if __name__ == "__main__":
    raise SystemExit(main())
