"""The command line, interrupted early or started by a user without a home folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edge.media import CLIP
from tests.support.daemon import wait_until


@pytest.mark.parametrize("library", ["pydantic_core", "cv2"])
def test_ctrl_c_while_modules_are_still_imported_shows_no_traceback(tmp_path: Path, library: str) -> None:
    command = [sys.executable, "-m", "edge.cli", "run", f"--camera.source={CLIP}", "--display.mode=off"]
    environment = os.environ | {"STATE_DIRECTORY": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        maps = Path(f"/proc/{run.pid}/maps")
        wait_until(lambda: library in maps.read_text(), f"the import of {library}")
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
    assert "Traceback" not in said
    assert run.returncode in (0, 130, -signal.SIGINT)


def test_a_user_without_home_and_entry_in_the_user_database(tmp_path: Path) -> None:
    """The command works for such a user, as in a container started with `--user 54321`."""
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_STATE_HOME")}
    code = (
        "import pwd, sys\n"
        "def missing(user): raise KeyError(user)\n"
        "pwd.getpwuid = missing\n"
        "from edge.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    for words in (["check-config"], ["model", "list"], ["snapshot", "--image=~/none.jpg"], ["report"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            timeout=60,
        )
        assert "Traceback" not in done.stderr, words
        assert done.returncode == (0 if words[0] in ("check-config", "model") else 2), done.stderr
