"""Blurred faces: beyond recognition, in every picture that leaves the analysis, and for a second longer."""

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.cameras.capture import Capture
from edge.cameras.choose import open_camera
from edge.cameras.images import narrowed
from edge.config import CameraSettings, DetectorSettings, DisplaySettings, Settings
from edge.controls import Controls
from edge.daemon.loop import Components, Daemon
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.emotion.classifier import open_classifier
from edge.faces.detector import open_detector
from edge.models.runtime import choose
from edge.outputs.drawing.blur import CELLS, REMEMBER, FaceBlur
from edge.outputs.drawing.jpeg import privacy_card, upload_jpeg_encoder
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Box, Frame, Image, Reading
from edge.system.systemd import Notifier
from tests.support.broker import Mosquitto, Subscriber
from tests.support.daemon import DEVICE, free_port, running, wait_until
from tests.support.samples import face, frame, picture, reading

FACE = Box(240, 140, 150, 180)
BLURRED = Settings(display=DisplaySettings(blur=True))


def noise(width: int = 640, height: int = 480) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def part(image: Image, box: Box) -> Image:
    return image[int(box.y) : int(box.y + box.height), int(box.x) : int(box.x + box.width)]


def colours(image: Image) -> int:
    return len(np.unique(image.reshape(-1, 3), axis=0))


def test_a_face_is_a_few_cells_and_all_else_is_as_it_was() -> None:
    shown = frame(image=noise())
    before = shown.image.copy()
    blurred = FaceBlur()(replace(shown, analysis=shown.image[::2, ::2]), reading([face(box=FACE)], shown))
    assert 2 <= colours(part(blurred.image, FACE)) <= CELLS**2
    assert blurred.analysis is None  # the small picture for the analysis must not leave unblurred
    assert np.array_equal(shown.image, before)
    far = np.s_[:, :150]
    assert np.array_equal(blurred.image[far], before[far])


def test_nothing_but_the_cells_means_is_left_of_a_face() -> None:
    """Two faces whose cells have the same means become the same picture, so that no difference is left."""
    one = noise()
    other = one.copy()
    part(other, Box(0, 0, 640, 480))[:] = one
    seen = reading([face(box=Box(200, 120, 160, 160))], frame(image=one))
    # The blurred square is 240 pixels wide with 4 by 4 cells of 60 by 60 pixels; each cell is turned around.
    for row in range(4):
        for column in range(4):
            cell = np.s_[80 + row * 60 : 140 + row * 60, 160 + column * 60 : 220 + column * 60]
            other[cell] = one[cell][::-1, ::-1]
    assert not np.array_equal(one, other)
    first, second = (FaceBlur()(frame(image=image), seen).image for image in (one, other))
    assert np.array_equal(first, second)


def test_place_of_a_lost_face_stays_hidden_for_a_second() -> None:
    blur = FaceBlur()
    shown = frame(image=noise())
    blur(shown, reading([face(box=FACE)], shown, captured_at=10.0))
    for at, hidden in ((10.3, True), (10 + REMEMBER, True), (10.1 + REMEMBER, False)):
        blurred = blur(shown, reading([], shown, captured_at=at)).image
        assert (colours(part(blurred, FACE)) <= CELLS**2) == hidden


def test_faces_that_do_not_count_are_hidden_too() -> None:
    shown = frame(image=noise())
    blurred = FaceBlur()(shown, replace(reading([], shown), others=(FACE,))).image
    assert colours(part(blurred, FACE)) <= CELLS**2


def test_where_nobody_looks_everything_is_hidden() -> None:
    shown = frame(image=noise())
    off = replace(reading([], shown), analysed=False)
    assert colours(FaceBlur()(shown, off).image) <= 64
    half = FaceBlur((0.5, 0, 0.5, 1))(shown, reading([], shown)).image
    assert colours(half[:, :320]) <= 64
    assert np.array_equal(half[:, 320:], shown.image[:, 320:])


@pytest.mark.parametrize("box", [Box(-80, -80, 60, 60), Box(-30, -30, 60, 60), Box(620, 460, 90, 90), Box(5, 5, 1, 1)])
def test_faces_at_and_beyond_the_edge(box: Box) -> None:
    shown = frame(image=picture())
    assert FaceBlur()(shown, reading([face(box=box)], shown)).image.shape == (480, 640, 3)


def one_portrait(portrait: Image) -> Frame:
    return Frame(portrait, 1.0, 1.0, 1)


@pytest.fixture(scope="module")
def seen(astronaut: Image) -> tuple[Frame, Reading]:
    """A real portrait as a Frame, and its Reading."""
    shown = one_portrait(astronaut)
    found = open_pipeline(Settings(), choose("auto"), confirm=1).analyse(shown)
    assert found.faces
    return shown, found


def bare(image: Image, found: Reading) -> Image:
    """Cut out the middle of the face, over which nothing is drawn."""
    box = found.faces[0].detection.box
    inner = Box(box.x + box.width * 0.2, box.y + box.height * 0.2, box.width * 0.6, box.height * 0.6)
    return part(image, inner)


def unlike(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_no_detector_finds_a_face_in_what_is_left(seen: tuple[Frame, Reading]) -> None:
    blurred = FaceBlur()(*seen)
    sharp = Settings(detector=DetectorSettings(size="640", score=0.3))
    again = open_pipeline(sharp, choose("auto"), confirm=1).analyse(blurred)
    assert not [found for found in again.faces if found.detection.box.iou(seen[1].faces[0].detection.box) > 0.3]


def snapshot_command(portrait: Image, folder: Path, blur: bool) -> Image:
    source, out = folder / "portrait.png", folder / "out.png"
    cv2.imwrite(str(source), portrait)
    words = ["-m", "edge.cli", "snapshot", "--image", str(source), "--out", str(out), "--display.blur", str(blur)]
    told = subprocess.run([sys.executable, *words], check=True, capture_output=True, text=True).stdout
    assert json.loads(told)["faces"]
    return np.asarray(cv2.imread(str(out)), np.uint8)


def test_pictures_of_the_snapshot_command(astronaut: Image, seen: tuple[Frame, Reading], tmp_path: Path) -> None:
    plain, hidden = (bare(snapshot_command(astronaut, tmp_path, blur), seen[1]) for blur in (False, True))
    assert unlike(plain, bare(astronaut, seen[1])) < 1
    assert unlike(hidden, bare(astronaut, seen[1])) > 10
    assert colours(hidden) <= CELLS**2


def decoded(jpeg: bytes | bytearray) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_jpegs_of_pictures_that_are_given_to_the_page(astronaut: Image, seen: tuple[Frame, Reading]) -> None:
    """Annotated JPEGs of uploaded pictures, which come straight from the pipeline, are blurred too."""
    draws: list[Callable[[Frame, Reading], bytes]] = [upload_jpeg_encoder(Settings()), upload_jpeg_encoder(BLURRED)]
    plain, hidden = (bare(decoded(draw(*seen)), seen[1]) for draw in draws)
    assert unlike(plain, bare(astronaut, seen[1])) < 6
    assert unlike(hidden, bare(astronaut, seen[1])) > 10


class Collector:
    """A Viewer and SnapshotListener that keeps the pictures that it gets from the daemon."""

    def __init__(self) -> None:
        self.shown: list[tuple[Frame, Reading]] = []
        self.taken: list[tuple[Frame, Reading]] = []

    def show(self, frame: Frame, reading: Reading) -> None:
        self.shown.append((frame, reading))

    def picture(self, frame: Frame, reading: Reading) -> None:
        self.taken.append((frame, reading))

    def close(self) -> None:
        """Do nothing, as there is nothing to release."""


def test_whatever_the_daemon_hands_out(astronaut: Image, seen: tuple[Frame, Reading], tmp_path: Path) -> None:
    """Pictures for displays, page and broker are blurred from the first frame on, even without viewers."""
    cv2.imwrite(str(tmp_path / "portrait.png"), astronaut)
    camera = CameraSettings(source=str(tmp_path), fps=30)
    settings, runtime = BLURRED.model_copy(update={"camera": camera}), choose("auto")
    pipeline = Pipeline(
        open_detector(settings.detector, runtime, 1), open_classifier(settings.emotion, runtime, 1), settings
    )
    collector, controls = Collector(), Controls(snapshots=True)
    capture, meter, pacer = Capture(camera, open_camera(camera)), Meter(pipeline.card, runtime), Pacer(settings.pace)
    parts = Components(
        capture, pipeline, meter, [], [collector], [collector], controls, pacer, Notifier({}), blur=FaceBlur()
    )
    daemon = Daemon(parts, 10.0, threading.Event())
    daemon.start()
    try:
        wait_until(lambda: any(found.faces for _, found in collector.shown), "a face")
        controls.ask_snapshot()
        wait_until(lambda: bool(collector.taken), "a snapshot")
        controls.switch("detection", False)
        wait_until(lambda: any(not found.analysed for _, found in collector.shown), "a picture nobody looked at")
    finally:
        daemon.close()
    assert not collector.shown[0][1].faces
    for shown, _ in collector.shown + collector.taken:
        assert colours(bare(shown.image, seen[1])) <= CELLS**2
        assert shown.analysis is None


BESIDE: Box = Box(310, 100, 140, 200)
"""A part of the portrait beside the face, its label and the blurred region."""


def test_pictures_of_page_and_broker_are_hidden_once_and_in_the_right_place(
    astronaut: Image, seen: tuple[Frame, Reading], tmp_path: Path
) -> None:
    """Also in a narrower picture for a viewer, after a change of the region, and while the camera is off."""
    (tmp_path / "portraits").mkdir()
    cv2.imwrite(str(tmp_path / "portraits" / "portrait.png"), astronaut)
    file, port = tmp_path / "config.yaml", free_port()
    file.write_text("display: {blur: true}\nmqtt: {snapshots: true}\ndetector: {region: [0, 0.6, 1, 0.4]}\n")

    def latest(width: int) -> Image:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/latest.jpg?width={width}", timeout=60) as answer:
            return decoded(answer.read())

    with Mosquitto() as broker, Subscriber(broker.port) as ear:
        flags = {"camera.source": tmp_path / "portraits", "mqtt.host": "127.0.0.1", "mqtt.port": broker.port}
        with running(tmp_path / "log", {**flags, "web.port": port, "config": file}) as daemon:
            ear.wait(lambda: bool(ear.of("/faces")), "a frame", 60)
            assert unlike(part(latest(512), BESIDE), part(astronaut, BESIDE)) > 10
            file.write_text("display: {blur: true}\nmqtt: {snapshots: true}\n")
            daemon.send_signal(signal.SIGHUP)
            ear.wait(lambda: bool(ear.contents("/faces")[-1]["faces"]), "a face, now that all is looked at", 60)
            ear.publish(f"emotion/{DEVICE}/snapshot/set", "PRESS")
            ear.wait(lambda: bool(ear.of("/snapshot")), "a picture", 60)
            for shown in (latest(512), latest(320), decoded(ear.of("/snapshot")[0].payload)):
                plain = narrowed(astronaut, shown.shape[1])
                scale = shown.shape[1] / astronaut.shape[1]
                beside = Box(*(side * scale for side in (BESIDE.x, BESIDE.y, BESIDE.width, BESIDE.height)))
                assert unlike(part(shown, beside), part(plain, beside)) < 6
                back = cv2.resize(shown, (512, 512))
                assert unlike(bare(np.asarray(back, np.uint8), seen[1]), bare(astronaut, seen[1])) > 10
            ear.publish(f"emotion/{DEVICE}/privacy/set", "ON")
            ear.wait(lambda: ear.texts("/privacy/state")[-1] == "ON", "word that it is on", 60)
            assert unlike(latest(512), privacy_card(512, 512)) < 6
