"""The daemon runs on a board with a read-only root file system."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.daemon import wait_until

SCRIPT = """
mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" || exit 1
if touch "$1/x" 2>/dev/null; then exit 1; fi
shift
exec "$@"
"""


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root and unshare")
def test_the_daemon_analyses_with_a_state_folder_that_cannot_be_written(tmp_path: Path) -> None:
    state, runtime = tmp_path / "state", tmp_path / "run"
    state.mkdir()
    runtime.mkdir()
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", str(state)]
    words += [sys.executable, "-m", "edge.cli", "run", "--camera.source", str(ROOT / "edge/media/clip.mp4")]
    words += ["--web.enabled", "false", "--display.mode", "off"]
    environment = {**os.environ, "STATE_DIRECTORY": str(state), "RUNTIME_DIRECTORY": str(runtime)}
    with (tmp_path / "log").open("w") as log:
        daemon = subprocess.Popen(words, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:

        def analysing() -> bool:
            assert daemon.poll() is None, (tmp_path / "log").read_text()
            file = runtime / "status.json"
            return file.exists() and json.loads(file.read_text())["fps"] > 0

        wait_until(analysing, "frames are analysed", 60)
    finally:
        daemon.terminate()
        daemon.wait(30)
    assert list(state.iterdir()) == []
