"""The daemon as a service: it runs as a process, and notifies a real socket in systemd's place."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from edge.cameras.camera import Picture
from edge.cameras.capture import Capture
from edge.config import CameraSettings, Settings
from edge.config.reload import Reloader, merged
from edge.controls import Controls
from edge.daemon.loop import Components, Daemon
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.faces.detector import Detector, open_detector
from edge.media import CLIP
from edge.models.runtime import choose
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Detection, Image
from edge.system.systemd import Notifier
from tests.support.daemon import free_port, running, wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.samples import picture


class Manager:
    """The service manager's end of the notification socket. heard: every message, in order."""

    def __init__(self, address: str) -> None:
        self.heard: list[str] = []
        self.address = address
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        while message := self._socket.recv(4096):
            with self._changed:
                self.heard += message.decode().splitlines()
                self._changed.notify_all()

    def wait(self, matches: Callable[[str], bool], what: str, since: int = 0, timeout: float = 30) -> str:
        """Return the first matching message from index `since` on; fails the test if none arrives in time."""

        def found() -> str | None:
            return next((said for said in self.heard[since:] if matches(said)), None)

        with self._changed:
            said = self._changed.wait_for(found, timeout)
        assert said is not None, f"no {what} within {timeout} s; heard {self.heard[since:][-10:]}"
        return said

    def signs(self, count: int) -> None:
        """Wait for `count` more watchdog messages."""
        with self._changed:
            since = len(self.heard)
            assert self._changed.wait_for(lambda: self.heard[since:].count("WATCHDOG=1") >= count, 30)

    def quiet(self, seconds: float) -> bool:
        """Return True if no watchdog message arrives for `seconds`."""
        with self._changed:
            since = len(self.heard)
            return not self._changed.wait_for(lambda: "WATCHDOG=1" in self.heard[since:], seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", "\0" + self.address[1:] if self.address.startswith("@") else self.address)
        self._thread.join()
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with Manager(str(tmp_path / "notify")) as manager:
        yield manager


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@contextmanager
def managed(
    tmp_path: Path, manager: Manager, flags: Mapping[str, object], watchdog: float = 1.0
) -> Iterator[subprocess.Popen[bytes]]:
    """Context manager: runs the daemon as a service with a watchdog interval in seconds."""
    with running(
        tmp_path / "log", flags, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC=str(int(watchdog * 1e6))
    ) as daemon:
        yield daemon


def test_ready_then_signs_of_life_until_stopped_and_a_goodbye(tmp_path: Path, manager: Manager) -> None:
    with managed(tmp_path, manager, {"camera.source": CLIP}) as daemon:
        manager.wait(lambda said: said == "READY=1", "word that it is ready")
        manager.wait(lambda said: said.startswith("STATUS=camera: online"), "status")
        manager.signs(3)
        daemon.send_signal(signal.SIGSTOP)
        time.sleep(0.1)  # messages sent before
        assert manager.quiet(1.5), "a stopped process gives no sign of life"
        daemon.send_signal(signal.SIGCONT)
        manager.signs(2)
        daemon.terminate()
        manager.wait(lambda said: said == "STOPPING=1", "goodbye")
        assert daemon.wait(timeout=5) == 0
    assert manager.heard.count("READY=1") == 1


def test_a_missing_camera_and_privacy_are_no_faults(tmp_path: Path) -> None:
    address = f"@emotion-edge-{os.getpid()}"
    with Manager(address) as manager, managed(tmp_path, manager, {"camera.source": "/dev/video97"}):
        manager.wait(lambda said: said == "READY=1", "word that it is ready")
        said = manager.wait(lambda said: said.startswith("STATUS=camera: no picture"), "the camera's absence")
        assert "/dev/video97: not there" in said
        manager.signs(3)
    (memory,) = tmp_path.rglob("controls*.json")
    memory.write_text('{"detection": true, "privacy": true}')
    with Manager(address) as manager, managed(tmp_path, manager, {"camera.source": CLIP}):
        manager.wait(lambda said: said == "READY=1", "word that it is ready")
        manager.wait(lambda said: said == "STATUS=camera: off: privacy is on", "status")
        manager.signs(3)


def test_a_camera_that_sends_nothing_does_not_hold_up_the_end(tmp_path: Path, manager: Manager) -> None:
    with MjpegServer([picture()]) as camera, managed(tmp_path, manager, {"camera.source": camera.url}) as daemon:
        manager.wait(lambda said: said == "READY=1", "word that it is ready")
        camera.freeze()
        daemon.terminate()
        assert daemon.wait(timeout=4) == 0


class Halting:
    """A detector, or a camera, that hangs while a test lets it."""

    name = "camera test"
    lossless = False
    size = (320, 256)

    def __init__(self, detector: Detector | None = None) -> None:
        self.going = threading.Event()
        self.going.set()
        self._closed = threading.Event()
        self._detector = detector

    def detect(self, image: Image) -> list[Detection]:
        self.going.wait()
        assert self._detector
        return self._detector.detect(image)

    def read(self) -> Picture | None:
        self.going.wait()
        if self._closed.wait(0.02):
            return None
        return Picture(picture(320, 240), time.monotonic())

    def skip(self) -> bool:
        return self.read() is not None

    def close(self) -> None:
        self._closed.set()


@contextmanager
def daemon_of(manager: Manager, camera: Halting, detector: Halting | None = None) -> Iterator[None]:
    """Context manager: runs the analysis loop with this camera and detector in this process."""
    settings, runtime = Settings(), choose()
    pipeline: Pipeline = open_pipeline(settings, runtime)
    if detector:
        pipeline.change(settings, detector)
    stop = threading.Event()
    notifier = Notifier({"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "400000"})
    capture = Capture(CameraSettings(source="/dev/video97"), camera, patience=0.5)
    parts = Components(
        capture, pipeline, Meter(pipeline.card, runtime), [], [], [], Controls(), Pacer(settings.pace), notifier
    )
    daemon = Daemon(parts, 10.0, stop)
    daemon.start()
    try:
        yield
    finally:
        camera.going.set()
        if detector:
            detector.going.set()
        daemon.close()


def test_an_analysis_that_hangs_starves_the_watchdog(manager: Manager) -> None:
    detector = Halting(open_detector(Settings().detector, choose(), 1))
    with daemon_of(manager, Halting(), detector):
        manager.signs(3)
        detector.going.clear()
        time.sleep(0.2)  # the current frame is finished
        assert manager.quiet(1.0)
        detector.going.set()
        manager.signs(2)


def test_a_camera_that_hangs_starves_the_watchdog(manager: Manager, caplog: pytest.LogCaptureFixture) -> None:
    camera = Halting()
    with daemon_of(manager, camera):
        manager.signs(3)
        camera.going.clear()
        wait_until(lambda: "does not return" in caplog.text, "word of it")
        assert manager.quiet(1.0)
        camera.going.set()
        manager.signs(2)


@pytest.mark.parametrize(
    ("environment", "period"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid() + 1)}, None),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_how_often_the_manager_wants_a_sign_of_life(environment: dict[str, str], period: float | None) -> None:
    assert Notifier(environment).watchdog == period


def test_without_a_manager_or_with_one_that_went_nothing_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Notifier({}).ready()
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.ready()
    gone.status("well")
    assert caplog.text.count("cannot be reached") == 1


def test_what_can_change_is_a_setting_and_the_rest_stays_as_it_runs() -> None:
    running = Settings.model_validate({"mqtt": {"port": 1000, "faces_rate": 5}})
    wanted = Settings.model_validate({"mqtt": {"port": 2000, "faces_rate": 7}, "log": {"level": "debug"}})
    settings, applied, left = merged(running, wanted)
    assert (settings.mqtt.port, settings.mqtt.faces_rate, settings.log.level) == (1000, 7, "debug")
    assert (sorted(applied), left) == (["log.level", "mqtt.faces_rate"], ["mqtt.port"])
    assert merged(settings, wanted) == (settings, [], ["mqtt.port"])


def test_a_reload_that_fails_in_whatever_way_is_not_the_last(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    wanted = Settings.model_validate({"log": {"level": "debug"}})
    results: Iterator[Settings | Exception] = iter([PermissionError(13, "closed", "/home/me"), KeyError("x"), wanted])

    def read() -> Settings:
        if isinstance(result := next(results), Exception):
            raise result
        return result

    told: list[Settings] = []
    reloader = Reloader(Settings(), read, Notifier({}))
    reloader.start([told.append])
    try:
        for said in ("nothing is changed: [Errno 13] closed: '/home/me'", "KeyError: 'x'", "applied: log.level"):
            reloader.ask()
            wait_until(lambda said=said: said in caplog.text, said)  # type: ignore[misc]
    finally:
        reloader.close()
    assert told == [wanted]
    assert reloader.settings == wanted


def test_a_reload_that_was_asked_for_during_the_start_is_done_after_it() -> None:
    asked, told = threading.Event(), list[Settings]()
    asked.set()
    wanted = Settings.model_validate({"log": {"level": "debug"}})
    reloader = Reloader(Settings(), lambda: wanted, Notifier({}), asked)
    reloader.start([told.append])
    try:
        wait_until(lambda: told == [wanted], "the reload")
    finally:
        reloader.close()


def test_sighup_during_the_start_ends_nothing(tmp_path: Path, manager: Manager) -> None:
    file, log = tmp_path / "config.yaml", tmp_path / "log"
    file.write_text("log: {level: info}\n")
    with managed(tmp_path, manager, {"camera.source": CLIP, "config": file}) as daemon:
        status = Path(f"/proc/{daemon.pid}/status")
        caught = re.compile(r"^SigCgt:\s*([0-9a-f]+)", re.MULTILINE)
        hangup = 1 << (signal.SIGHUP - 1)
        wait_until(lambda: bool(int(caught.findall(status.read_text())[0], 16) & hangup), "the handler")
        assert not manager.heard
        daemon.send_signal(signal.SIGHUP)
        manager.wait(lambda said: said == "READY=1", "word that it is ready")
        wait_until(lambda: "settings: nothing has changed" in log.read_text(), "the reload")
        assert daemon.poll() is None


def test_settings_are_read_again_on_sighup(tmp_path: Path, manager: Manager) -> None:
    file, log = tmp_path / "config.yaml", tmp_path / "log"
    file.write_text("emotion: {smoothing: 0.5}\n")
    flags = {"camera.source": CLIP, "config": file, "web.port": (port := free_port())}
    with managed(tmp_path, manager, flags) as daemon:
        manager.wait(lambda said: said == "READY=1", "word that it is ready")

        def uncertain() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/latest.json", timeout=20) as answer:
                faces = json.load(answer)["faces"]
            return any(face["emotion"] == "uncertain" and face["confidence"] > 0.6 for face in faces)

        def reload(text: str, expected: str) -> None:
            since = len(manager.heard)
            file.write_text(text)
            daemon.send_signal(signal.SIGHUP)
            manager.wait(lambda said: said == "RELOADING=1", "word that it reads", since)
            moment = manager.wait(lambda said: said.startswith("MONOTONIC_USEC="), "when it began", since)
            assert int(moment.partition("=")[2]) <= time.monotonic_ns() // 1000
            manager.wait(lambda said: said == "READY=1", "word that it has read", since)
            wait_until(lambda: expected in log.read_text(), expected)

        reload(
            "emotion: {uncertain_below: 1.0, hysteresis: 0}\ndetector: {score: 0.6}\nweb: {enabled: false}\n"
            "pace: {cores: 1}\n",
            "settings: applied: detector.score, emotion.uncertain_below, emotion.hysteresis, pace.cores",
        )
        wait_until(uncertain, "a sterner judge")
        tasks = [int(task.name) for task in Path(f"/proc/{daemon.pid}/task").iterdir()]
        assert {len(os.sched_getaffinity(task)) for task in tasks} == {1}
        assert "settings: web.enabled: changed, but needs a restart" in log.read_text()
        reload("emotion: {smoothing: much}\nmqtt: {port: 0}\n", "settings: nothing is changed: ")
        (line,) = [line for line in log.read_text().splitlines() if "nothing is changed" in line]
        assert "emotion.smoothing" in line
        assert "mqtt.port" in line
        reload("detector: {file: /nowhere}\n", "/nowhere")
        assert log.read_text().count("settings: nothing is changed: ") == 2
        file.unlink()
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: f"settings file {file}: not there" in log.read_text(), "word that the file is gone")
        manager.signs(2)
        assert daemon.poll() is None
    assert daemon.returncode == 0
