"""No image leaves the board unless a setting allows it: every byte that the daemon sends is searched."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.reading import Image
from tests.support.board_network import BROKER, OUTSIDE, PAGE, PASSWORD, SERVER, images_in, noisy
from tests.support.samples import picture

ON_NETWORK = {"web.host": "0.0.0.0", "web.password": PASSWORD}


def namespaces() -> bool:
    """Return True if a process may create network namespaces on this machine."""
    tools = all(map(shutil.which, ("unshare", "nsenter", "ip", "mosquitto")))
    return tools and subprocess.run(("unshare", "-rn", "true"), capture_output=True, check=False).returncode == 0


@pytest.fixture
def watched(tmp_path: Path, astronaut: Image) -> Any:
    """Function that runs a case and returns what left the board."""
    if not namespaces():
        pytest.skip("network namespaces cannot be made here (Debian: util-linux, iproute2, mosquitto)")

    def run(server: bool = False, **flags: object) -> dict[str, Any]:
        image, case, out = (tmp_path / name for name in ("camera.png", "case.json", "out.json"))
        cv2.imwrite(str(image), noisy(np.asarray(cv2.resize(astronaut, (640, 640)), np.uint8)))
        named = {name.replace("__", "."): value for name, value in flags.items()}
        case.write_text(json.dumps({"image": str(image), "flags": named, "server": server}))
        command = ("unshare", "-rn", sys.executable, "-m", "tests.support.board_network", str(case), str(out))
        done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
        logs = "\n".join(file.read_text() for file in tmp_path.glob("*") if file.name in ("daemon", "serve"))
        assert done.returncode == 0, f"{done.stderr[-2000:]}\n{logs[-3000:]}"
        return dict(json.loads(out.read_text()))

    return run


def test_by_default_no_image_leaves_and_the_page_is_for_the_board_alone(watched: Any, tmp_path: Path) -> None:
    seen = watched(record__enabled="true", record__file=str(tmp_path / "record.sqlite3"))
    assert seen["answered"] == []
    assert {"status", "state", "faces", "stats", "event"} <= set(seen["topics"])
    assert "snapshot" not in seen["topics"]
    assert seen["bytes"][str(BROKER)] > 2000
    assert not any(seen["found"].values()), seen["found"]


def test_a_page_on_the_network_without_images_sends_none(watched: Any) -> None:
    seen = watched(**{name.replace(".", "__"): value for name, value in ON_NETWORK.items()}, web__images="false")
    assert {"/", "/latest.json", "/events", "/words.json"} <= set(seen["answered"])
    assert "/stream" not in seen["answered"]
    assert not any(seen["found"].values()), seen["found"]


def test_a_page_on_the_network_sends_its_stream_and_the_broker_nothing(watched: Any) -> None:
    """Proves that the search finds images if they are sent."""
    seen = watched(**{name.replace(".", "__"): value for name, value in ON_NETWORK.items()})
    assert {"/stream", "/latest.jpg"} <= set(seen["answered"])
    assert seen["found"][str(PAGE)] == ["JPEG"]
    assert seen["found"][str(BROKER)] == []


def test_a_snapshot_that_is_asked_for_goes_to_the_broker_alone(watched: Any) -> None:
    seen = watched(mqtt__snapshots="true")
    assert "snapshot" in seen["topics"]
    assert seen["found"] == {str(BROKER): ["JPEG"]}


def test_a_server_gets_faces_and_nobody_else_does(watched: Any) -> None:
    url = f"http://{OUTSIDE}:{SERVER}/v1/models/emotion-small"
    seen = watched(server=True, emotion__server=url, emotion__server_token=PASSWORD)
    assert seen["predicts"] > 0
    assert seen["found"].get(str(BROKER)) == []


@pytest.mark.parametrize("kind", [".jpg", ".png", ".webp"])
def test_the_search_finds_encoded_images(kind: str) -> None:
    frame = noisy(picture())
    encoded = cv2.imencode(kind, frame)[1].tobytes()
    assert images_in(b"header" + encoded + b"trailer", frame)
    assert images_in(encoded, noisy(picture(seed=3)))


def test_the_search_finds_raw_pixels_and_nothing_in_text() -> None:
    frame = noisy(picture())
    assert "raw BGR pixels" in images_in(b"x" + frame.tobytes(), frame)
    assert "raw RGB pixels" in images_in(np.ascontiguousarray(frame[..., ::-1]).tobytes(), frame)
    assert "raw grey pixels" in images_in(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).tobytes(), frame)
    assert images_in(json.dumps({"emotion": "happy", "box": [1.5, 2, 3, 4]}).encode() * 1000, frame) == []
