"""Opens the outputs and viewers that the settings enable."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.config import Settings
from edge.controls import SWITCHES, Controls
from edge.labels import UNCERTAIN
from edge.models.card import EmotionCard
from edge.models.choice import ModelChoice
from edge.models.runtime import Runtime
from edge.outputs import Output, Viewer
from edge.outputs.console import Console
from edge.outputs.drawing.colours import choose_colours
from edge.outputs.drawing.jpeg import frame_jpeg_encoder, upload_jpeg_encoder
from edge.outputs.drawing.last_minute import LastMinute
from edge.outputs.metrics import CONTENT_TYPE, Metrics, MqttFigures, RecordFigures
from edge.outputs.mqtt.access import subscribe_command
from edge.outputs.mqtt.home_assistant import discovery_message, page_address
from edge.outputs.mqtt.output import MqttOutput
from edge.outputs.status_file import StatusFile, runtime_folder
from edge.outputs.web.disclosure import CONNECTED, MQTT, PAUSED, RECORD, facts_of
from edge.outputs.web.documents import Document, settings_document
from edge.outputs.web.server import WebViewer
from edge.pipeline import open_pipeline, read_once
from edge.reading import Stats
from edge.record.output import RecordOutput
from edge.translations import words_of

if TYPE_CHECKING:
    from edge.outputs.display.output import Display

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The open outputs and viewers.

    Attributes:
        all: every Output.
        viewers: those that get pictures.
        mqtt: None if no broker is configured.
        display: None if there is no screen or window.
    """

    all: Sequence[Output]
    viewers: Sequence[Viewer]
    mqtt: MqttOutput | None
    display: "Display | None"


@dataclass(frozen=True, slots=True)
class Current:
    """Functions that return the current settings and statistics. stats: None until the analysis has begun."""

    settings: Callable[[], Settings]
    stats: Callable[[], Stats | None]


def open_outputs(
    settings: Settings,
    current: Current,
    runtime: Runtime,
    card: EmotionCard,
    controls: Controls,
    console: bool,
    choice: ModelChoice,
) -> Outputs:
    """Open the outputs and viewers.

    Args:
        settings: at the start of the daemon.
        current: gives the settings and statistics of the moment.
        runtime: runs the networks for pictures that users upload to the live page.
        card: of the model that runs.
        controls: the switches that MQTT sets.
        console: whether to write results to standard output.
        choice: of the emotion model, set over MQTT.

    Raises:
        EmotionEdgeError: a password or certificate cannot be read, or a listening address is unavailable.
    """
    choose_colours(card.primary.labels, settings.emotion.labels)
    outputs: list[Output] = [Console()] if console else []
    viewers: list[Viewer] = []
    mqtt = _open_mqtt(settings, card, controls, choice)
    record = _open_record(settings, card)
    outputs += [output for output in (mqtt, record) if output]
    if folder := runtime_folder():
        outputs.append(StatusFile(folder, controls, (lambda: mqtt.connection) if mqtt else None))
    if settings.web.enabled:
        metrics = _metrics(card.primary.labels, current, mqtt, record, controls)
        web = _open_page(settings, current, runtime, metrics, mqtt, record)
        outputs += [metrics, web]
        viewers.append(web)
    # What few boards use is imported only where it is.
    if settings.gpio.led or settings.gpio.button:
        from edge.outputs.gpio import GpioOutput

        outputs.append(GpioOutput(settings.gpio, controls))
    display = None
    if settings.display.mode != "off":
        from edge.outputs.display.output import Display

        minute = LastMinute(words_of(settings.display.language), settings.display.fps)
        display = Display(settings.display, minute.context)
        outputs.append(minute)
        viewers.append(display)
    return Outputs(outputs, viewers, mqtt, display)


def _open_mqtt(settings: Settings, card: EmotionCard, controls: Controls, choice: ModelChoice) -> MqttOutput | None:
    if not settings.mqtt.host:
        _log.warning("MQTT: no broker is configured, nothing is published (set mqtt.host)")
        return None
    discovery = discovery_message(settings.mqtt, card.primary.labels, page_address(settings.web), choice.options)
    choose = choice.choose if choice.options else None
    mqtt = MqttOutput(settings.mqtt, controls, discovery, frame_jpeg_encoder(settings), choose)
    _log.info("MQTT: subscribe with  %s", subscribe_command(settings.mqtt))
    for name in controls.former_devices:
        _log.info(
            "MQTT: was this device %s? Let the broker forget it: emotion-edge forget --mqtt.device_id %s", name, name
        )
    return mqtt


def _open_record(settings: Settings, card: EmotionCard) -> RecordOutput | None:
    if not settings.record.enabled:
        return None
    record = RecordOutput(settings.record, card.name, card.sha256)
    kept = f"{settings.record.days} days and {settings.record.max_mb} MB at most"
    _log.info("record: emotions and times, no images, in %s; %s", record.path, kept)
    return record


def _open_page(
    settings: Settings,
    current: Current,
    runtime: Runtime,
    metrics: Metrics,
    mqtt: MqttOutput | None,
    record: RecordOutput | None,
) -> WebViewer:
    documents = {
        "/metrics": Document(CONTENT_TYPE, metrics.text),
        "/today.json": Document("application/json", record.today if record else lambda: "null"),
        "/settings.json": Document("application/json", lambda: settings_document(current.settings()).make()),
    }
    web = WebViewer(
        settings.web,
        settings.mqtt.device_id,
        [subscribe_command(settings.mqtt)] if settings.mqtt.host else [],
        documents,
        facts=facts_of(settings),
        read=lambda frame: read_once(settings, runtime, frame),
        webcam=lambda: open_pipeline(settings, runtime).analyse,
        health=_health(mqtt, record),
        draw=frame_jpeg_encoder(settings),
        draw_given=upload_jpeg_encoder(settings),
        language=settings.display.language,
    )
    _log.info("live page: %s", web.url)
    return web


def _metrics(
    labels: Sequence[str],
    current: Current,
    mqtt: MqttOutput | None,
    record: RecordOutput | None,
    controls: Controls,
) -> Metrics:
    return Metrics(
        [*labels, UNCERTAIN],
        current.stats,
        (lambda: MqttFigures(mqtt.connection == CONNECTED, mqtt.dropped)) if mqtt else None,
        (lambda: RecordFigures(record.rows, record.bytes, record.dropped, bool(record.paused))) if record else None,
        lambda: {name: getattr(controls.wanted, name) for name in SWITCHES},
    )


def _health(mqtt: MqttOutput | None, record: RecordOutput | None) -> dict[str, Callable[[], str]]:
    """Return functions that give the state of broker and record as text for the page, by the name shown there."""
    parts: dict[str, Callable[[], str]] = {}
    if mqtt:
        parts[MQTT] = lambda: mqtt.connection
    if record:
        parts[RECORD] = lambda: f"{PAUSED}: {record.paused}" if record.paused else "written"
    return parts
