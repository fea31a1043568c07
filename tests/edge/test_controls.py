"""Switches: received from a real broker, applied between two frames, and kept over a restart."""

import json
import logging
import random
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from edge import controls as module
from edge.controls import Controls, Switches, switches_file
from edge.media import CLIP
from edge.outputs.drawing.jpeg import privacy_card
from edge.outputs.mqtt.outbox import Outbox
from tests.support.broker import Mosquitto, Subscriber
from tests.support.daemon import DEVICE, free_port, running, wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.publishing import connected, publishing, settings_for
from tests.support.samples import face, frame, picture, reading

BASE = f"emotion/{DEVICE}"


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.mark.parametrize(
    ("control", "payload", "wanted"),
    [
        ("detection", b"OFF", Switches(detection=False)),
        ("detection", b"on", Switches()),
        ("privacy", b"ON", Switches(privacy=True)),
        ("privacy", b" On\n", Switches(privacy=True)),
    ],
)
def test_a_switch_is_on_or_off(control: str, payload: bytes, wanted: Switches) -> None:
    controls = Controls()
    controls.handle(control, payload)
    assert controls.wanted == wanted


@pytest.mark.parametrize("control", ["detection", "privacy", "snapshot"])
@pytest.mark.parametrize("payload", [b"", b"1", b"ON OFF", b"\xff\xfe", b'{"state": "ON"}', b"x" * 100_000])
def test_anything_else_is_ignored_with_one_short_line(
    control: str, payload: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    controls = Controls(snapshots=True)
    controls.handle(control, payload)
    assert controls.wanted == Switches()
    assert not controls.take_snapshot()
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"{control}/set: ")
    assert len(line) < 200


def test_a_snapshot_is_asked_for_only_where_it_may_be(caplog: pytest.LogCaptureFixture) -> None:
    for allowed in (True, False):
        controls = Controls(snapshots=allowed)
        controls.handle("snapshot", b"PRESS")
        assert controls.take_snapshot() is allowed
        assert not controls.take_snapshot()
        assert ("snapshot" in controls.names) is allowed
    assert len(caplog.records) == 1


def test_switches_outlast_a_restart_and_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    memory = tmp_path / "new" / "folder" / "controls.json"
    assert Controls(memory).wanted == Switches()
    Controls(memory).switch("privacy", True)
    again = Controls(memory)
    assert again.wanted == Switches(privacy=True)
    assert "privacy: on, as it was left" in caplog.text
    again.switch("privacy", False)
    assert Controls(memory).wanted == Switches()
    assert [path.name for path in memory.parent.iterdir()] == ["controls.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"detection": true, "privacy": "no"}', "\0\0\0\0"])
def test_a_broken_memory_means_privacy(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    memory = tmp_path / "controls.json"
    memory.write_text(content)
    controls = Controls(memory)
    assert controls.wanted.privacy
    assert str(memory) in caplog.text
    controls.switch("privacy", False)
    assert Controls(memory).wanted == Switches()


def test_without_a_place_to_keep_them_privacy_goes_on_unacknowledged_and_nothing_else_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_S", (0.05, 0.05))
    (folder := tmp_path / "state").touch()  # a file where the folder should be
    controls, acknowledged = Controls(folder / "controls.json"), list[Switches]()
    controls.applied(controls.wanted)
    controls.add_listener(acknowledged.append)
    controls.switch("detection", False)
    assert controls.wanted == Switches()
    assert "detection: stays as it is" in caplog.text
    assert acknowledged == [Switches()] * 2, "who asked is told that nothing changed"
    controls.switch("privacy", True)
    controls.applied(controls.wanted)
    assert controls.wanted == Switches(privacy=True)
    assert acknowledged == [Switches()] * 2
    folder.unlink()
    wait_until(lambda: acknowledged[-1] == Switches(privacy=True), "the acknowledgement, once it is written")
    assert Controls(folder / "controls.json").wanted == Switches(privacy=True)


FULL_DISK = """
import sys
from pathlib import Path
from edge.controls import Controls, Switches

file = Path(sys.argv[1]) / "controls.json"
controls, acknowledged = Controls(file), []
controls.applied(controls.wanted)
controls.add_listener(acknowledged.append)
try:
    with (file.parent / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(512)):
            pass
except OSError:
    pass
for name, on in (("privacy", True), ("detection", False), ("privacy", False), ("privacy", True)):
    controls.switch(name, on)
    controls.applied(controls.wanted)
    assert acknowledged[-1] == controls.wanted == Controls(file).wanted, name
assert controls.wanted == Switches(detection=False, privacy=True)
try:
    (file.parent / "more").write_bytes(bytes(5000))
except OSError:
    sys.exit(7)
"""


def test_on_a_full_disk_every_acknowledged_switch_outlasts_a_restart(tmp_path: Path) -> None:
    """Tested on a file system of 64 kB, in a mount namespace of its own."""
    mount = ["unshare", "-Urm", "sh", "-c", f'mount -t tmpfs -o size=64k tmpfs {tmp_path} && exec "$@"', "sh"]
    if subprocess.run([*mount, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets us mount no file system")
    done = subprocess.run([*mount, sys.executable, "-c", FULL_DISK, str(tmp_path)], timeout=60)
    assert done.returncode == 7, "the disk was full, and every switch was kept"


SWITCHING = """
import sys
from pathlib import Path
from edge.controls import Controls

controls = Controls(Path(sys.argv[1]))
for step in range(1_000_000):
    name = ("privacy", "detection")[step % 2]
    controls.switch(name, not getattr(controls.wanted, name))
    controls.applied(controls.wanted)
    print(int(controls.wanted.detection), int(controls.wanted.privacy), flush=True)
"""


def test_a_kill_at_any_moment_loses_no_acknowledged_switch(tmp_path: Path) -> None:
    file, draw = tmp_path / "controls.json", random.Random(3)
    cycle = [(True, False), (True, True), (False, True), (False, False)]
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", SWITCHING, file], stdout=subprocess.PIPE, text=True) as switching:
            assert switching.stdout
            for _ in range(draw.randint(1, 40)):
                acknowledged = switching.stdout.readline()
            switching.kill()
            acknowledged = (switching.stdout.read().splitlines() or [acknowledged])[-1]
        detection, privacy = (bool(int(digit)) for digit in acknowledged.split())
        following = cycle[(cycle.index((detection, privacy)) + 1) % 4]
        kept = Controls(file).wanted
        assert (kept.detection, kept.privacy) in ((detection, privacy), following)
        Controls(file).switch("detection", True)
        Controls(file).switch("privacy", False)


def named(device: str) -> Controls:
    """Open the controls of a device as at its start."""
    return Controls(switches_file(device), device=device)


def test_a_service_stays_switched_off_when_it_is_renamed_there_and_back() -> None:
    assert named("raspberrypi").former_devices == ()
    renamed = named("kitchen")
    assert renamed.former_devices == ("raspberrypi",)
    assert named("kitchen").former_devices == ()
    renamed.switch("privacy", True)
    back = named("raspberrypi")
    assert (back.wanted, back.former_devices) == (Switches(privacy=True), ("kitchen",))


def test_devices_in_a_user_s_folder_have_their_own_and_a_new_one_is_the_most_private(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert switches_file("hall") == tmp_path / "emotion-edge" / "controls-hall.json"
    hall = named("hall")
    door = named("door")
    hall.switch("privacy", True)
    door.switch("detection", False)
    assert (named("hall").wanted, named("door").wanted) == (Switches(privacy=True), Switches(detection=False))
    caplog.clear()
    new = named("porch")
    assert new.wanted == Switches(detection=False, privacy=True)
    assert new.former_devices == ("door", "hall")
    assert "privacy: on, as it was left" in caplog.text
    hall.switch("privacy", False)
    assert named("porch").wanted.privacy


@pytest.mark.parametrize("content", ["{", '{"detection": true, "privacy": false}'])
def test_a_renamed_device_beside_a_memory_of_before(tmp_path: Path, content: str) -> None:
    """The stored switches are files of earlier versions, or truncated by a power cut."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "controls-raspberrypi.json").write_text(content)
    assert named("kitchen").wanted.privacy is (content == "{")


def test_a_renamed_daemon_stays_off_and_says_what_the_broker_still_holds(tmp_path: Path) -> None:
    named("raspberrypi").switch("privacy", True)
    log = tmp_path / "log"
    flags = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": free_port(), "web.enabled": "false"}
    with running(log, flags):
        wait_until(lambda: "forget --mqtt.device_id raspberrypi" in log.read_text(), "what to type")
    assert "privacy: on, as it was left" in log.read_text()


def test_a_retained_command_is_not_obeyed(broker: Mosquitto, caplog: pytest.LogCaptureFixture) -> None:
    controls = Controls()
    with Subscriber(broker.port) as other:
        other.publish("emotion/board-1/privacy/set", "ON", retain=True)
        with publishing(broker.port, controls):
            wait_until(lambda: "retained" in caplog.text, "the warning")
            other.publish("emotion/board-1/detection/set", "OFF")
            wait_until(lambda: controls.wanted == Switches(detection=False), "the command that is not")


def test_privacy_takes_back_a_picture_that_waits() -> None:
    shown = frame(1, picture())
    for privacy, sent in ((False, 1), (True, 0)):
        outbox = Outbox(settings_for(1883))
        outbox.on_connected()
        assert outbox.picture(shown, reading((), shown))
        outbox.switched(Switches(privacy=privacy))
        outgoing = list(iter(outbox.next, None))
        assert sum(message.topic.endswith("/snapshot") for message in outgoing) == sent


def test_a_picture_is_sent_once_unretained(broker: Mosquitto) -> None:
    controls = Controls(snapshots=True)
    with Subscriber(broker.port) as ear, publishing(broker.port, controls) as output:
        connected(output)
        shown = frame(1, picture())
        output.picture(shown, reading([face(1)], shown))
        ear.wait(lambda: bool(ear.of("/snapshot")), "the picture")
        (message,) = ear.of("/snapshot")
        assert (message.retain, message.qos) == (False, 0)
        image = cv2.imdecode(np.frombuffer(message.payload, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == shown.image.shape


def test_a_card_has_the_size_of_the_picture_and_says_what_it_is() -> None:
    for width, height in ((640, 480), (160, 120), (1920, 1080), (480, 640)):
        card = privacy_card(width, height)
        assert card.shape == (height, width, 3)
        assert len(np.unique(card)) > 2


def test_detection_off_keeps_the_camera_and_says_that_nobody_looks(tmp_path: Path, broker: Mosquitto) -> None:
    port = free_port()
    flags = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "web.port": port}
    with Subscriber(broker.port) as ear, running(tmp_path / "log", flags):
        ear.wait(lambda: ear.texts("/detection/state") == ["ON"], "the switch's state")
        ear.wait(lambda: any(state["faces"] for state in ear.contents(f"{DEVICE}/state")), "a face")
        ear.publish(f"{BASE}/detection/set", "OFF")
        ear.wait(lambda: ear.texts("/detection/state")[-1] == "OFF", "word that it is off")
        ear.wait(lambda: not ear.contents(f"{DEVICE}/state")[-1]["watching"], "a state that says so")
        state = ear.contents(f"{DEVICE}/state")[-1]
        assert (state["emotion"], state["faces"], state["camera"]) == (None, 0, "online")
        ear.forget()
        first = page_json(port, "/latest.json")["sequence"]
        wait_until(lambda: page_json(port, "/latest.json")["sequence"] > first + 5, "frames that go on")
        assert page_json(port, "/latest.json")["faces"] == []
        assert ear.of("/faces") == []
        assert ear.of("/event") == []
        ear.publish(f"{BASE}/detection/set", "maybe")
        ear.publish(f"{BASE}/detection/set", "ON")
        ear.wait(lambda: ear.texts("/detection/state")[-1:] == ["ON"], "word that it is on")
        ear.wait(lambda: any(message["faces"] for message in ear.contents("/faces")), "a face again")
    assert (tmp_path / "log").read_text().count("is ignored") == 1


def test_privacy_lets_the_camera_go_and_shows_a_card_and_outlasts_a_restart(tmp_path: Path, broker: Mosquitto) -> None:
    port = free_port()
    with MjpegServer([picture(seed=1)]) as camera, Subscriber(broker.port) as ear:
        flags = {
            "camera.source": camera.url,
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
            "web.port": port,
            "mqtt.snapshots": "true",
        }
        with running(tmp_path / "log", flags):
            ear.wait(lambda: bool(ear.of("/faces")), "a frame")
            ear.publish(f"{BASE}/snapshot/set", "PRESS")
            ear.wait(lambda: len(ear.of("/snapshot")) == 1, "a picture")
            ear.publish(f"{BASE}/privacy/set", "ON")
            ear.wait(lambda: ear.texts("/privacy/state")[-1] == "ON", "word that it is on")
            wait_until(lambda: camera.watchers == 0, "the camera to see that nobody looks")
            ear.wait(
                lambda: ear.contents(f"{DEVICE}/state")[-1]["camera"] == "off: privacy is on", "a state that says so"
            )
            seen = camera.clients
            ear.forget()
            ear.publish(f"{BASE}/snapshot/set", "PRESS")
            wait_until(lambda: "snapshot: none is taken" in (tmp_path / "log").read_text(), "the refusal")
            shown = page_picture(port)
            assert np.abs(shown.astype(int) - privacy_card(640, 480)).mean() < 8
            assert page_json(port, "/healthz")["status"] == "ok"
            assert page_json(port, "/latest.json")["faces"] == []
            assert ear.of("/faces") == []
        with running(tmp_path / "log2", flags):
            ear.wait(lambda: ear.texts("/privacy/state") == ["ON"], "the switch as it was left")
            wait_until(lambda: page_picture(port).mean() < 60, "the card")
            assert camera.clients == seen, "the camera was not opened"
            ear.publish(f"{BASE}/privacy/set", "OFF")
            ear.wait(lambda: bool(ear.of("/faces")), "a frame again")
            assert ear.texts("/privacy/state") == ["ON", "OFF"]
            assert ear.of("/snapshot") == []


def page_json(port: int, path: str) -> Any:
    """Request a path of the live page; returns the parsed JSON."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.load(answer)


def page_picture(port: int) -> npt.NDArray[np.uint8]:
    """Read the next picture of the live page's stream."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/stream.mjpg", timeout=10) as stream:
        data = b""
        while data.count(b"--frame") < 2:
            data += stream.read1(65536)
    start = data.index(b"\r\n\r\n") + 4
    image = cv2.imdecode(np.frombuffer(data[start:], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(image, np.uint8)
