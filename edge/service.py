"""The daemon: everything put together from the settings, run until told to stop."""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType

from edge.cameras.capture import Capture
from edge.cameras.choose import can_come_back, open_camera
from edge.config import Settings
from edge.meter import Meter
from edge.outputs import Output, Viewer
from edge.outputs.console import Console
from edge.outputs.display import Window, unavailable
from edge.outputs.mqtt import MqttOutput
from edge.outputs.web import WebViewer
from edge.pipeline import Pipeline, open_pipeline
from edge.runtime import choose

log = logging.getLogger(__name__)


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
    ) -> None:
        """stats_every: seconds between two reports. stop: ends the loop, and is set when it ends by itself."""
        self.failed = False
        self._stop = stop
        self._capture = capture
        self._pipeline = pipeline
        self._meter = meter
        self._outputs = outputs
        self._viewers = viewers
        self._stats_every = stats_every
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
        while not self._stop.is_set():
            frame = self._capture.newest(timeout=0.2)
            if frame is not None:
                reading = self._pipeline.analyse(frame)
                for output in self._outputs:
                    output.put(reading)
                for viewer in self._viewers:
                    viewer.show(frame, reading)
                self._meter.add(reading)
            now = time.monotonic()
            if now - reported >= self._stats_every or self._capture.status != camera:
                reported, camera = now, self._capture.status
                stats = self._meter.stats(self._capture.captured, self._capture.dropped, camera)
                for output in self._outputs:
                    output.report(stats)
            if frame is None and self._capture.ended:
                log.info("the source has ended")
                return


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
    if settings.mqtt.host:
        mqtt = settings.mqtt
        subscribe = [f"mosquitto_sub -h {mqtt.host} -p {mqtt.port} -t '{mqtt.base_topic}/{mqtt.device_id}/#' -v"]
        outputs.append(MqttOutput(mqtt))
        log.info("MQTT: subscribe with  %s", *subscribe)
    else:
        log.warning("MQTT: no broker is configured, nothing is published (set mqtt.host)")
    if settings.web.enabled:
        web = WebViewer(settings.web, settings.mqtt.device_id, subscribe)
        outputs.append(web)
        viewers.append(web)
        log.info("live page: %s", web.url)
    window = _window(settings)
    if window:
        viewers.append(window)
    capture, meter = Capture(settings.camera, camera), Meter(pipeline.card, runtime)
    daemon = Daemon(capture, pipeline, meter, outputs, viewers, settings.mqtt.stats_every, stop)
    daemon.start()
    try:
        if window:
            window.run_until(stop)
        stop.wait()
    finally:
        daemon.close()
    return 1 if daemon.failed else 0


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
