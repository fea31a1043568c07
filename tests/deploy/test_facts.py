"""What is read of a board as a user who is not root, by the shell commands themselves."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.boards.facts import HOME, gather_facts
from deploy.boards.ssh import Connection
from tests.deploy.test_push import make_package

SUDO = '#!/bin/sh\n[ "$1" = -n ] && shift\nchmod 700 "$KEPT"\n"$@"\nstatus=$?\nchmod 0 "$KEPT"\nexit $status\n'
"""Stands in for sudo: only through it can the folder be read."""


class Here(Connection):
    """Runs commands on this machine, without root's right to read everything."""

    def __init__(self, folder: Path) -> None:
        self.kept = folder / "kept"
        (folder / "sudo").write_text(SUDO)
        (folder / "sudo").chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "KEPT": str(self.kept)}

    def run(self, command: str, data: str | bytes = "", seconds: float | None = None) -> str:
        assert isinstance(data, str)
        words = ["sh", "-c", command]
        if os.geteuid() == 0:
            words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all", *words]
        text = data.replace(HOME, str(self.kept))
        done = subprocess.run(
            words, input=text, env=self.environment, capture_output=True, text=True, timeout=seconds or 60, check=True
        )
        return done.stdout


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg is not here")
def test_the_package_kept_for_a_rollback_is_found_by_a_user_who_may_not_enter_its_folder(tmp_path: Path) -> None:
    here = Here(tmp_path)
    current = here.kept / "current"
    current.mkdir(parents=True)
    make_package(tmp_path, "arm64", "3.13").rename(current / "emotion-edge_1.2.3_arm64.deb")
    here.kept.chmod(0)
    try:
        with pytest.raises(subprocess.CalledProcessError):
            here.run(f"ls {here.kept}")
        board = gather_facts(here)
    finally:
        here.kept.chmod(0o700)
    assert (board.kept, board.can_sudo) == ("1.2.3", True)
