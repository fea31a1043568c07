"""The daemon put together from the settings, run until told to stop."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from edge.cameras.capture import Capture
from edge.cameras.choose import can_come_back, open_camera
from edge.config import Settings
from edge.config.reload import Reloader
from edge.controls import Controls, memory_file
from edge.daemon.loop import PRIVACY, Daemon, Parts
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.faces.detector import open_detector
from edge.labels import UNCERTAIN
from edge.model_updates.watch import ModelWatch
from edge.models.active import active_stamp
from edge.models.card import EmotionCard
from edge.models.edge_tpu import accelerator_text
from edge.models.runtime import Runtime, choose
from edge.outputs import Output, Viewer
from edge.outputs.console import Console
from edge.outputs.display.output import Display
from edge.outputs.drawing.blur import FaceBlur
from edge.outputs.drawing.jpeg import frame_jpeg_encoder, upload_jpeg_encoder
from edge.outputs.drawing.last_minute import LastMinute
from edge.outputs.metrics import CONTENT_TYPE, Metrics, MqttFigures, RecordFigures
from edge.outputs.mqtt.access import subscribe_command
from edge.outputs.mqtt.home_assistant import discovery_message
from edge.outputs.mqtt.output import MqttOutput
from edge.outputs.web.documents import Document, settings_document
from edge.outputs.web.server import WebViewer
from edge.pipeline import open_pipeline, read_once
from edge.record.output import History
from edge.system.process import one_heap, use_cores
from edge.system.systemd import Notifier
from edge.translations import words_of

_log = logging.getLogger(__name__)

_TURN_S: Final = 0.001
"""How long a thread that comes back from OpenCV waits for one that runs Python. At Python's own 5 ms a frame took 1.4
times as long in the analysis, with a viewer and 20 messages a second on a busy machine."""


def run(settings: Settings, reread: Callable[[], Settings] | None = None, console: bool = False) -> int:
    """Run the daemon until SIGINT, SIGTERM or the end of a source that ends; the exit status.

    reread: how the settings are read again on SIGHUP; None: they are not. console: write what is seen to standard
    output; not where that ends in a log, which would then be a record of emotions and times.
    Raises EmotionEdgeError for what no waiting can mend: a missing model or video, no interpreter, an unreadable file.
    """
    running = settings
    stop = threading.Event()
    _on_signals(stop)
    sys.setswitchinterval(_TURN_S)
    one_heap()
    notifier = Notifier()
    if settings.pace.cores:
        use_cores(settings.pace.cores)
    runtime = choose(settings.runtime.interpreter, settings.runtime.accelerator)
    installed = active_stamp()
    pipeline = open_pipeline(settings, runtime)
    camera = None if can_come_back(settings.camera.source) else open_camera(settings.camera)
    outputs: list[Output] = [Console()] if console else []
    viewers: list[Viewer] = []
    _log.info("interpreter: %s, %d thread(s)", runtime, settings.runtime.threads)
    _log.info("accelerator: %s", accelerator_text(settings.runtime.accelerator))
    _log.info("model: %s %s, %s", pipeline.card.name, pipeline.card.version, pipeline.card.sha256[:12])
    device = settings.mqtt.device_id
    controls = Controls(memory_file(device), settings.mqtt.snapshots, device)
    publisher = _publisher(settings, pipeline.card, controls)
    history = _history(settings, pipeline.card)
    outputs += [output for output in (publisher, history) if output]
    if settings.web.enabled:
        metrics = _metrics(pipeline.card.primary.labels, publisher, history)
        web = _page(settings, lambda: running, runtime, metrics, publisher, history)
        outputs += [metrics, web]
        viewers.append(web)
    display = None
    if settings.display.mode != "off":
        minute = LastMinute(words_of(settings.display.language))
        display = Display(settings.display, minute.context)
        outputs.append(minute)
        viewers.append(display)
    blur = FaceBlur(settings.detector.region) if settings.display.blur else None
    capture = Capture(settings.camera, camera, PRIVACY if controls.wanted.privacy else "")
    pacer, meter = Pacer(settings.pace), Meter(pipeline.card, runtime)
    language = settings.display.language
    takers = [publisher] if publisher else []
    parts = Parts(
        capture, pipeline, meter, outputs, viewers, takers, controls, pacer, notifier, blur=blur, language=language
    )
    daemon = Daemon(parts, settings.mqtt.stats_every, stop)

    def change(new: Settings) -> None:
        nonlocal running
        daemon.change(new, open_detector(new.detector, runtime, new.runtime.threads))
        running = new

    listeners = [change, _apply, *([publisher.change] if publisher else [])]
    reloader = Reloader(settings, reread, listeners, notifier) if reread else None
    if reloader and not sys.stdin.isatty():  # a terminal that closes ends what runs in it
        signal.signal(signal.SIGHUP, lambda *_: reloader.ask())
    daemon.start()
    watch = ModelWatch(settings, runtime, pipeline.card, installed, daemon.swap)
    try:
        if display:
            display.run_until(stop)
        stop.wait()
    finally:
        watch.close()
        if reloader:
            reloader.close()
        daemon.close()
    return 1 if daemon.failed else 0


def _publisher(settings: Settings, card: EmotionCard, controls: Controls) -> MqttOutput | None:
    if not settings.mqtt.host:
        _log.warning("MQTT: no broker is configured, nothing is published (set mqtt.host)")
        return None
    discovery = discovery_message(settings.mqtt, card.primary.labels)
    publisher = MqttOutput(settings.mqtt, controls, discovery, frame_jpeg_encoder(settings))
    _log.info("MQTT: subscribe with  %s", subscribe_command(settings.mqtt))
    for name in controls.names_before:
        _log.info(
            "MQTT: was this device %s? Let the broker forget it: emotion-edge forget --mqtt.device_id %s", name, name
        )
    return publisher


def _history(settings: Settings, card: EmotionCard) -> History | None:
    if not settings.record.enabled:
        return None
    history = History(settings.record, card.name, card.sha256)
    kept = f"{settings.record.days} days and {settings.record.max_mb} MB at most"
    _log.info("record: emotions and times, no images, in %s; %s", history.path, kept)
    return history


def _page(
    settings: Settings,
    running: Callable[[], Settings],
    runtime: Runtime,
    metrics: Metrics,
    publisher: MqttOutput | None,
    history: History | None,
) -> WebViewer:
    """The live page. running: the settings as they are by now."""
    documents = {
        "/metrics": Document(CONTENT_TYPE, metrics.text),
        "/today.json": Document("application/json", history.today if history else lambda: "null"),
        "/settings.json": Document("application/json", lambda: settings_document(running()).make()),
    }
    web = WebViewer(
        settings.web,
        settings.mqtt.device_id,
        [subscribe_command(settings.mqtt)] if settings.mqtt.host else [],
        documents,
        recorded=history is not None,
        read=lambda frame: read_once(settings, runtime, frame),
        health=_health(publisher, history),
        draw=frame_jpeg_encoder(settings),
        draw_given=upload_jpeg_encoder(settings),
    )
    _log.info("live page: %s", web.url)
    return web


def _metrics(labels: Sequence[str], mqtt: MqttOutput | None, record: History | None) -> Metrics:
    return Metrics(
        [*labels, UNCERTAIN],
        (lambda: MqttFigures(mqtt.connection == "connected", mqtt.dropped)) if mqtt else None,
        (lambda: RecordFigures(record.rows, record.bytes, record.dropped, bool(record.paused))) if record else None,
    )


def _health(mqtt: MqttOutput | None, record: History | None) -> dict[str, Callable[[], str]]:
    """How the parts that wait on the outside world do, in words."""
    parts: dict[str, Callable[[], str]] = {}
    if mqtt:
        parts["MQTT"] = lambda: mqtt.connection
    if record:
        parts["Record"] = lambda: f"paused: {record.paused}" if record.paused else "written"
    return parts


def _apply(settings: Settings) -> None:
    logging.getLogger().setLevel(settings.log.level.upper())
    use_cores(settings.pace.cores)


def _on_signals(stop: threading.Event) -> None:
    def end(number: int, _: FrameType | None) -> None:
        _log.info("%s: ending", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)  # asked a second time, end at once

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
