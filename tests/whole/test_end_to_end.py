"""The whole path: FER-2013 faces in composed frames, through the daemon, to a subscriber of a broker."""

import json
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from jsonschema import Draft202012Validator

from edge.cameras.images import read_image
from edge.config import DetectorSettings, Settings
from edge.emotion.local import LocalClassifier
from edge.faces.crop import cut
from edge.faces.detector import open_detector
from edge.labels import UNCERTAIN
from edge.media import CLIP
from edge.models.released import model_dir
from edge.models.runtime import choose
from edge.reading import Box
from tests.conftest import ROOT
from tests.support.broker import Mosquitto
from tests.support.daemon import Heard, Listener, free_port, running, wait_until
from tests.support.mjpeg import MjpegServer
from tests.support.samples import frontal
from training.synthetic.compose import Scene, read_faces, scenes

SCENES = 60
FRAMES_A_SCENE = 4
FOUND_IOU = 0.4
"""Least intersection over union of a detector's box with the face's square, which is a quarter larger."""

RAW: Final[Mapping[str, object]] = {"emotion.smoothing": 0, "emotion.hysteresis": 0}
"""Settings without smoothing, so that each frame is classified by itself; `uncertain` by default."""


@pytest.fixture(scope="session")
def composed(fer2013_dir: Path, onnx: Path) -> list[Scene]:
    """Frames with faces of 64 to 200 pixels, which OpenCV's float YuNet detects as frontal."""
    reference = open_detector(DetectorSettings(kind="opencv-yunet", file=onnx), choose(), 1)
    chosen = []
    faces = read_faces(fer2013_dir, "PublicTest")
    for scene in scenes(faces, 3 * SCENES, sides=(64, 200), faces_a_scene=(1, 2), seed=5):
        seen = [face for face in reference.detect(scene.image) if frontal(face)]
        if all(any(face.box.iou(box) >= FOUND_IOU for face in seen) for box in scene.boxes):
            chosen.append(scene)
    assert len(chosen) >= SCENES
    return chosen[:SCENES]


@pytest.fixture(scope="session")
def on_known_boxes(composed: list[Scene]) -> list[list[str]]:
    """Emotion of each face by the classifier alone, given the true box."""
    classifier = LocalClassifier(model_dir(Settings().emotion.model), choose())
    card = classifier.card
    found = []
    for scene in composed:
        crops = [cut(scene.image, box, card.input.width, card.input.height, card.crop.colour) for box in scene.boxes]
        best = classifier.classify(np.stack(crops)).probabilities.argmax(axis=1)
        found.append([classifier.labels[label] for label in best])
    return found


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


@contextmanager
def listening(broker: Mosquitto) -> Iterator[Listener]:
    listener = Listener(broker.port)
    try:
        yield listener
    finally:
        listener.close()


def at(broker: Mosquitto) -> dict[str, object]:
    return {"mqtt.host": "127.0.0.1", "mqtt.port": broker.port}


def video(path: Path, frames: list[npt.NDArray[np.uint8]], fps: float) -> Path:
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), fps, (width, height))
    writer.set(cv2.VIDEOWRITER_PROP_QUALITY, 95)
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def judged(heard: Iterable[tuple[Heard, Scene, list[str]]]) -> Counter[str]:
    """Counts over messages, each with its scene and the emotion of each face's own square.

    `faces`; `found`: a box over the square (IoU); `named`: with an emotion that is not `uncertain`; `agreed`: with the
    emotion of the square.
    """
    counts: Counter[str] = Counter()
    for message, scene, expected in heard:
        for square, emotion in zip(scene.boxes, expected, strict=True):
            nobody = {"box": [0, 0, 0, 0], "emotion": UNCERTAIN}
            best = max([nobody, *message.payload["faces"]], key=lambda face: Box(*face["box"]).iou(square))
            found = Box(*best["box"]).iou(square) >= FOUND_IOU
            named = found and best["emotion"] != UNCERTAIN
            counts.update(faces=1, found=found, named=named, agreed=named and best["emotion"] == emotion)
    print(f"\n{dict(counts)}")
    return counts


def validators() -> dict[str, Draft202012Validator]:
    return {
        path.name.removesuffix(".schema.json"): Draft202012Validator(json.loads(path.read_text()))
        for path in (ROOT / "docs" / "schemas").glob("*.schema.json")
    }


def check_schemas(listener: Listener) -> None:
    """Check that every message fits the schema of its topic, and that there was one on each topic."""
    schemas = validators()
    for heard in listener.messages:
        schemas["switch" if heard.topic.endswith("/state") else heard.topic].validate(heard.payload)
    switches = {"detection/state", "privacy/state"}
    assert {heard.topic for heard in listener.messages} == {*schemas, *switches} - {"switch", "discovery"}


def test_a_video_of_known_faces(
    tmp_path: Path, broker: Mosquitto, composed: list[Scene], on_known_boxes: list[list[str]]
) -> None:
    """At least 95% of the faces are found; of those that get an emotion at least 90% get that of the known box."""
    frames = [scene.image for scene in composed for _ in range(FRAMES_A_SCENE)]
    clip = video(tmp_path / "faces.avi", frames, fps=12)
    flags: dict[str, object] = {
        "camera.source": clip,
        "camera.loop": "false",
        "mqtt.host": "127.0.0.1",
        "mqtt.port": broker.port,
    }
    with listening(broker) as listener:
        with running(tmp_path / "log", {**flags, **RAW, "mqtt.faces_rate": 60}) as daemon:
            assert daemon.wait(timeout=90) == 0, (tmp_path / "log").read_text()
        listener.wait(lambda heard: heard.topic == "status" and heard.payload == "offline", "goodbye")

    last_of_scene = {}
    for heard in listener.of("faces"):
        number, within = divmod(heard.payload["sequence"], FRAMES_A_SCENE)
        if within >= 1:  # a face counts from its second frame on
            last_of_scene[number] = heard
    counts = judged((heard, composed[n], on_known_boxes[n]) for n, heard in last_of_scene.items())
    assert len(last_of_scene) >= 0.9 * SCENES
    assert counts["found"] >= 0.95 * counts["faces"]
    assert counts["named"] >= 0.80 * counts["found"]
    assert counts["agreed"] >= 0.90 * counts["named"]
    check_schemas(listener)


def _frame_after(moment: float, heard: Heard) -> bool:
    return heard.topic == "faces" and heard.at > moment


def test_a_network_camera_and_outages_of_camera_and_broker(
    tmp_path: Path, broker: Mosquitto, composed: list[Scene], on_known_boxes: list[list[str]]
) -> None:
    port = free_port()
    with MjpegServer([composed[0].image]) as camera, listening(broker) as listener:
        flags: dict[str, object] = {
            "camera.source": camera.url,
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
            "web.port": port,
        }
        with running(tmp_path / "log", {**flags, **RAW, "mqtt.faces_rate": 60, "mqtt.heartbeat": 1}) as daemon:
            listener.wait(lambda heard: heard.topic == "faces" and bool(heard.payload["faces"]), "face")

            heard = []
            for scene, expected in zip(composed[:12], on_known_boxes, strict=False):
                camera.show([scene.image])
                # A frame of the last scene may still be on its way, and its faces linger: hear the later ones.
                settled = partial(_frame_after, time.time() + 1.2)
                message = listener.wait(settled, "frame of the scene", since=len(listener.messages))
                heard.append((message, scene, expected))
            counts = judged(heard)
            assert counts["found"] >= 0.9 * counts["faces"]
            assert counts["agreed"] >= 0.8 * counts["named"] > 0

            with urllib.request.urlopen(f"http://127.0.0.1:{port}/latest.json", timeout=5) as page:
                assert json.load(page)["faces"]

            camera.stop()
            listener.wait(
                lambda heard: heard.topic == "state" and heard.payload["camera"] != "online",
                "word that the camera is lost",
                len(listener.messages),
            )
            camera.start()
            since = len(listener.messages)
            listener.wait(lambda heard: heard.topic == "faces", "frame after the camera came back", since)

            broker.stop()
            broker.start()
            since = len(listener.messages)
            listener.wait(lambda heard: heard.topic == "faces", "frame after the broker came back", since, 60)
            assert daemon.poll() is None
            check_schemas(listener)


def test_the_will_says_offline_when_the_daemon_is_killed(tmp_path: Path, broker: Mosquitto) -> None:
    with listening(broker) as listener, running(tmp_path / "log", {"camera.source": CLIP, **at(broker)}) as daemon:
        listener.wait(lambda heard: heard.topic == "faces", "frame")
        daemon.kill()
        heard = listener.wait(lambda heard: heard.topic == "status" and heard.payload == "offline", "will")
        assert heard.topic == "status"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_runs_with_nothing_here_and_ends_within_two_seconds(tmp_path: Path, number: signal.Signals) -> None:
    """The demo plays the clip, has a broker and a live page, prints emotions, and ends cleanly on a signal."""
    log, port = tmp_path / "log", free_port()
    flags = {"camera.source": CLIP, "web.port": port, "mqtt.port": free_port()}
    with running(log, flags, "demo") as daemon:
        wait_until(lambda: b"happy" in log.read_bytes() or daemon.poll() is not None, "an emotion on the terminal")
        said = log.read_text()
        assert "emotion/test-board/#" in said
        assert f"http://127.0.0.1:{port}/" in said
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as page:
            assert page.status == 200
        daemon.send_signal(number)
        assert daemon.wait(timeout=2) == 0
    assert "Traceback" not in log.read_text()


def test_snapshot_of_a_picture(tmp_path: Path) -> None:
    from skimage import data

    picture, out = tmp_path / "face.png", tmp_path / "annotated.jpg"
    cv2.imwrite(str(picture), cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR))
    command = [sys.executable, "-m", "edge.cli", "snapshot", "--image", str(picture), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)["faces"]
    assert face["emotion"] == "happy"
    annotated = read_image(out)
    assert annotated.shape == (512, 512, 3)
    assert np.abs(annotated.astype(int) - read_image(picture)).max() > 100


@pytest.mark.parametrize(("name", "content"), [("absent.jpg", None), ("broken.jpg", b"\xff\xd8 no picture")])
def test_snapshot_of_no_picture_is_a_clear_error(tmp_path: Path, name: str, content: bytes | None) -> None:
    picture = tmp_path / name
    if content:
        picture.write_bytes(content)
    command = [
        sys.executable,
        "-m",
        "edge.cli",
        "snapshot",
        "--image",
        str(picture),
        "--out",
        str(tmp_path / "out.jpg"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.jpg").exists()


def test_a_mistyped_file_ends_at_once_with_a_clear_error(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(log, {"camera.source": "holiday.mp4"}) as daemon:
        assert daemon.wait(timeout=30) == 2
    assert "camera holiday.mp4: not there" in log.read_text()
    assert "Traceback" not in log.read_text()
