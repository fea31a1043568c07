"""A real Home Assistant with a real broker and the daemon: discovery, states and switches.

Needs an environment made by tests/support/home_assistant.sh, and is skipped without it.
"""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge import __version__
from edge.cli import main
from edge.media import CLIP
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import free_port, running, wait_until
from tests.support.home_assistant import HomeAssistant
from tests.support.serving import SMALL_CARD

INTEGRATIONS = ROOT / "integrations" / "home-assistant"

CONFIGURATION = """
automation: !include automations.yaml
counter:
  stays:
lovelace:
  dashboards:
    emotion-edge:
      mode: yaml
      filename: dashboard.yaml
      title: Emotion Edge
      show_in_sidebar: true
"""

AUTOMATION = """
- id: stays
  alias: stays
  use_blueprint:
    path: emotion-edge/emotion-stays.yaml
    input:
      emotion_sensor: sensor.kitchen_emotion
      emotions: [happy, neutral, sad, angry, surprise, fear, disgust]
      duration:
        milliseconds: 200
      actions:
        - action: counter.increment
          target:
            entity_id: counter.stays
"""


def with_dashboard(folder: Path) -> str:
    """Copy the files of integrations/ into Home Assistant's folder; returns their lines for configuration.yaml."""
    blueprints = folder / "blueprints" / "automation" / "emotion-edge"
    blueprints.mkdir(parents=True)
    shutil.copy(INTEGRATIONS / "emotion-stays.yaml", blueprints)
    shutil.copy(INTEGRATIONS / "dashboard.yaml", folder)
    (folder / "automations.yaml").write_text(AUTOMATION, encoding="utf-8")
    return CONFIGURATION


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


@pytest.fixture(scope="module")
def home(broker: Mosquitto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HomeAssistant]:
    folder = tmp_path_factory.mktemp("home_assistant")
    with HomeAssistant(folder, with_dashboard(folder)) as home:
        home.connect(broker.port)
        yield home


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


def flags(broker: Mosquitto, device: str, **more: object) -> dict[str, object]:
    given = {"camera.source": CLIP, "mqtt.host": "127.0.0.1", "mqtt.port": broker.port, "mqtt.device_id": device}
    return {**given, "mqtt.stats_every": 1, "mqtt.heartbeat": 1, **more}


def test_it_finds_the_device_and_shows_what_the_daemon_sees(
    home: HomeAssistant, broker: Mosquitto, tmp_path: Path
) -> None:
    emotions = {*SMALL_CARD.primary.labels, "uncertain", "nobody"}
    with running(tmp_path / "log", flags(broker, "kitchen")) as daemon:
        home.wait("sensor.kitchen_emotion", *emotions - {"nobody", "uncertain"})
        device = "device_id('sensor.kitchen_emotion')"
        about = home.render(f"{{{{ [device_attr({device}, 'name'), device_attr({device}, 'manufacturer')] }}}}")
        assert about == "['Emotion Edge kitchen', 'Emotion Edge']"
        found = set(home.render(f"{{{{ device_entities({device}) | join(' ') }}}}").split())
        assert found == {
            *(f"sensor.kitchen_{name}" for name in ("emotion", "confidence", "valence", "arousal", "faces")),
            *(f"sensor.kitchen_{name}" for name in ("fps", "latency", "temperature", "model", "camera", "pace")),
            *(f"binary_sensor.kitchen_{name}" for name in ("presence", "throttled")),
            *(f"switch.kitchen_{name}" for name in ("detection", "privacy")),
            *("event.kitchen_event", "update.kitchen_update", "select.kitchen_choose_model"),
        }
        options = home.render("{{ state_attr('sensor.kitchen_emotion', 'options') | join(' ') }}").split()
        assert set(options) == emotions

        home.wait("binary_sensor.kitchen_presence", "on")
        home.wait("sensor.kitchen_model", "emotion-small")
        wait_until(lambda: float(home.state("sensor.kitchen_fps")) > 0, "frames a second")
        wait_until(lambda: float(home.state("sensor.kitchen_latency")) > 0, "a latency")
        assert 0 <= float(home.state("sensor.kitchen_confidence")) <= 100
        assert -1 <= float(home.state("sensor.kitchen_valence")) <= 1
        assert int(home.state("sensor.kitchen_faces")) >= 1
        watching = "{{ state_attr('sensor.kitchen_emotion', 'watching') }}"
        assert home.render(watching) == "True"
        kinds = ("face_appeared", "face_left", "emotion_changed")
        wait_until(
            lambda: home.render("{{ state_attr('event.kitchen_event', 'event_type') }}") in kinds, "an event's kind"
        )
        assert home.state("update.kitchen_update") == "off"
        assert home.render("{{ state_attr('update.kitchen_update', 'installed_version') }}") == __version__
        assert home.state("sensor.kitchen_camera") == "online"
        assert home.state("switch.kitchen_detection") == "on"
        assert home.state("switch.kitchen_privacy") == "off"

        assert home.state("automation.stays") == "on"  # the blueprint is one that it can use
        wait_until(lambda: int(home.state("counter.stays")) > 0, "what the blueprint does when an emotion stays")

        daemon.kill()
        home.wait("sensor.kitchen_emotion", "unavailable")
        home.wait("switch.kitchen_privacy", "unavailable")
    with running(tmp_path / "log2", flags(broker, "kitchen")) as daemon:
        home.wait("binary_sensor.kitchen_presence", "on", "off")
        daemon.send_signal(signal.SIGTERM)
        home.wait("binary_sensor.kitchen_presence", "unavailable")


def test_its_switches_are_the_daemons(home: HomeAssistant, broker: Mosquitto, tmp_path: Path) -> None:
    with running(tmp_path / "log", flags(broker, "hall")):
        home.wait("sensor.hall_emotion", *SMALL_CARD.primary.labels)
        home.act("switch.turn_off", "switch.hall_detection")
        home.wait("switch.hall_detection", "off")
        home.wait("sensor.hall_emotion", "unknown")
        home.wait("binary_sensor.hall_presence", "unknown")
        home.act("switch.turn_on", "switch.hall_detection")
        home.wait("sensor.hall_emotion", *SMALL_CARD.primary.labels)

        home.act("switch.turn_on", "switch.hall_privacy")
        home.wait("switch.hall_privacy", "on")
        camera = "{{ state_attr('sensor.hall_emotion', 'camera') }}"
        wait_until(lambda: home.render(camera) == "off: privacy is on", "the reason")
        assert home.state("sensor.hall_emotion") == "unknown"
        home.act("switch.turn_off", "switch.hall_privacy")
        home.wait("sensor.hall_emotion", *SMALL_CARD.primary.labels)


def test_another_model_is_chosen(home: HomeAssistant, broker: Mosquitto, tmp_path: Path) -> None:
    with running(tmp_path / "log", flags(broker, "porch")):
        home.wait("select.porch_choose_model", "emotion-small")
        options = home.render("{{ state_attr('select.porch_choose_model', 'options') | join(' ') }}").split()
        assert {"emotion-nano", "emotion-small", "emotion-large", "committee"} <= set(options)
        home.act("select.select_option", "select.porch_choose_model", option="emotion-nano")
        home.wait("select.porch_choose_model", "emotion-nano")
        home.wait("sensor.porch_model", "emotion-nano")


def test_a_picture_is_there_when_its_button_was_pressed(home: HomeAssistant, broker: Mosquitto, tmp_path: Path) -> None:
    with running(tmp_path / "log", flags(broker, "door", **{"mqtt.snapshots": "true"})):
        home.wait("sensor.door_emotion", *SMALL_CARD.primary.labels)
        assert home.state("image.door_snapshot") == "unknown"
        home.act("button.press", "button.door_take_snapshot")
        wait_until(lambda: home.state("image.door_snapshot") != "unknown", "the picture")
        image = cv2.imdecode(np.frombuffer(home.picture("image.door_snapshot"), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (480, 640, 3)


def test_the_annotated_stream_is_one_of_its_cameras(home: HomeAssistant, broker: Mosquitto, tmp_path: Path) -> None:
    password, port = tmp_path / "password", free_port()
    password.write_text("open sesame @home")
    password.chmod(0o600)
    given = flags(broker, "hall", **{"web.port": port, "web.password_file": password})
    with running(tmp_path / "log", given):
        home.wait("sensor.hall_emotion", *SMALL_CARD.primary.labels)
        page = f"http://127.0.0.1:{port}"
        content = {"name": "Hall stream", "username": "viewer", "password": "open sesame @home", "verify_ssl": True}
        flow = "/api/config/config_entries/flow"
        step = home.ask(flow, {"handler": "mjpeg"})
        pages = {"mjpeg_url": f"{page}/stream", "still_image_url": f"{page}/latest.jpg"}
        done = home.ask(f"{flow}/{step['flow_id']}", {**content, **pages})
        assert done["type"] == "create_entry", done
        wait_until(lambda: home.state("camera.hall_stream") != "", "the camera")
        image = cv2.imdecode(np.frombuffer(home.picture("camera.hall_stream"), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        assert image.shape == (480, 640, 3)
        moving = home.open("/api/camera_proxy_stream/camera.hall_stream", 65536)
        assert moving.count(b"Content-Type: image/jpeg") >= 1


def test_forget_removes_the_device(home: HomeAssistant, broker: Mosquitto, tmp_path: Path) -> None:
    with running(tmp_path / "log", flags(broker, "attic")):
        home.wait("switch.attic_privacy", "off")
    home.wait("switch.attic_privacy", "unavailable")
    where = ["--mqtt.host", "127.0.0.1", "--mqtt.port", str(broker.port), "--mqtt.device_id", "attic"]
    assert main(["forget", *where]) == 0
    home.wait("switch.attic_privacy", "")
    assert home.render("{{ device_id('switch.attic_privacy') }}") == "None"


def test_the_dashboard_is_one_that_it_can_read(home: HomeAssistant) -> None:
    assert home.command(type="lovelace/config", url_path="emotion-edge")["title"] == "Emotion Edge"


def test_it_found_nothing_wrong_with_what_it_was_told(home: HomeAssistant) -> None:
    complaints = [
        line for line in home.log.splitlines() if "mqtt" in line.lower() and (" WARNING " in line or " ERROR " in line)
    ]
    assert complaints == []
