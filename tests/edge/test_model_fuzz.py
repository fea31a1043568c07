"""Damaged cards and archives: each is accepted or refused in one line, with bounded memory."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from edge.cli import main
from edge.errors import EmotionEdgeError
from edge.model_updates.archive import unpack_model
from edge.models.card import CARD_FILE, MODEL_FILE
from tests.conftest import ROOT
from tests.support.model_mutants import BOMBS, RELEASED, card_mutants, try_card


def one_line(text: str) -> bool:
    return text.isprintable() and len(text) < 2000


def test_every_damaged_card_runs_or_is_refused_in_one_line() -> None:
    outcomes = [try_card(content) for content in card_mutants(seed=20, count=250)]
    assert all(map(one_line, outcomes))
    assert 10 < outcomes.count("runs") < 220


TRIES_ARCHIVES = """
import json, resource
from tests.support.model_mutants import archive_mutants, try_archive
mutants = list(archive_mutants(seed=21, count=60))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
outcomes = [try_archive(content) for content in mutants]
print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, outcomes]))
"""


def test_every_damaged_archive_is_unpacked_or_refused_in_one_line_and_memory_stays_flat() -> None:
    done = subprocess.run([sys.executable, "-c", TRIES_ARCHIVES], cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    kilobytes, outcomes = json.loads(done.stdout)
    assert kilobytes < 100_000
    assert all(map(one_line, outcomes))
    assert outcomes.count("unpacked") > 5
    for outcome in outcomes[-BOMBS:]:
        assert any(words in outcome for words in ("unpacks to more", "is larger than", "too large", "too many files"))
    assert any("a header is too large" in outcome for outcome in outcomes[-BOMBS:])


@pytest.mark.parametrize("field", ["name", "version"])
def test_control_characters_in_names_are_refused_and_never_shown(field: str) -> None:
    card = (RELEASED / CARD_FILE).read_text().replace(f'"{field}": "', f'"{field}": "\\u001b[2J', 1)
    outcome = try_card(card.encode())
    assert f"{field}: has characters that cannot be printed" in outcome
    assert "\x1b" not in outcome


def test_links_and_other_special_files_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "shadow"
    secret.write_text("secret")
    folder = tmp_path / "model"
    folder.mkdir()
    for name in (CARD_FILE, MODEL_FILE):
        (folder / name).write_bytes((RELEASED / name).read_bytes())
    (folder / "README.md").symlink_to(secret)
    os.mkfifo(folder / "NOTICE")
    with tarfile.open(tmp_path / "model.tar", "w") as tar:
        tar.add(folder, "model")
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        for name in (CARD_FILE, MODEL_FILE):
            archive.write(folder / name, name)
        link = zipfile.ZipInfo("README.md")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(secret))
    for source in (folder, tmp_path / "model.tar", tmp_path / "model.zip"):
        into = tmp_path / f"{source.name}-unpacked"
        into.mkdir()
        unpack_model(source, into)
        assert {file.name for file in into.iterdir()} == {CARD_FILE, MODEL_FILE}


def test_a_full_disk_is_not_taken_for_a_damaged_archive(tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.write_text("in the way")
    with pytest.raises(OSError, match="Not a directory"):
        unpack_model(RELEASED, into)
    with pytest.raises(EmotionEdgeError, match=r"holds no card\.json"):
        unpack_model(tmp_path, tmp_path)


def test_escape_codes_in_a_file_name_do_not_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    archive = tmp_path / "x\x1b[2J.zip"
    archive.write_text("no archive")
    assert main(["model", "install", str(archive)]) == 2
    error = capsys.readouterr().err
    assert "x\\x1b[2J.zip: cannot be read" in error
    assert "\x1b" not in error
