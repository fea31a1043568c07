"""`emotion-edge doctor`: checks each part and prints a line with its state and what to do."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge.cameras.choose import find_cameras, open_camera
from edge.commands import doctor_service
from edge.commands.finding import Finding
from edge.commands.notice import missing_fields
from edge.config import Settings
from edge.emotion.classifier import open_classifier
from edge.emotion.committee import JOINT
from edge.emotion.remote import ONLINE
from edge.errors import EmotionEdgeError
from edge.faces.detector import open_detector
from edge.faces.orientation import advice, rotation_needed
from edge.faces.yunet import model_name as yunet_name
from edge.models import edge_tpu
from edge.models.active import active_model
from edge.models.released import installed_models
from edge.models.runtime import MODULES, choose, installed
from edge.outputs.display.output import display_available
from edge.outputs.mqtt.session import login_problem
from edge.outputs.web.disclosure import is_shared
from edge.pipeline import open_pipeline
from edge.reading import Frame
from edge.system import board

_log = logging.getLogger(__name__)


_LOOKS: Final = 3
"""Number of pictures in which faces are searched for, to tell whether the camera is upright."""


def report(settings: Settings, files: Sequence[str] = ()) -> int:
    """Print a line for each part; return the exit status, 1 if there is a fault.

    files: problems with files that the settings name, one line each.
    """
    checks: dict[str, Callable[[Settings], Finding]] = {
        "interpreter": _interpreter,
        "accelerator": _accelerator,
        "models": _models,
        "camera": _camera,
        "broker": _broker,
        "display": _display,
        "temperature": _temperature,
        "service": doctor_service.service,
        "page": doctor_service.page,
        "record": doctor_service.record,
        "disk": doctor_service.disk,
        "clock": doctor_service.clock,
        "notice": _notice,
    }
    if settings.emotion.server:
        checks["server"] = _server
    findings = [Finding("fault", line) for line in files]
    for finding in findings:
        print(f"{finding.state:5}  {'settings':12} {finding.text}")
    for name, check in checks.items():
        try:
            finding = check(settings)
        except EmotionEdgeError as error:
            finding = Finding("fault", str(error))
        findings.append(finding)
        print(f"{finding.state:5}  {name:12} {finding.text}")
    sys.stdout.flush()
    return int(any(finding.state == "fault" for finding in findings))


def _interpreter(settings: Settings) -> Finding:
    found = ", ".join(f"{name} {version}" for name, version in installed().items())
    return Finding(
        "ok", f"{choose(settings.runtime.interpreter)} (installed: {found}; Python {sys.version.split()[0]})"
    )


def _accelerator(settings: Settings) -> Finding:
    choice, text = settings.runtime.accelerator, edge_tpu.accelerator_text(settings.runtime.accelerator)
    if choice == "cpu" or (choice == "auto" and not edge_tpu.find_edge_tpu()):
        return Finding("note", text)
    names = [yunet_name(settings.detector.size), *settings.emotion.model.split(JOINT)]
    running = [active_model(name) for name in names]
    folders = [Path(folder) for name in running if (folder := installed_models().get(name, name))]
    compiled = [folder for folder in folders if (folder / edge_tpu.EDGE_TPU_FILE).is_file()]
    if not compiled:
        return Finding("note", f"{text}; none is: no {edge_tpu.EDGE_TPU_FILE} in {' or '.join(map(str, folders))}")
    module = MODULES[choose(settings.runtime.interpreter).name]
    for folder in compiled:
        if problem := edge_tpu.edge_tpu_problem(module, edge_tpu.LIBRARY, folder / edge_tpu.EDGE_TPU_FILE):
            return Finding("note", f"{text}; it cannot be used, the processor runs the networks: {problem}")
    return Finding("ok", f"{text}: {', '.join(folder.name for folder in compiled)}")


def _models(settings: Settings) -> Finding:
    # The prediction server has a check of its own.
    here = settings.emotion.model_copy(update={"server": ""})
    pipeline = open_pipeline(settings.model_copy(update={"emotion": here}), choose(settings.runtime.interpreter))
    # A model file may load but fail to run: run every stage once.
    pipeline.analyse(Frame(np.zeros((480, 640, 3), np.uint8), 0.0, 0.0, 0))
    card = pipeline.card
    labels = ", ".join(card.primary.labels)
    return Finding("ok", f"{card.name} {card.version} ({labels}) with detector {settings.detector.kind}")


def _server(settings: Settings) -> Finding:
    emotion, runtime = settings.emotion, choose(settings.runtime.interpreter)
    classifier = open_classifier(emotion, runtime, settings.runtime.threads)
    spec = classifier.card.input
    crops = np.zeros((1, spec.height, spec.width, spec.channels), np.uint8)
    began = time.perf_counter()
    classifier.classify(crops)
    took = (time.perf_counter() - began) * 1000
    if classifier.server != ONLINE:
        return Finding("note", f"{emotion.server}: {classifier.server}; {classifier.card.name} here stands in")
    return Finding("ok", f"{emotion.server} answers, one face in {took:.0f} ms; {classifier.card.name} would stand in")


def _camera(settings: Settings) -> Finding:
    found = ", ".join(f"{camera.source} {camera.name}" for camera in find_cameras()) or "none"
    try:
        camera = open_camera(settings.camera)
    except EmotionEdgeError as error:
        if doctor_service.service_properties().get("ActiveState") == "active":
            return Finding("note", f"{error}; the service runs, and may have it (see below)")
        raise
    try:
        pictures = [picture for _ in range(_LOOKS) if (picture := camera.read())]
    finally:
        camera.close()
    if not pictures:
        return Finding("fault", f"{camera.name} opens but gives no picture (cameras here: {found})")
    height, width = pictures[0].image.shape[:2]
    text = f"{camera.name}, {width} x {height} (cameras here: {found})"
    detector = open_detector(settings.detector, choose(settings.runtime.interpreter), settings.runtime.threads)
    needed = {degrees for picture in pictures if (degrees := rotation_needed(detector, picture.image)) is not None}
    if len(needed) == 1 and (degrees := needed.pop()):
        return Finding("note", f"{text}; {advice(degrees, settings.camera)}")
    return Finding("ok", text)


def _broker(settings: Settings) -> Finding:
    mqtt = settings.mqtt
    if not mqtt.host:
        return Finding("note", "none is configured: set mqtt.host (`emotion-edge demo` starts one of its own)")
    if problem := login_problem(mqtt):
        return Finding("fault", problem)
    return Finding("ok", f"{mqtt.host}:{mqtt.port} accepts the login{' over TLS' if mqtt.tls else ''}")


def _display(settings: Settings) -> Finding:
    if settings.display.mode == "off":
        return Finding("note", "switched off (display.mode)")
    there, which = display_available(settings.display)
    return Finding("ok", which) if there else Finding("note", f"none: {which}")


def _notice(settings: Settings) -> Finding:
    reasons = {
        "a record is kept": settings.record.enabled,
        "snapshots can be asked for": settings.mqtt.snapshots,
        "others can reach the page": settings.web.enabled and is_shared(settings.web),
    }
    missing = missing_fields(settings)
    found = [reason for reason, so in reasons.items() if so]
    if missing and found:
        return Finding("note", f"{' and '.join(found)}: set {', '.join(missing)} for `emotion-edge notice`")
    return Finding("ok", "`emotion-edge notice` writes the sheet for the door")


def _temperature(_: Settings) -> Finding:
    degrees, held = board.temperature(), board.throttled()
    if held:
        return Finding("note", f"{degrees} °C, the firmware throttles the processor: cool the board, check its supply")
    return Finding("ok", f"{degrees:.0f} °C") if degrees is not None else Finding("note", "no sensor here")
