"""How many frames a second are analysed: fewer while the board is hot, while nobody is there, and at night."""

import logging
import math
from collections.abc import Callable
from typing import Final

from edge.config import PaceSettings
from edge.reading import Frame
from edge.system.board import Health, health

_log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""Seconds between two looks at the board: a heat sink takes longer than that to answer."""

COOLER: Final = 5.0
"""Degrees below the limit at which the rate goes up again."""

RECOVER_LOOKS: Final = 3
"""So many looks in a row must find the board cool before the rate goes up a step."""

STEP: Final = 2 / 3
STEPS: Final = 6
SLOWEST: Final = 2.0
"""Frames a second that heat leaves in any case."""

_USUAL: Final = 30.0
_EARLY: Final = 0.1
"""Share of a period by which a frame may be early: cameras are not clocks."""

_BRIGHTER: Final = 1.25
"""Night ends at this many times the brightness at which it begins."""


class Pacer:
    """Says which frames are analysed. Time is that of the frames. Belongs to one thread, except `next_due`.

    state: `full`; `limited`, by the user's cap; `hot`; `idle`: nobody was in view for a while; `night`: the picture is
    dark and nobody is in it. limit: frames analysed a second at most now, None: as many as there are.
    """

    def __init__(self, settings: PaceSettings, sense: Callable[[], Health] = health) -> None:
        """sense: looks at the board."""
        self._settings = settings
        self._sense = sense
        self._due = self._looked = self._active = self._dark_since = self._face_at = -math.inf
        self._idle = self._dark = False
        self._step = self._cool_looks = 0
        self._frames, self._rate, self._base = 0, _USUAL, _USUAL
        self._was_awake = False

    @property
    def state(self) -> str:
        if self._idle:
            return "night" if self._dark else "idle"
        if self._step:
            return "hot"
        return "limited" if self._settings.max_fps else "full"

    @property
    def limit(self) -> float | None:
        limits = [self._settings.max_fps] if self._settings.max_fps else []
        if self._step:
            limits.append(self._heat_limit())
        if self._idle:
            limits.append(self._settings.idle_fps)
        return min(limits, default=None)

    def change(self, settings: PaceSettings) -> None:
        """Go on by other settings."""
        self._settings = settings
        if not settings.hot:
            self._step = 0
        if not settings.idle_after:
            self._idle = False

    def next_due(self) -> float:
        """No frame captured before this time will be analysed; any thread."""
        limit = self.limit
        return -math.inf if limit is None else self._due - _EARLY / limit

    def due(self, at: float) -> bool:
        """Whether the frame captured at this time is to be analysed. at: seconds of `time.monotonic()`."""
        limit = self.limit
        if limit is None:
            return True
        period = 1 / limit
        if at < self._due - _EARLY * period:
            return False
        # Counted from when it was due, so that the rate is kept though frames come when they come.
        self._due = (self._due if at - self._due < period else at) + period
        return True

    def saw(self, frame: Frame, someone: bool, maybe: bool = False) -> None:
        """An analysed frame. someone: there was a face in it, or nobody looks for faces.

        maybe: there may be one, as the next frame will tell, which is then not let pass.
        """
        at = frame.captured_at
        if self._active == -math.inf:
            self._active = self._looked = at
        was_dark = self._dark
        self._dark = self._is_dark(frame)
        if self._dark and not was_dark:
            self._dark_since = at
        if someone:
            self._face_at = at
        if someone or (was_dark and not self._dark):
            self._active = at
        idle_after = self._settings.idle_after
        # A dark room in which a face was found is not night: it idles as a bright one does.
        night = self._dark and self._face_at < self._dark_since
        asleep = bool(idle_after) and not (someone or maybe) and (night or at - self._active >= idle_after)
        if asleep != self._idle:
            self._idle, self._was_awake = asleep, False
            self._due = at + 1 / self._settings.idle_fps if asleep else at
            _log.debug("pace: %s", self.state)
        self._frames += 1
        if at - self._looked >= LOOK_S:
            self._look(at)

    def _is_dark(self, frame: Frame) -> bool:
        limit = self._settings.dark
        if not limit:
            return False
        picture = frame.image if frame.analysis is None else frame.analysis
        brightness = float(picture[::16, ::16].mean())  # 1200 of 300,000 pixels tell it well enough
        return brightness < (limit * _BRIGHTER if self._dark else limit)

    def _look(self, at: float) -> None:
        """Take a step down while the board is hot or its clock is held down, one up after it was cool for a while."""
        if self._was_awake and not self._step:
            self._rate = self._frames / (at - self._looked)
        self._was_awake, self._frames, self._looked = not self._idle, 0, at
        board = self._sense()
        hot = self._settings.hot
        too_hot = bool(hot) and board.temperature is not None and board.temperature >= hot
        still_warm = bool(hot) and board.temperature is not None and board.temperature > hot - COOLER
        if hot and (too_hot or board.throttled):
            self._cool_looks = 0
            if self._step == 0:
                self._base = min(self._rate, self._settings.max_fps or self._rate)
            if self._step < STEPS and (self._step == 0 or self._heat_limit() > SLOWEST):
                self._step += 1
                why = f"{board.temperature:.0f} °C" if too_hot else "the firmware holds the clock down"
                _log.warning("pace: %s: at most %.1f frames a second are analysed", why, self._heat_limit())
        elif self._step and not still_warm:
            self._cool_looks += 1
            if self._cool_looks >= RECOVER_LOOKS:
                self._cool_looks = 0
                self._step -= 1
                said = f"at most {self._heat_limit():.1f} frames a second" if self._step else "all frames"
                _log.info("pace: cooler: %s are analysed", said)

    def _heat_limit(self) -> float:
        return max(SLOWEST, self._base * STEP**self._step)
