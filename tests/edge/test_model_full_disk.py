"""Install and rollback on a full disk: acknowledged changes take effect, failed ones change nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.models.card import CARD_FILE, MODEL_FILE
from edge.models.released import model_dir
from edge.system.atomic_file import write_atomically
from tests.conftest import ROOT

FULL_DISK = """
import os, sys
from pathlib import Path
from edge.errors import EmotionEdgeError
from edge.model_updates import install as module
from edge.model_updates.self_test import run_self_test
from edge.models.active import active_model
from edge.models.card import read_any_card
from edge.models.released import model_dir
from edge.models.runtime import choose

module.check_in_process = run_self_test  # the disk is what is tested
NAME, disk, folders = "emotion-small", Path(sys.argv[1]), [Path(folder) for folder in sys.argv[2:]]
filler, runtime, done, failed = disk / "filler", choose(), 0, 0
module.install(folders[0], {"emotion": NAME, "detector": ""}, runtime)
module.install(folders[1], {"emotion": NAME, "detector": ""}, runtime)
running, before = folders[1].name, folders[0].name
for number in range(16):
    filler.unlink(missing_ok=True)
    space = os.statvfs(disk)
    leave = (0, 1, 5, 20, 60, 100, 150, 200)[number % 8] * 4096
    filler.write_bytes(bytes(max(0, space.f_bavail * space.f_bsize - leave)))
    try:
        if number < 8:
            card = module.install(folders[number % 3], {"emotion": NAME, "detector": ""}, runtime).card
        else:
            card = module.rollback(NAME).card
    except EmotionEdgeError as error:
        failed += 1
        assert "\\n" not in str(error) and "No space left" in str(error), error
    else:
        done += 1
        if card.version != running:
            running, before = card.version, running
    assert read_any_card(model_dir(active_model(NAME))).version == running, number
    assert not list((disk / "models").glob(".coming-*")), number
filler.unlink()
assert module.rollback(NAME).card.version == before, "the model before it is still there"
print(done, failed)
"""


def test_on_a_full_disk_the_acknowledged_model_runs_and_nothing_else_changes(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    folders = []
    for mark in "234":
        folders.append(Path(shutil.copytree(model_dir("emotion-small"), tmp_path / mark)))
        for other in folders[-1].iterdir():
            if other.name not in (CARD_FILE, MODEL_FILE):
                other.unlink()
        card = json.loads((folders[-1] / CARD_FILE).read_text()) | {"version": mark}
        write_atomically(folders[-1] / CARD_FILE, json.dumps(card).encode())
    mount = ["unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size=3m tmpfs {disk} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets us mount no file system")
    done = subprocess.run(
        [*mount, "env", f"STATE_DIRECTORY={disk}", sys.executable, "-c", FULL_DISK, disk, *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    succeeded, failed = map(int, done.stdout.split())
    assert succeeded > 3
    assert failed > 3
