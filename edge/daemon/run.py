"""`emotion-edge run`: builds the daemon from the settings and runs it until a signal."""

import logging
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Final

from edge.cameras.capture import Capture
from edge.cameras.choose import can_come_back, open_camera
from edge.config import Settings
from edge.config.reload import Reloader
from edge.controls import Controls, switches_file
from edge.daemon.loop import ChangeSettings, Components, Daemon, SwapClassifier
from edge.daemon.outputs import Current, Outputs, open_outputs
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.emotion.classifier import open_classifier
from edge.emotion.committee import alike
from edge.emotion.groups import published_labels
from edge.errors import EmotionEdgeError
from edge.faces.detector import open_detector
from edge.model_updates.watch import ModelWatch, with_model
from edge.models.active import active_stamp
from edge.models.card import EmotionCard
from edge.models.choice import ModelChoice
from edge.models.edge_tpu import accelerator_text
from edge.models.runtime import Runtime, choose
from edge.models.trial import ModelTrial
from edge.outputs.drawing.blur import FaceBlur
from edge.pipeline import Pipeline, open_pipeline
from edge.reading import PRIVACY
from edge.system.process import use_cores
from edge.system.systemd import Notifier

_log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S: Final = 0.001
"""Seconds until a thread running Python yields to one that returns from OpenCV. With Python's default of 0.005, the
analysis of a frame took 1.4 times as long, with a viewer and 20 messages a second on a busy machine.
"""


def run(
    settings: Settings,
    reread: Callable[[], Settings] | None = None,
    console: bool = False,
    reload_asked: threading.Event | None = None,
) -> int:
    """Run the daemon until SIGINT, SIGTERM or the end of the source.

    Args:
        settings: at the start.
        reread: reads the settings again, on SIGHUP; None: they never change.
        console: write results to standard output; not if that goes to a log, which would become a record of emotions
            and times.
        reload_asked: event that was set if SIGHUP came before this call.

    Returns:
        The exit status.

    Raises:
        EmotionEdgeError: an error that waiting cannot mend: a missing model or video, no interpreter, an unreadable
            file.
    """
    stop = _stop_on_signals()
    notifier = Notifier()
    reloader = Reloader(settings, reread, notifier, reload_asked)
    _prepare_process(settings)
    runtime = choose(settings.runtime.interpreter, settings.runtime.accelerator)
    # This precedes the reading of the model, so that an installation meanwhile is noticed.
    installed = active_stamp()
    trial = ModelTrial(installed)
    choice = ModelChoice(settings.emotion.model, installed)
    pipeline = _open_chosen(settings, runtime, choice)
    _log_what_runs(settings, runtime, pipeline.card)
    camera = None if can_come_back(settings.camera.source) else open_camera(settings.camera)
    controls = Controls(switches_file(settings.mqtt.device_id), settings.mqtt.snapshots, settings.mqtt.device_id)
    daemon: Daemon | None = None
    current = Current(lambda: reloader.settings, lambda: daemon.stats() if daemon else None)
    outputs = open_outputs(settings, current, runtime, pipeline.card, controls, console, choice)
    pacer = Pacer(settings.pace)
    capture = Capture(settings.camera, camera, PRIVACY if controls.wanted.privacy else "", wanted_from=pacer.next_due)
    daemon = Daemon(
        _components(settings, capture, pipeline, runtime, outputs, controls, pacer, notifier, trial),
        settings.mqtt.stats_every,
        stop,
    )
    reloader.start(_listeners(daemon, runtime, outputs))
    daemon.start()
    watch = ModelWatch(
        *(settings, runtime, pipeline.card, installed, choice),
        swap=lambda classifier: daemon.send(SwapClassifier(classifier)),
    )
    try:
        if outputs.display:
            outputs.display.run_until(stop)
        stop.wait()
    finally:
        watch.close()
        reloader.close()
        daemon.close()
    return 1 if daemon.failed else 0


def _open_chosen(settings: Settings, runtime: Runtime, choice: ModelChoice) -> Pipeline:
    """Open the pipeline with the model chosen over MQTT, or with the settings' model if that fails."""
    try:
        pipeline = open_pipeline(with_model(settings, choice.name), runtime)
    except EmotionEdgeError as error:
        if choice.name == settings.emotion.model:
            raise
        _log.error("model: %s; %s runs, as the settings say", error, settings.emotion.model)
        choice.installed(active_stamp())
        pipeline = open_pipeline(settings, runtime)
    if not settings.emotion.server:
        published = partial(published_labels, settings.emotion)
        choice.offer(alike(pipeline.card.primary.labels, published), pipeline.card.name)
    return pipeline


def _prepare_process(settings: Settings) -> None:
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    if settings.pace.cores:
        use_cores(settings.pace.cores)


def _log_what_runs(settings: Settings, runtime: Runtime, card: EmotionCard) -> None:
    _log.info("interpreter: %s, %d thread(s)", runtime, settings.runtime.threads)
    _log.info("accelerator: %s", accelerator_text(settings.runtime.accelerator))
    _log.info("model: %s %s, %s", card.name, card.version, card.sha256[:12])


def _components(
    settings: Settings,
    capture: Capture,
    pipeline: Pipeline,
    runtime: Runtime,
    outputs: Outputs,
    controls: Controls,
    pacer: Pacer,
    notifier: Notifier,
    trial: ModelTrial,
) -> Components:
    return Components(
        capture=capture,
        pipeline=pipeline,
        meter=Meter(pipeline.card, runtime),
        outputs=outputs.all,
        viewers=outputs.viewers,
        snapshot_listeners=[outputs.mqtt] if outputs.mqtt else [],
        controls=controls,
        pacer=pacer,
        notifier=notifier,
        blur=FaceBlur(settings.detector.region) if settings.display.blur else None,
        language=settings.display.language,
        trial=trial,
        reopen=lambda: open_classifier(settings.emotion, runtime, settings.runtime.threads),
    )


def _listeners(daemon: Daemon, runtime: Runtime, outputs: Outputs) -> list[Callable[[Settings], None]]:
    """Return the functions that apply reloaded settings; the first may refuse them with an EmotionEdgeError."""

    def change_analysis(settings: Settings) -> None:
        daemon.send(ChangeSettings(settings, open_detector(settings.detector, runtime, settings.runtime.threads)))

    def change_process(settings: Settings) -> None:
        logging.getLogger().setLevel(settings.log.level.upper())
        use_cores(settings.pace.cores)

    return [change_analysis, change_process, *([outputs.mqtt.change] if outputs.mqtt else [])]


def _stop_on_signals() -> threading.Event:
    """Return an event that SIGINT and SIGTERM set; a second signal ends the process at once."""
    stop = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        _log.info("%s: ending", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    return stop
