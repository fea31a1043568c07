"""The pace: analyses fewer frames per second while the board is hot, while nobody is in view, and at night."""

import logging
import math
from collections.abc import Callable
from typing import Final

from edge.config import PaceSettings
from edge.reading import Frame
from edge.system.board import Health, health

_log = logging.getLogger(__name__)

CHECK_S: Final = 10.0
"""Seconds between two readings of the board's temperature; a heat sink responds more slowly."""

HYSTERESIS: Final = 5.0
"""Degrees Celsius below `pace.hot` that the board must cool to before the rate rises again."""

RECOVER_CHECKS: Final = 3
"""Consecutive readings of a cool board before the rate rises by a step."""

STEP: Final = 2 / 3
STEPS: Final = 6
MIN_FPS: Final = 2.0
"""Minimum number of frames analysed per second, however hot the board is."""

_ASSUMED_FPS: Final = 30.0
_EARLY_SHARE: Final = 0.1
"""Share of a period by which a frame may come early, because cameras jitter."""

_DAWN: Final = 1.25
"""Ratio of the brightness at which night ends to that at which it begins (hysteresis)."""


class Pacer:
    """Decides by time stamps which frames are analysed. Not thread-safe, except for `next_due`.

    state: `full`; `limited`, by `pace.max_fps`; `hot`; `idle`: nobody was in view for a while; `night`: the picture is
    dark and nobody is in it. limit: most frames analysed per second now; None: no limit.
    """

    def __init__(self, settings: PaceSettings, sense: Callable[[], Health] = health) -> None:
        """Start at full rate. settings: limits, and when to idle. sense: reads the board's sensors."""
        self._settings = settings
        self._sense = sense
        self._due = self._checked_at = self._active = self._dark_since = self._face_at = -math.inf
        self._idle = self._dark = False
        self._step = self._cool_checks = 0
        self._frames, self._rate, self._base = 0, _ASSUMED_FPS, _ASSUMED_FPS
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
        """Continue with new settings."""
        self._settings = settings
        if not settings.hot:
            self._step = 0
        if not settings.idle_after:
            self._idle = False

    def next_due(self) -> float:
        """Return the time, in seconds of `time.monotonic()`, before which no frame will be analysed. Thread-safe."""
        limit = self.limit
        return -math.inf if limit is None else self._due - _EARLY_SHARE / limit

    def due(self, at: float) -> bool:
        """Whether the frame captured at time `at`, in seconds of `time.monotonic()`, is to be analysed."""
        limit = self.limit
        if limit is None:
            return True
        period = 1 / limit
        if at < self._due - _EARLY_SHARE * period:
            return False
        # The next frame is due one period after this one was due, not after it came: the mean rate then equals the
        # limit.
        self._due = (self._due if at - self._due < period else at) + period
        return True

    def analysed(self, frame: Frame, face: bool, tentative: bool = False) -> None:
        """Record that a frame was analysed, and decide whether the board idles.

        Args:
            frame: the analysed frame.
            face: whether it has a face, or detection is off.
            tentative: whether it may have a face, which the next frame has to confirm.
        """
        at = frame.captured_at
        if self._active == -math.inf:
            self._active = self._checked_at = at
        was_dark = self._dark
        self._dark = self._is_dark(frame)
        if self._dark and not was_dark:
            self._dark_since = at
        if face:
            self._face_at = at
        if face or (was_dark and not self._dark):
            self._active = at
        idle_after = self._settings.idle_after
        # If a face was found since it became dark, it is not night: `idle_after` applies as in the light.
        night = self._dark and self._face_at < self._dark_since
        asleep = bool(idle_after) and not (face or tentative) and (night or at - self._active >= idle_after)
        if asleep != self._idle:
            self._idle, self._was_awake = asleep, False
            self._due = at + 1 / self._settings.idle_fps if asleep else at
            _log.debug("pace: %s", self.state)
        self._frames += 1
        if at - self._checked_at >= CHECK_S:
            self._check_board(at)

    def _is_dark(self, frame: Frame) -> bool:
        limit = self._settings.dark
        if not limit:
            return False
        picture = frame.image if frame.analysis is None else frame.analysis
        # Every 16th pixel of every 16th row is enough.
        brightness = float(picture[::16, ::16].mean())
        return brightness < (limit * _DAWN if self._dark else limit)

    def _check_board(self, at: float) -> None:
        """Lower the rate by a step while the board is hot or throttled; raise it after several cool readings."""
        if self._was_awake and not self._step:
            self._rate = self._frames / (at - self._checked_at)
        self._was_awake, self._frames, self._checked_at = not self._idle, 0, at
        board = self._sense()
        hot = self._settings.hot
        too_hot = bool(hot) and board.temperature is not None and board.temperature >= hot
        still_warm = bool(hot) and board.temperature is not None and board.temperature > hot - HYSTERESIS
        if hot and (too_hot or board.throttled):
            self._cool_checks = 0
            if self._step == 0:
                self._base = min(self._rate, self._settings.max_fps or self._rate)
            if self._step < STEPS and (self._step == 0 or self._heat_limit() > MIN_FPS):
                self._step += 1
                why = f"{board.temperature:.0f} °C" if too_hot else "the firmware throttles the processor"
                _log.warning("pace: %s: at most %.1f frames a second are analysed", why, self._heat_limit())
        elif self._step and not still_warm:
            self._cool_checks += 1
            if self._cool_checks >= RECOVER_CHECKS:
                self._cool_checks = 0
                self._step -= 1
                rate = f"at most {self._heat_limit():.1f} frames a second" if self._step else "all frames"
                _log.info("pace: cooler: %s are analysed", rate)

    def _heat_limit(self) -> float:
        return max(MIN_FPS, self._base * STEP**self._step)
