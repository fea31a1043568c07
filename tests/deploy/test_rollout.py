"""Rollouts over many boards: canaries, the stop after failures, the summary, and dry runs."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.boards import rollout
from deploy.boards.facts import Board
from deploy.boards.host_settings import HostSettings, archive, read_host_settings, refuse_shared_ids, settings_diff
from deploy.boards.inventory import Host, choose_hosts, read_inventory
from deploy.boards.parallel import Report
from deploy.boards.rollout import Plan, roll_out
from deploy.boards.status import _line, _status_of
from edge.errors import EmotionEdgeError


class Boards:
    """Imitated boards, some of which fail, and the order in which they were pushed to."""

    def __init__(self, failing: set[str]) -> None:
        self.failing = failing
        self.pushed: list[str] = []

    def push(
        self, host: Host, _package: object, _settings: HostSettings, _timeout: int, report: Report, *_: Any
    ) -> bool:
        self.pushed.append(host.name)
        if host.name in self.failing:
            raise EmotionEdgeError("cannot be reached")
        report("ok 2")
        return True


class NoPackages:
    def __init__(self, _given: Path | None) -> None: ...
    def of(self, _host: Host, _options: tuple[str, ...]) -> None: ...


def run(names: str, failing: str, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[str]]:
    boards = Boards(set(failing.split()))
    monkeypatch.setattr(rollout, "push", boards.push)
    monkeypatch.setattr(rollout, "Packages", NoPackages)
    monkeypatch.setattr("deploy.boards.parallel._PARALLEL", 1)
    return roll_out([Host(name, name) for name in names.split()], None, plan), boards.pushed


def test_a_failing_canary_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("b a c", "b", Plan(canary=1), monkeypatch) == (False, ["b"])
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "0 of 3 boards succeeded:",
        "  b  failed: cannot be reached",
        "  a  skipped: a canary failed",
        "  c  skipped: a canary failed",
    ]


def test_after_healthy_canaries_all_others_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("b a c", "", Plan(canary=2), monkeypatch) == (True, ["b", "a", "c"])
    assert run("b a", "", Plan(canary=9), monkeypatch) == (True, ["b", "a"])


def test_after_too_many_failures_no_further_board_is_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("a b c d e", "a c", Plan(max_failures=2), monkeypatch) == (False, ["a", "b", "c"])
    out = capsys.readouterr().out
    assert "1 of 5 boards succeeded:" in out
    assert out.splitlines()[-1] == "  e  skipped after 2 failures"


def test_groups_choose_boards_of_the_inventory(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("boards:\n  a: {host: a, groups: [test]}\n  b: {host: b}\n  c: {host: c, groups: [test, hall]}\n")
    assert [host.name for host in choose_hosts([], file, "test")] == ["a", "c"]
    assert [host.name for host in choose_hosts(["c"], file, "test")] == ["c"]
    with pytest.raises(EmotionEdgeError, match="b is not in the group test"):
        choose_hosts(["b"], file, "test")
    with pytest.raises(EmotionEdgeError, match=r"no board is in the group tset \(groups: hall, test\)"):
        choose_hosts([], file, "tset")


def test_settings_and_files_of_the_inventory_are_checked_and_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_SECRET", "hunter2")
    (tmp_path / "k.yaml").write_text("mqtt: {host: b, username: u, password: {from_env: BROKER_SECRET}}\n")
    (tmp_path / "plain.yaml").write_text("# a comment\nmqtt: {host: b}\n")
    (tmp_path / "secret.txt").write_text("token\n")
    file = tmp_path / "hosts.yaml"
    file.write_text(
        "boards:\n  k: {host: k, config: k.yaml, files: {/etc/emotion-edge/token: secret.txt}}\n"
        "  p: {host: p, config: plain.yaml}\n"
    )
    kitchen, plain = map(read_host_settings, read_inventory(file))
    assert "hunter2" in (kitchen.config or "")
    assert kitchen.files == {"/etc/emotion-edge/token": b"token\n"}
    assert plain.config == "# a comment\nmqtt: {host: b}\n"
    file.write_text("boards: {k: {host: k, files: {/etc/shadow: secret.txt}}}\n")
    with pytest.raises(EmotionEdgeError, match="k: files: /etc/shadow: must be below"):
        read_host_settings(read_inventory(file)[0])


def test_a_dry_run_shows_what_changes_and_no_secret() -> None:
    old = "mqtt: {host: a, password: hunter1}\ncamera: {source: 'rtsp://me:hunter3@cam/'}\nweb: {port: 1}\n"
    new = "mqtt: {host: b, password: hunter2}\ncamera: {source: 'rtsp://me:hunter4@cam/'}\nlog: {level: debug}\n"
    assert settings_diff(old, new) == [
        "camera.source: rtsp://me:***@cam/ -> rtsp://me:***@cam/",
        "log.level: (default) -> debug",
        "mqtt.host: a -> b",
        "mqtt.password: *** -> ***",
        "web.port: 1 -> (default)",
    ]
    assert settings_diff("", "mqtt: {password_file: /etc/p}\n") == ["mqtt.password_file: (default) -> /etc/p"]
    assert settings_diff("not: [yaml", "") == []


def test_two_boards_with_one_device_id_at_one_broker_are_refused() -> None:
    kitchen = HostSettings("mqtt: {host: a, device_id: kitchen}\n", {})
    elsewhere = HostSettings("mqtt: {host: b, device_id: kitchen}\n", {})
    unnamed = HostSettings("mqtt: {host: a}\n", {})
    own = HostSettings(None, {})
    refuse_shared_ids({"k": kitchen, "e": elsewhere, "u": unnamed, "v": unnamed, "o": own, "p": own})
    with pytest.raises(EmotionEdgeError, match=r"^k and h have the same mqtt\.device_id, kitchen: each needs its own$"):
        refuse_shared_ids({"k": kitchen, "h": kitchen})


def test_the_archive_has_files_of_root_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(archive({"/etc/emotion-edge/key": b"secret"}))) as tar:
        (entry,) = tar.getmembers()
    assert (entry.name, entry.mode, entry.uid) == ("files/etc/emotion-edge/key", 0o600, 0)


def board(service: str = "active", **daemon: Any) -> Board:
    return Board("arm64", "trixie", "1.0", "1.0", 1, 2 << 20, service, "inactive", True, 90_000, "ok 1.0", daemon)


def test_healthy_means_frames_and_a_connected_broker() -> None:
    good: dict[str, Any] = {
        "fps": 9.5,
        "broker": "connected",
        "camera": "online",
        "model": "emotion-small",
        "temperature": 51.0,
    }
    assert _status_of(board(**good))["healthy"]
    assert _status_of(board(**good | {"broker": None}))["healthy"]
    assert not _status_of(board(**good | {"broker": "connection refused"}))["healthy"]
    assert not _status_of(board(**good | {"fps": 0}))["healthy"]
    assert _status_of(board(**good | {"fps": 0, "watching": False}))["healthy"]
    assert not _status_of(board("failed", **good))["healthy"]
    assert _status_of(board())["healthy"]  # a version without a status file
    assert _line(_status_of(board(**good))) == (
        "1.0, active, emotion-small, camera online, broker connected, 9.5 frames/s, 51 °C, up 1 d, 2.0 GiB free"
    )
    undone = replace(board(**good), result="rolled-back 1.0: no frames are analysed")
    assert _line(_status_of(undone)).endswith("free, last upgrade: rolled-back 1.0: no frames are analysed")
