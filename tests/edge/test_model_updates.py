"""Installed models: tested before use, loaded while the daemon runs, never incomplete."""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli import main
from edge.config import Settings
from edge.errors import EmotionEdgeError
from edge.model_updates import install
from edge.model_updates.self_test import run_self_test
from edge.models.active import ACTIVE_FILE, active_model, models_folder
from edge.models.card import CARD_FILE, MODEL_FILE, Card, read_any_card, sha256_of
from edge.models.released import model_dir
from edge.models.runtime import choose
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import Listener, running, wait_until

NAME = Settings().emotion.model
RELEASED = model_dir(NAME)
DETECTOR = "yunet-320"


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return models_folder()


@pytest.fixture
def isolated() -> None:
    """Run self-tests in a process of their own, for tests of that; other tests run them in-process, which is faster."""


@pytest.fixture(autouse=True)
def in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "isolated" not in request.fixturenames:
        monkeypatch.setattr(install, "check_in_process", run_self_test)


def made(folder: Path, mark: str, of: Path = RELEASED, **card: object) -> Path:
    """Copy a released model with bytes appended to its file, which change its hash but not its outputs."""
    folder.mkdir(parents=True)
    (folder / MODEL_FILE).write_bytes((of / MODEL_FILE).read_bytes() + mark.encode())
    content = json.loads((of / CARD_FILE).read_text()) | {"version": mark, "sha256": sha256_of(folder / MODEL_FILE)}
    (folder / CARD_FILE).write_text(json.dumps(content | card))
    return folder


def runs(name: str = NAME) -> str:
    """Return the version of the model that is in use."""
    return read_any_card(model_dir(active_model(name))).version


def packed(folder: Path, kind: str) -> Path:
    path = folder.with_suffix(kind)
    if kind == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in folder.iterdir():
                archive.write(file, f"{folder.name}/{file.name}")
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(folder, arcname=".")
    return path


@pytest.mark.parametrize("kind", ["", ".zip", ".tar.gz"])
def test_a_good_model_runs_and_the_one_before_is_a_command_away(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new = made(tmp_path / "mine", "2.0", name="emotion-mine")
    assert main(["model", "install", str(packed(new, kind) if kind else new)]) == 0
    assert f"emotion-mine 2.0 ({sha256_of(new / MODEL_FILE)[:12]}) runs, in place of {NAME}" in capsys.readouterr().out
    assert runs() == "2.0"
    assert main(["model", "list"]) == 0
    starred = [line.split()[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    assert starred == [["emotion-mine", "2.0"], [DETECTOR, "1"]]
    assert main(["model", "rollback"]) == 0
    assert active_model(NAME) == NAME
    assert main(["model", "rollback"]) == 0
    assert runs() == "2.0"


def test_those_that_vote_are_listed_as_running(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list", "--emotion.model", "emotion-nano+emotion-small"]) == 0
    starred = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("*")]
    assert starred == ["emotion-nano", "emotion-small", DETECTOR]


def test_each_is_listed_with_where_it_lies_and_how_a_committee_decides(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    listed = {line.lstrip("* ").split()[0]: line for line in capsys.readouterr().out.splitlines()}
    place = f"in {ROOT / 'models'}"
    assert listed["emotion-nano"].endswith(place)
    assert listed["committee"].endswith(f"{place}: the mean of emotion-large, emotion-extra, emotion-small")


def test_of_several_installs_the_last_two_are_kept(tmp_path: Path, store: Path) -> None:
    for version in ("2", "3", "4"):
        assert main(["model", "install", str(made(tmp_path / version, version))]) == 0
    assert sorted(path.name.split("-")[2] for path in store.glob("emotion-*")) == ["3", "4"]
    assert main(["model", "rollback"]) == 0
    assert runs() == "3"
    assert main(["model", "install", str(tmp_path / "3")]) == 0, "the one that runs already is no fault"
    assert main(["model", "rollback"]) == 0
    assert runs() == "4"


def test_a_detector_takes_the_place_of_the_one_in_use(tmp_path: Path) -> None:
    new = made(tmp_path / "faces", "9", of=model_dir(DETECTOR))
    assert main(["model", "install", str(new)]) == 0
    assert (runs(DETECTOR), runs("yunet-160"), active_model(NAME)) == ("9", "1", NAME)
    assert main(["model", "rollback", "detector"]) == 0
    assert runs(DETECTOR) == "1"


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command that must be refused, and check that the old model stays; returns the message."""
    before = runs()
    assert main(["model", *words]) == 2
    assert runs() == before
    out, error = capsys.readouterr()
    assert out == ""
    assert not list(models_folder().glob(".coming-*"))
    return error


def test_what_is_not_whole_is_refused_and_the_old_one_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = made(tmp_path / "damaged", "2")
    content = bytearray((damaged / MODEL_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (damaged / MODEL_FILE).write_bytes(content)
    assert "its SHA-256 is" in refused(capsys, "install", str(damaged))
    assert "its SHA-256 is" in refused(capsys, "install", str(packed(damaged, ".zip")))
    (damaged / MODEL_FILE).unlink()
    assert f"{MODEL_FILE} is missing" in refused(capsys, "install", str(damaged))
    (damaged / CARD_FILE).unlink()
    assert f"holds no {CARD_FILE}" in refused(capsys, "install", str(damaged))
    assert "neither by name nor as a folder" in refused(capsys, "install", "emotion-huge")
    text = tmp_path / "notes.zip"
    text.write_text("no archive")
    assert "cannot be read as a model's folder or as a .zip or .tar" in refused(capsys, "install", str(text))
    two = tmp_path / "two.zip"
    with zipfile.ZipFile(two, "w") as archive:
        for name in ("one", "other"):
            archive.write(RELEASED / CARD_FILE, f"{name}/{CARD_FILE}")
    assert f"holds 2 {CARD_FILE}, expected one" in refused(capsys, "install", str(two))
    assert "nothing was installed" in refused(capsys, "rollback")


@pytest.mark.usefixtures("isolated")
def test_what_fails_its_own_test_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "install", str(made(tmp_path / "good", "2"))]) == 0
    capsys.readouterr()
    outputs = json.loads((RELEASED / CARD_FILE).read_text())["outputs"]
    hot = [output | {"temperature": 9.0} for output in outputs]
    other = made(tmp_path / "other", "3", outputs=hot)
    error = refused(capsys, "install", str(other))
    assert f"model {other}: fails its self-test in {choose()}: its output for the " in error
    assert "its card expects" in error


@pytest.mark.usefixtures("isolated")
def test_a_file_that_is_no_network_is_refused_though_its_hash_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "text", "2")
    (folder / MODEL_FILE).write_bytes(b"no flatbuffer at all" * 10)
    content = json.loads((folder / CARD_FILE).read_text()) | {"sha256": sha256_of(folder / MODEL_FILE)}
    (folder / CARD_FILE).write_text(json.dumps(content))
    assert "cannot load it" in refused(capsys, "install", str(folder))


def test_a_model_without_a_self_test_is_seen_to_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "install", str(made(tmp_path / "old", "2", self_test=None))]) == 0
    assert "has no self-test: it was only seen to run" in capsys.readouterr().out
    assert runs() == "2"


def test_only_a_models_files_come_out_of_an_archive(tmp_path: Path, store: Path) -> None:
    new = made(tmp_path / "mine", "2")
    path = packed(new, ".zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{new.name}/run.sh", "true")
        archive.writestr("../outside.md", "Outside")
        archive.writestr(f"{new.name}/LICENSE", "MIT")
    assert main(["model", "install", str(path)]) == 0
    (installed,) = store.glob("emotion-*")
    assert {file.name for file in installed.iterdir()} == {MODEL_FILE, CARD_FILE, "LICENSE"}
    assert not list(tmp_path.rglob("outside.md"))


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_what_is_damaged_on_the_disk_is_passed_over(
    tmp_path: Path, harm: str, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The previous model is used, or if that is damaged too, the released one; each case is logged."""
    for version, expected in (("2", NAME), ("3", "2")):
        assert main(["model", "install", str(made(tmp_path / version, version))]) == 0
        (folder,) = store.glob(f"emotion-*-{version}-*")
        aside = tmp_path / "aside"
        shutil.copytree(folder, aside)
        if harm == "gone":
            shutil.rmtree(folder)
        else:
            (folder / MODEL_FILE).write_bytes(b"x")
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert (active_model(NAME) == NAME) if expected == NAME else (runs() == expected)
        assert "is skipped" in caplog.text
        assert folder.name in caplog.text
        shutil.rmtree(folder, ignore_errors=True)
        shutil.move(aside, folder)
        assert runs() == version
    (store / ACTIVE_FILE).write_text("{")
    caplog.clear()
    assert active_model(NAME) == NAME
    assert "cannot be read: it is damaged" in caplog.text


def test_a_store_that_cannot_be_written_is_an_error_for_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file"))
    assert main(["model", "install", str(RELEASED)]) == 2
    assert f"{tmp_path / 'file' / 'models'} cannot be written" in capsys.readouterr().err


INSTALLS_FOR_EVER = """
import sys
from pathlib import Path
from edge.models.runtime import choose
from edge.model_updates import install as module
from edge.model_updates.self_test import run_self_test
module.check_in_process = run_self_test  # the kill is to hit the store, not the test
print("ready", flush=True)
while True:
    for folder in sys.argv[2:]:
        module.install(Path(folder), {"emotion": sys.argv[1], "detector": ""}, choose())
    module.rollback(sys.argv[1])
"""


def test_a_kill_at_any_moment_leaves_a_whole_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = [made(tmp_path / mark, mark) for mark in ("2", "3")]
    command = [sys.executable, "-c", INSTALLS_FOR_EVER, NAME, *map(str, folders)]
    assert main(["model", "install", str(folders[0])]) == 0
    chance = random.Random(9)
    seen = set()
    for _ in range(4):
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0.05, 0.4))  # the moment is what is varied
            process.send_signal(signal.SIGKILL)
        caplog.clear()
        seen.add(runs())
        assert caplog.text == "", "something was passed over"
    assert seen <= {"2", "3"}
    assert main(["model", "install", str(made(tmp_path / "4", "4"))]) == 0, "the lock of a killed process is no lock"
    assert runs() == "4"
    assert not list(models_folder().glob(".coming-*"))


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


def test_the_running_daemon_takes_up_what_is_installed(tmp_path: Path, broker: Mosquitto) -> None:
    """MQTT reports the new hash, then the old one again after the rollback; a bad model changes nothing."""
    old = read_any_card(RELEASED)
    new = made(tmp_path / "mine", "2.0", name="emotion-mine")
    flags: dict[str, object] = {
        "camera.source": Path("edge/media/clip.mp4").resolve(),
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
        "mqtt.stats_every": 0.5,
    }
    listener = Listener(broker.port)

    def stats_say(card: Card) -> None:
        since = len(listener.messages)
        heard = listener.wait(
            lambda it: it.topic == "stats" and it.payload["model_sha256"] == card.sha256, "stats", since=since
        )
        assert heard.payload["model"] == card.name
        listener.wait(lambda it: it.topic == "faces", "faces after it", since=since)

    log = tmp_path / "log"
    try:
        with running(log, flags, STATE_DIRECTORY=os.environ["STATE_DIRECTORY"]) as process:
            stats_say(old)
            bad = made(tmp_path / "bad", "3", sha256="0" * 64)
            assert main(["model", "install", str(bad)]) == 2
            assert main(["model", "install", str(new)]) == 0
            stats_say(read_any_card(new))
            assert main(["model", "rollback"]) == 0
            stats_say(old)
            other = made(tmp_path / "other", "4", outputs=reordered())
            assert main(["model", "install", str(other)]) == 0
            wait_until(lambda: "4 has other labels" in log.read_text(), "a word on the labels")
            stats_say(old)
            assert process.poll() is None
    finally:
        listener.close()
    text = log.read_text()
    assert f"model: emotion-mine 2.0, {sha256_of(new / MODEL_FILE)[:12]}, in place of {old.name}" in text
    assert "Traceback" not in text


def reordered() -> list[dict[str, object]]:
    """Return the outputs of the released model with their labels in another order."""
    outputs = json.loads((RELEASED / CARD_FILE).read_text())["outputs"]
    return [output | {"labels": sorted(output["labels"], reverse=True)} for output in outputs]


def test_a_label_that_is_not_safe_to_publish_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = json.loads((RELEASED / CARD_FILE).read_text())["outputs"]
    unknown = [output | {"labels": ["cross!", *output["labels"][1:]]} for output in outputs]
    assert "'cross!' cannot be a label (a letter, then at most 31 letters" in refused(
        capsys, "install", str(made(tmp_path / "other", "2", outputs=unknown))
    )


@pytest.mark.parametrize("name", ["yunet-160", "yunet-320", "yunet-640", NAME])
def test_every_released_model_passes_its_own_test(name: str) -> None:
    assert run_self_test(model_dir(name), choose())


def test_a_model_that_says_something_else_fails(tmp_path: Path) -> None:
    content = json.loads((model_dir(DETECTOR) / CARD_FILE).read_text())
    content["self_test"]["expected"][1][0] += 0.2
    with pytest.raises(EmotionEdgeError, match="output for the frowning face is"):
        run_self_test(made(tmp_path / "x", "2", of=model_dir(DETECTOR), self_test=content["self_test"]), choose())
