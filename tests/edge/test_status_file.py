"""The status file: what tools on the board read, and that it never breaks the daemon."""

import json
import logging
import stat
from pathlib import Path

from edge.controls import Controls
from edge.outputs.status_file import StatusFile, runtime_folder
from edge.reading import Stats

STATS = Stats(
    fps=9.47,
    captured=100,
    dropped=2,
    stages={},
    latency_ms={},
    temperature=51.26,
    throttled=False,
    pace="full",
    rate_limit=None,
    camera="online",
    model="emotion-small",
    model_sha256="0" * 64,
    interpreter="ai-edge-litert 2.1.6",
    uptime=61.2,
)


def opened(folder: Path, broker: str | None = "connected") -> StatusFile:
    controls = Controls(folder / "switches.json", False, "device")
    return StatusFile(folder, controls, (lambda: broker) if broker else None)


def test_the_file_tells_how_the_daemon_does_and_leaves_with_it(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    status = opened(tmp_path)
    status.report(STATS)
    told = json.loads(file.read_text())
    assert (told["v"], told["fps"], told["broker"], told["camera"]) == (1, 9.5, "connected", "online")
    assert (told["model"], told["temperature"], told["uptime"]) == ("emotion-small", 51.3, 61.0)
    assert (told["watching"], told["last_error"]) == (True, None)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    status.close()
    assert not file.exists()


def test_the_last_error_is_kept_in_one_short_line_without_its_password(tmp_path: Path) -> None:
    status = opened(tmp_path)
    try:
        logging.getLogger("edge.test").error("rtsp://me:hunter2@cam/live\n%s", "x" * 1000)
        status.report(STATS)
        text = json.loads((tmp_path / "status.json").read_text())["last_error"]
    finally:
        status.close()
    assert text.startswith("rtsp://me:***@cam/live")
    assert "hunter2" not in text
    assert "\n" not in text
    assert len(text) <= 300
    logging.getLogger("edge.test").error("after the end")
    opened(tmp_path).report(STATS)
    assert json.loads((tmp_path / "status.json").read_text())["last_error"] is None


def test_a_folder_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    status = StatusFile(tmp_path / "none", Controls(tmp_path / "switches.json", False, "device"), None)
    status.report(STATS)
    status.close()


def test_the_folder_is_the_one_of_the_service() -> None:
    assert runtime_folder({"RUNTIME_DIRECTORY": "/run/emotion-edge"}) == Path("/run/emotion-edge")
    assert runtime_folder({}) is None
