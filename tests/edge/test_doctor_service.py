"""The doctor's checks of service, page, record, disk and clock, and of the rights of the service's user."""

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edge.commands import doctor_service
from edge.config import RecordSettings, Settings, WebSettings
from edge.system.service_user import hidden_from_service
from tests.support.daemon import free_port


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put a `systemctl` on the path that prints `text`."""
    (program := folder / "systemctl").write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


@pytest.mark.parametrize(
    ("properties", "finding"),
    [
        ("LoadState=not-found\nActiveState=inactive", "note not installed as a service"),
        (
            "LoadState=loaded\nActiveState=active\nStatusText=camera: online; 20.0 frames a second\nNRestarts=0",
            "ok runs; camera: online; 20.0 frames a second",
        ),
        (
            "LoadState=loaded\nActiveState=inactive",
            "note installed, but does not run (sudo systemctl start emotion-edge)",
        ),
        (
            "LoadState=loaded\nActiveState=failed\nResult=watchdog\nNRestarts=7",
            "fault failed (watchdog), restarted 7 times: `journalctl -u emotion-edge` has the reason",
        ),
    ],
)
def test_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: str, finding: str) -> None:
    systemctl(tmp_path, monkeypatch, properties)
    found = doctor_service.service(Settings())
    assert f"{found.state} {found.text}" == finding


def test_the_page() -> None:
    port = free_port()
    settings = Settings(web=WebSettings(port=port))
    assert "nobody answers" in doctor_service.page(settings).text
    with socket.create_server(("127.0.0.1", port)):
        assert doctor_service.page(settings).state == "ok"
    assert "switched off" in doctor_service.page(Settings(web=WebSettings(enabled=False))).text


def test_the_record(tmp_path: Path) -> None:
    assert doctor_service.record(Settings()).text == "off (record.enabled)"
    path = tmp_path / "kept" / "record.db"
    settings = Settings(record=RecordSettings(enabled=True, file=path))
    assert doctor_service.record(settings).text == f"{path}, not begun yet"
    path.parent.write_text("no folder")
    assert doctor_service.record(settings).state == "fault"
    path.parent.unlink()
    path.parent.mkdir()
    path.write_bytes(bytes(2_000_000))
    assert doctor_service.record(settings).text == f"{path}, 2.0 MB"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"], "it leaves nothing behind"


def test_the_disk_and_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    found = doctor_service.disk(Settings())
    assert found.state in ("ok", "note")
    assert f"MB free at {tmp_path}" in found.text
    monkeypatch.setenv("STATE_DIRECTORY", "/proc/none")
    assert "is made when the service starts" in doctor_service.disk(Settings()).text
    assert doctor_service.clock(Settings()).state in ("ok", "note")


def test_home_folders_are_hidden_from_the_service() -> None:
    assert all(map(hidden_from_service, map(Path, ("/home/pi/ca.pem", "/root/x", "home/pi", "/run/user/1000/x"))))
    assert not any(map(hidden_from_service, map(Path, ("/etc/emotion-edge/x", "/homes/x", "/run/x"))))


def test_root_checks_with_the_rights_of_the_service_s_user() -> None:
    if os.geteuid():
        pytest.skip("only root becomes another user")
    code = (
        "import edge.commands.doctor, edge.commands.check_config, sys\n"
        "from edge.system import service_user\n"
        "service_user.SERVICE_USER = 'nobody'\n"
        "from edge.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "STATE_DIRECTORY"}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        (secret := Path(folder) / "password").write_text("hush\n")
        words = ["check-config", f"--web.password_file={secret}", "--mqtt.ca_file=/root/ca.pem"]
        for mode, readable in ((0o600, False), (0o644, True)):
            secret.chmod(mode)
            done = subprocess.run(
                [sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment, timeout=60
            )
            assert done.returncode == 1, done.stderr
            assert "checked with the rights of the service's user" in done.stderr
            assert (f"web.password_file {secret}: permission denied" in done.stderr) is not readable
            assert "ca.pem: the service sees no home folders" in done.stderr
