"""The analysis loop between one capture and any number of outputs and viewers."""

import logging
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.cameras.capture import OPENING, Capture
from edge.config import Settings
from edge.controls import Controls, Switches
from edge.daemon.pace import Pacer
from edge.daemon.stats import Meter
from edge.emotion.classifier import Classifier
from edge.faces.detector import Detector
from edge.outputs import Output, PictureTaker, Viewer
from edge.outputs.drawing.blur import FaceBlur
from edge.outputs.drawing.jpeg import privacy_card
from edge.pipeline import Pipeline
from edge.reading import Frame, Reading, Stats
from edge.system.systemd import Notifier

_log = logging.getLogger(__name__)

PRIVACY: Final = "off: privacy is on"
"""The camera's status meanwhile."""

_CARD_SECONDS: Final = 1.0
"""Between two showings of the card that stands for the camera: viewers take a picture that stays away for a fault."""

_OPENS_S: Final = 20.0
"""A camera that takes longer than this to open does not keep the service manager waiting."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the daemon is made of. takers: who gets the snapshots that are asked for.

    blur: pixelates faces before viewers and takers get a frame; None: it does not. language: of the placeholder.
    """

    capture: Capture
    pipeline: Pipeline
    meter: Meter
    outputs: Sequence[Output]
    viewers: Sequence[Viewer]
    takers: Sequence[PictureTaker]
    controls: Controls
    pacer: Pacer
    notifier: Notifier
    blur: FaceBlur | None = None
    language: str = "en"


class Daemon:
    """The loop in a thread of its own.

    It tells the service manager that it is alive each time it comes round: a frame was analysed and passed on, or none
    was due. So an analysis that hangs is silent, and so is a camera's driver that does not come back; a camera that is
    not there, privacy and idling are no silence.
    """

    def __init__(self, parts: Parts, stats_every: float, stop: threading.Event) -> None:
        """stats_every: seconds between two reports. stop: ends the loop, and is set when it ends by itself."""
        self.failed = False
        self._stop = stop
        self._capture = parts.capture
        self._pipeline = parts.pipeline
        self._meter = parts.meter
        self._outputs = parts.outputs
        self._viewers = parts.viewers
        self._takers = parts.takers
        self._controls = parts.controls
        self._pacer = parts.pacer
        self._capture.wanted_from = parts.pacer.next_due
        self._blur = parts.blur
        self._language = parts.language
        self._notifier = parts.notifier
        self._stats_every = stats_every
        self._next: Classifier | None = None
        self._taken: Classifier | None = None
        self._change: tuple[Settings, Detector] | None = None
        self._changed: tuple[Settings, Detector] | None = None
        self._switches = Switches()
        self._size = (640, 480)
        self._card_due = -math.inf
        self._analysing = True
        self._began = math.inf
        self._ready = False
        self._hanging = False
        self._thread = threading.Thread(target=self._guard, name="analysis")

    def start(self) -> None:
        """Begin to analyse."""
        self._began = time.monotonic()
        self._thread.start()

    def change(self, settings: Settings, detector: Detector) -> None:
        """Go on by other settings from the next frame on, as far as these can change meanwhile; any thread."""
        self._change = settings, detector

    def swap(self, classifier: Classifier) -> None:
        """Go on with another classifier, of the same labels, from the next frame on; any thread."""
        self._next = classifier

    def close(self) -> None:
        """End the loop, then the capture, then let every output say goodbye."""
        self._stop.set()
        self._notifier.stopping()
        self._thread.join()
        self._capture.close()
        parts: list[Output | Viewer] = [*self._outputs, *self._viewers]
        for part in dict.fromkeys(parts):  # the page is both
            part.close()

    def _guard(self) -> None:
        try:
            self._loop()
        except Exception as error:  # what the loop cannot mend, a restart may: end with an error, for systemd to see
            _log.exception("the analysis stopped")
            self._notifier.status(f"the analysis stopped: {type(error).__name__}: {error}")
            self.failed = True
        finally:
            self._stop.set()

    def _loop(self) -> None:
        reported = -self._stats_every
        told: tuple[str, str, str | None] = ("", "", None)
        self._obey()
        self._controls.applied(self._switches)
        while not self._stop.is_set():
            self._retune()
            self._obey()
            frame = self._capture.newest(timeout=0.2)
            now = time.monotonic()
            if frame is not None:
                self._see(frame)
            elif self._switches.privacy and now >= self._card_due:
                self._card_due = now + _CARD_SECONDS
                self._pass_on(*self._card())
            state = self._capture.status, self._pacer.state, self._pipeline.server
            if now - reported >= self._stats_every or state != told:
                reported, told = now, state
                self._report(*state)
            self._live(frame is not None)
            if frame is None and self._capture.ended:
                _log.info("the source has ended")
                return

    def _retune(self) -> None:
        if (classifier := self._next) and classifier is not self._taken:
            self._taken = classifier
            self._pipeline.use_classifier(classifier)
            self._meter.card = classifier.card
        change = self._change
        if change and change is not self._changed:
            self._changed = change
            settings, detector = change
            self._stats_every = settings.mqtt.stats_every
            self._pacer.change(settings.pace)
            self._pipeline.change(settings, detector)
            if self._blur:
                self._blur.region = settings.detector.region

    def _report(self, camera: str, pace: str, server: str | None) -> None:
        captured, dropped = self._capture.captured, self._capture.dropped
        stats = self._meter.stats(captured, dropped, camera, pace, self._pacer.limit, server)
        for output in self._outputs:
            output.report(stats)
        self._notifier.status(_said(stats))

    def _live(self, seen: bool) -> None:
        """A sign of life, once what was to be done was done; the first one says that we are ready."""
        hanging = self._capture.hanging
        if hanging and not self._hanging:
            _log.error("the camera's driver does not come back (%s)", self._capture.status)
        self._hanging = hanging
        if hanging:
            return
        opening = self._capture.status == OPENING and time.monotonic() - self._began < _OPENS_S
        if not self._ready and (seen or not (opening or self._capture.status == "online")):
            self._ready = True
            self._notifier.ready()
        self._notifier.alive()

    def _obey(self) -> None:
        """Do what people want by now, between two frames; then say that it is so."""
        wanted, before = self._controls.wanted, self._switches
        if self._capture.status != "online" and self._controls.take_snapshot():
            _log.warning("snapshot: none is taken, the camera is not online (%s)", self._capture.status)
        if wanted == before:
            return
        self._switches = wanted
        if wanted.privacy and not before.privacy:
            self._capture.pause(PRIVACY)
            self._pass_on(*self._card())  # now, in place of the last picture that viewers have
        elif before.privacy and not wanted.privacy:
            self._capture.resume()
        self._controls.applied(wanted)

    def _see(self, frame: Frame) -> None:
        # What waits for its reader is read as fast as it goes; of what comes by itself, frames may be let pass.
        if not self._capture.lossless and not self._pacer.due(frame.captured_at):
            return
        height, width = frame.image.shape[:2]
        self._size = width, height
        if self._switches.detection:
            reading = self._pipeline.analyse(frame)
            self._meter.add(reading)
        else:
            reading = _not_analysed(frame)
        shown = self._blur(frame, reading) if self._blur else frame
        self._pass_on(shown, reading)
        self._pacer.saw(frame, bool(reading.faces) or not reading.analysed, self._pipeline.tentative)
        if self._controls.take_snapshot():
            for taker in self._takers:
                taker.picture(shown, reading)

    def _card(self) -> tuple[Frame, Reading]:
        """What viewers get in place of the camera's picture."""
        frame = Frame(privacy_card(*self._size, self._language), time.monotonic(), time.time(), 0)
        return frame, _not_analysed(frame)

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


def _said(stats: Stats) -> str:
    """How things are, for `systemctl status`."""
    if stats.camera != "online":
        return f"camera: {stats.camera}"
    pace = "" if stats.pace == "full" else f" ({stats.pace})"
    return f"camera: online; {stats.fps:.1f} frames a second{pace}"
