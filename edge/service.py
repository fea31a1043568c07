"""The daemon: everything put together from the settings, run until told to stop."""

import logging
import math
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Final

from edge.cameras.capture import Capture
from edge.cameras.choose import can_come_back, open_camera
from edge.config import Settings
from edge.labels import UNCERTAIN
from edge.meter import Meter
from edge.outputs import Output, PictureTaker, Viewer
from edge.outputs.console import Console
from edge.outputs.controls import Controls, Switches, memory_file
from edge.outputs.display import Window, unavailable
from edge.outputs.history import History
from edge.outputs.home_assistant import announcement
from edge.outputs.metrics import CONTENT_TYPE, Metrics, MqttFigures, RecordFigures
from edge.outputs.mqtt import MqttOutput
from edge.outputs.pictures import privacy_card
from edge.outputs.web import Document, WebViewer
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import Frame, Reading
from edge.runtime import choose

log = logging.getLogger(__name__)

PRIVACY: Final = "off: privacy is on"
"""The camera's status meanwhile."""

_CARD_SECONDS: Final = 1.0
"""Between two showings of the card that stands for the camera: viewers take a picture that stays away for a fault."""


class Daemon:
    """The analysis loop in a thread of its own, between one capture and any number of outputs and viewers."""

    def __init__(
        self,
        capture: Capture,
        pipeline: Pipeline,
        meter: Meter,
        outputs: Sequence[Output],
        viewers: Sequence[Viewer],
        stats_every: float,
        stop: threading.Event,
        controls: Controls | None = None,
        takers: Sequence[PictureTaker] = (),
    ) -> None:
        """stats_every: seconds between two reports. stop: ends the loop, and is set when it ends by itself.

        controls: what people switch meanwhile. takers: who gets the pictures that are asked for.
        """
        self.failed = False
        self._stop = stop
        self._capture = capture
        self._pipeline = pipeline
        self._meter = meter
        self._outputs = outputs
        self._viewers = viewers
        self._stats_every = stats_every
        self._controls = controls or Controls()
        self._takers = takers
        self._switches = Switches()
        self._size = (640, 480)
        self._card_due = -math.inf
        self._analysing = True
        self._thread = threading.Thread(target=self._guard, name="analysis")

    def start(self) -> None:
        """Begin to analyse."""
        self._thread.start()

    def close(self) -> None:
        """End the loop, then the capture, then let every output say goodbye."""
        self._stop.set()
        self._thread.join()
        self._capture.close()
        parts: list[Output | Viewer] = [*self._outputs, *self._viewers]
        for part in dict.fromkeys(parts):  # the page is both
            part.close()

    def _guard(self) -> None:
        try:
            self._loop()
        except Exception:  # what the loop cannot mend, a restart may: end with an error, for the service manager to see
            log.exception("the analysis stopped")
            self.failed = True
        finally:
            self._stop.set()

    def _loop(self) -> None:
        reported, camera = -self._stats_every, ""
        self._obey()
        self._controls.applied(self._switches)
        while not self._stop.is_set():
            self._obey()
            frame = self._capture.newest(timeout=0.2)
            now = time.monotonic()
            if frame is not None:
                self._see(frame)
            elif self._switches.privacy and now >= self._card_due:
                self._card_due = now + _CARD_SECONDS
                self._pass_on(*_card(*self._size))
            if now - reported >= self._stats_every or self._capture.status != camera:
                reported, camera = now, self._capture.status
                stats = self._meter.stats(self._capture.captured, self._capture.dropped, camera)
                for output in self._outputs:
                    output.report(stats)
            if frame is None and self._capture.ended:
                log.info("the source has ended")
                return

    def _obey(self) -> None:
        """Do what people want by now, between two frames; then say that it is so."""
        wanted, before = self._controls.wanted, self._switches
        if self._capture.status != "online" and self._controls.take_snapshot():
            log.warning("snapshot: none is taken, the camera is not online (%s)", self._capture.status)
        if wanted == before:
            return
        self._switches = wanted
        if wanted.privacy and not before.privacy:
            self._capture.pause(PRIVACY)
            self._pass_on(*_card(*self._size))  # now, in place of the last picture that viewers have
        elif before.privacy and not wanted.privacy:
            self._capture.resume()
        self._controls.applied(wanted)

    def _see(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        self._size = width, height
        if self._switches.detection:
            reading = self._pipeline.analyse(frame)
            self._pass_on(frame, reading)
            self._meter.add(reading)
        else:
            reading = _not_analysed(frame)
            self._pass_on(frame, reading)
        if self._controls.take_snapshot():
            for taker in self._takers:
                taker.picture(frame, reading)

    def _pass_on(self, frame: Frame, reading: Reading) -> None:
        """To viewers everything; to outputs what was analysed, and once that nobody looks any more."""
        if reading.analysed or self._analysing:
            for output in self._outputs:
                output.put(reading)
        self._analysing = reading.analysed
        for viewer in self._viewers:
            viewer.show(frame, reading)


def _not_analysed(frame: Frame) -> Reading:
    height, width = frame.image.shape[:2]
    return Reading(frame.sequence, frame.captured_at, frame.wall_time, width, height, (), {}, analysed=False)


def _card(width: int, height: int) -> tuple[Frame, Reading]:
    """What viewers get in place of the camera's picture."""
    frame = Frame(privacy_card(width, height), time.monotonic(), time.time(), 0)
    return frame, _not_analysed(frame)


def run(settings: Settings) -> int:
    """Run the daemon until SIGINT, SIGTERM or the end of a source that ends; the exit status.

    Raises EmotionEdgeError for what no waiting can mend: a missing model or video, no interpreter, an unreadable file.
    """
    stop = threading.Event()
    _on_signals(stop)
    runtime = choose(settings.runtime.interpreter)
    pipeline = open_pipeline(settings, runtime)
    camera = None if can_come_back(settings.camera.source) else open_camera(settings.camera)
    outputs: list[Output] = [Console()]
    viewers: list[Viewer] = []
    log.info("interpreter: %s, %d thread(s)", runtime, settings.runtime.threads)
    log.info("model: %s %s, %s", pipeline.card.name, pipeline.card.version, pipeline.card.sha256[:12])
    subscribe = []
    controls = Controls(memory_file(settings.mqtt.device_id), settings.mqtt.snapshots)
    takers = []
    publisher = history = None
    if settings.mqtt.host:
        mqtt = settings.mqtt
        subscribe = [f"mosquitto_sub -h {mqtt.host} -p {mqtt.port} -t '{mqtt.base_topic}/{mqtt.device_id}/#' -v"]
        told = announcement(mqtt, pipeline.card.primary.labels)
        publisher = MqttOutput(mqtt, controls, told)
        outputs.append(publisher)
        takers.append(publisher)
        log.info("MQTT: subscribe with  %s", *subscribe)
    else:
        log.warning("MQTT: no broker is configured, nothing is published (set mqtt.host)")
    if settings.record.enabled:
        history = History(settings.record, pipeline.card.name, pipeline.card.sha256)
        outputs.append(history)
        kept = f"{settings.record.days} days and {settings.record.max_mb} MB at most"
        log.info("record: emotions and times, no images, in %s; %s", history.path, kept)
    if settings.web.enabled:
        metrics = _metrics(pipeline.card.primary.labels, publisher, history)
        outputs.append(metrics)
        documents = {
            "/metrics": Document(CONTENT_TYPE, metrics.text),
            "/today.json": Document("application/json", history.today if history else lambda: "null"),
        }
        web = WebViewer(settings.web, settings.mqtt.device_id, subscribe, documents, recorded=history is not None)
        outputs.append(web)
        viewers.append(web)
        log.info("live page: %s", web.url)
    window = _window(settings)
    if window:
        viewers.append(window)
    capture = Capture(settings.camera, camera, PRIVACY if controls.wanted.privacy else "")
    meter = Meter(pipeline.card, runtime)
    daemon = Daemon(capture, pipeline, meter, outputs, viewers, settings.mqtt.stats_every, stop, controls, takers)
    daemon.start()
    try:
        if window:
            window.run_until(stop)
        stop.wait()
    finally:
        daemon.close()
    return 1 if daemon.failed else 0


def _metrics(labels: Sequence[str], mqtt: MqttOutput | None, record: History | None) -> Metrics:
    return Metrics(
        [*labels, UNCERTAIN],
        (lambda: MqttFigures(mqtt.connection == "connected", mqtt.dropped)) if mqtt else None,
        (lambda: RecordFigures(record.rows, record.bytes, record.dropped, bool(record.paused))) if record else None,
    )


def _window(settings: Settings) -> Window | None:
    if settings.display.mode == "off":
        return None
    if reason := unavailable():
        level = logging.WARNING if settings.display.mode == "window" else logging.INFO
        log.log(level, "window: none, %s", reason)
        return None
    return Window(settings.display.fullscreen)


def _on_signals(stop: threading.Event) -> None:
    def end(number: int, _: FrameType | None) -> None:
        log.info("%s: ending", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # asked a second time, end at once

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
