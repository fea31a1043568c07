"""The analysis loop: takes frames from the capture and passes the results to outputs and viewers."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final

from edge.cameras.capture import Capture
from edge.config import Settings
from edge.controls import Controls, Switches
from edge.daemon.liveness import Liveness
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter, status_line
from edge.emotion.classifier import Classifier
from edge.faces.detector import Detector
from edge.models.active import active_stamp
from edge.models.trial import ModelTrial
from edge.outputs import Output, SnapshotListener, Viewer
from edge.outputs.drawing.blur import FaceBlur
from edge.outputs.drawing.jpeg import privacy_card
from edge.pipeline import Pipeline
from edge.reading import PRIVACY, Frame, Reading, Stats
from edge.system.process import return_free_memory
from edge.system.systemd import Notifier
from edge.system.threads import name_for_system

_log = logging.getLogger(__name__)

_CARD_INTERVAL_S: Final = 1.0
"""Seconds after which the privacy card is sent again: viewers report a fault if no picture comes for long."""

_FRAME_WAIT_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Components:
    """The parts that the analysis loop works with.

    snapshot_listeners: get the frame after a snapshot was requested. blur: blurs the faces in every picture that leaves
    the loop; None: faces stay visible. language: of the privacy card. trial: of the most recently installed model.
    reopen: opens the classifier of the earlier model if that one fails.
    """

    capture: Capture
    pipeline: Pipeline
    meter: Meter
    outputs: Sequence[Output]
    viewers: Sequence[Viewer]
    snapshot_listeners: Sequence[SnapshotListener]
    controls: Controls
    pacer: Pacer
    notifier: Notifier
    blur: FaceBlur | None = None
    language: str = "en"
    trial: ModelTrial = field(default_factory=lambda: ModelTrial(None))
    reopen: Callable[[], Classifier] | None = None


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Command to the loop: continue with new settings, and with a detector opened for them."""

    settings: Settings
    detector: Detector


@dataclass(frozen=True, slots=True)
class SwapClassifier:
    """Command to the loop: continue with another classifier of the same labels."""

    classifier: Classifier


Command = ChangeSettings | SwapClassifier


class Daemon:
    """The analysis loop in a thread of its own; it ends with the source, with `stop`, or with an error."""

    def __init__(self, components: Components, stats_every: float, stop: threading.Event) -> None:
        """Create the loop; `start` starts its thread.

        Args:
            components: the parts that the loop works with.
            stats_every: seconds between two reports of Stats.
            stop: event that ends the loop; also set by the loop when it ends by itself.
        """
        self.failed = False
        self._parts = components
        self._stats_every = stats_every
        self._stop = stop
        self._commands: SimpleQueue[Command] = SimpleQueue()
        self._publisher = _Publisher(components.outputs, components.viewers)
        self._switches = Switches()
        self._frame_size = (640, 480)
        self._card_due = -math.inf
        self._thread = threading.Thread(target=self._run, name="analysis")

    def start(self) -> None:
        """Start the analysis thread."""
        self._thread.start()

    def send(self, command: Command) -> None:
        """Queue a command, which the loop carries out between two frames. Thread-safe."""
        self._commands.put(command)

    def stats(self) -> Stats:
        """Return the current statistics. Thread-safe."""
        capture, pacer = self._parts.capture, self._parts.pacer
        return self._parts.meter.stats(
            capture.captured,
            capture.dropped,
            capture.status,
            pacer.state,
            pacer.limit,
            self._parts.pipeline.server,
            capture.bad,
        )

    def close(self) -> None:
        """End the loop, then close the capture, then every output and viewer."""
        self._stop.set()
        self._parts.notifier.stopping()
        self._thread.join()
        if not self.failed:
            self._parts.trial.close()
        self._parts.capture.close()
        self._publisher.close()

    def _run(self) -> None:
        name_for_system("analysis")
        try:
            self._loop()
        except Exception as error:
            # The process ends with status 1, and the service manager restarts it.
            _log.exception("the analysis stopped")
            self._parts.notifier.status(f"the analysis stopped: {type(error).__name__}: {error}")
            self.failed = True
        finally:
            self._stop.set()

    def _loop(self) -> None:
        parts = self._parts
        liveness = Liveness(parts.capture, parts.notifier)
        reported_at, reported = -math.inf, None
        self._apply_switches()
        parts.controls.applied(self._switches)
        while not self._stop.is_set():
            self._carry_out_commands()
            self._apply_switches()
            frame = parts.capture.newest(_FRAME_WAIT_S)
            now = time.monotonic()
            if frame is not None:
                self._process(frame)
            elif self._switches.privacy and now >= self._card_due:
                self._show_card(now)
            state = parts.capture.status, parts.pacer.state, parts.pipeline.server
            if now - reported_at >= self._stats_every or state != reported:
                reported_at, reported = now, state
                self._report()
            liveness.cycle(frame is not None)
            if frame is None and parts.capture.ended:
                _log.info("the source has ended")
                return

    def _carry_out_commands(self) -> None:
        parts = self._parts
        while True:
            try:
                command = self._commands.get_nowait()
            except Empty:
                return
            match command:
                case ChangeSettings(settings, detector):
                    self._stats_every = settings.mqtt.stats_every
                    parts.pacer.change(settings.pace)
                    parts.pipeline.change(settings, detector)
                    if parts.blur:
                        parts.blur.change(settings.detector.region)
                case SwapClassifier(classifier):
                    self._use(classifier)
                    parts.trial.begin(active_stamp())

    def _apply_switches(self) -> None:
        """Apply the switches that were set since the last frame, and publish their state."""
        parts = self._parts
        wanted, before = parts.controls.wanted, self._switches
        if parts.capture.status != "online" and parts.controls.take_snapshot():
            _log.warning("snapshot: none is taken, the camera is not online (%s)", parts.capture.status)
        if wanted == before:
            return
        self._switches = wanted
        if wanted.privacy and not before.privacy:
            parts.capture.pause(PRIVACY)
            # The card replaces the last picture that viewers have.
            self._show_card(time.monotonic())
        elif before.privacy and not wanted.privacy:
            parts.capture.resume()
        parts.controls.applied(wanted)

    def _process(self, frame: Frame) -> None:
        """Publish a frame if the pace lets it through, analysed if detection is on."""
        parts = self._parts
        # Only live sources are paced; every frame of a lossless source is analysed.
        if not parts.capture.lossless and not parts.pacer.due(frame.captured_at):
            return
        height, width = frame.image.shape[:2]
        self._frame_size = width, height
        if self._switches.detection:
            reading = self._analyse(frame)
            parts.meter.add(reading)
        else:
            reading = _not_analysed(frame)
        shown = parts.blur(frame, reading) if parts.blur else frame
        self._publisher.publish(shown, reading)
        parts.pacer.analysed(frame, bool(reading.faces) or not reading.analysed, parts.pipeline.tentative)
        if parts.controls.take_snapshot():
            for listener in parts.snapshot_listeners:
                listener.picture(shown, reading)

    def _analyse(self, frame: Frame) -> Reading:
        """Analyse a frame; if a newly installed model raises an error, go back to the previous one and try again."""
        parts = self._parts
        try:
            reading = parts.pipeline.analyse(frame)
        except Exception as error:
            if not parts.trial.failed(error) or parts.reopen is None:
                raise
            classifier, failed = parts.reopen(), parts.pipeline.card
            if classifier.card.sha256 == failed.sha256 or classifier.labels != failed.primary.labels:
                # The failed model is a detector or has other labels: the next start of the daemon skips it.
                raise
            _log.exception(
                "model: %s %s ended the analysis; %s %s runs again",
                *(failed.name, failed.version, classifier.card.name, classifier.card.version),
            )
            self._use(classifier)
            reading = parts.pipeline.analyse(frame)
        parts.trial.analysed(len(reading.faces))
        return reading

    def _use(self, classifier: Classifier) -> None:
        self._parts.pipeline.use_classifier(classifier)
        self._parts.meter.change_model(classifier.card)

    def _show_card(self, now: float) -> None:
        """Publish the privacy card in place of the camera's picture."""
        self._card_due = now + _CARD_INTERVAL_S
        card = Frame(privacy_card(*self._frame_size, self._parts.language), now, time.time(), 0)
        self._publisher.publish(card, _not_analysed(card))

    def _report(self) -> None:
        parts, stats = self._parts, self.stats()
        for output in parts.outputs:
            output.report(stats)
        parts.notifier.status(status_line(stats))
        return_free_memory()


class _Publisher:
    """Passes frames and Readings to outputs and viewers."""

    def __init__(self, outputs: Sequence[Output], viewers: Sequence[Viewer]) -> None:
        self._outputs = outputs
        self._viewers = viewers
        self._analysing = True

    def publish(self, frame: Frame, reading: Reading) -> None:
        """Pass each frame to viewers, and its Reading to outputs if it was analysed or is the first that was not."""
        if reading.analysed or self._analysing:
            for output in self._outputs:
                output.put(reading)
        self._analysing = reading.analysed
        for viewer in self._viewers:
            viewer.show(frame, reading)

    def close(self) -> None:
        parts: list[Output | Viewer] = [*self._outputs, *self._viewers]
        # The live page is in both lists and must be closed once.
        for part in dict.fromkeys(parts):
            part.close()


def _not_analysed(frame: Frame) -> Reading:
    height, width = frame.image.shape[:2]
    return Reading(frame.sequence, frame.captured_at, frame.wall_time, width, height, (), {}, analysed=False)
