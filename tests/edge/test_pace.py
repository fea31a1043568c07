"""How many frames are analysed when hot, in an empty room and at night, and how soon a new person is seen."""

import logging
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import PaceSettings
from edge.daemon.pace import CHECK_S, MIN_FPS, RECOVER_CHECKS, Pacer
from edge.reading import Frame, Image
from edge.system.board import health
from tests.support.broker import Mosquitto, Subscriber
from tests.support.daemon import DEVICE, running
from tests.support.samples import picture

FPS = 30
DAY = picture(320, 240)
NIGHT = np.full_like(DAY, 3)


class Board:
    """Imitates the kernel's files of a thermal zone and of the Raspberry Pi firmware's throttling state."""

    def __init__(self, folder: Path) -> None:
        self._zone = folder / "thermal_zone0" / "temp"
        self._word = folder / "soc" / "soc:firmware" / "get_throttled"
        for file in (self._zone, self._word):
            file.parent.mkdir(parents=True)
        self.sense = partial(health, folder, folder)

    def is_at(self, celsius: float, throttled: bool = False) -> None:
        self._zone.write_text(f"{celsius * 1000:.0f}\n")
        self._word.write_text("50005\n" if throttled else "50000\n")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


class Room:
    """Simulates a camera with 30 frames a second on a simulated clock, from which a Pace takes frames."""

    def __init__(self, pacer: Pacer) -> None:
        self.pacer = pacer
        self._count = 0
        self._jitter = np.random.default_rng(1)

    @property
    def now(self) -> float:
        return 1000 + self._count / FPS

    def frames(self, seconds: float) -> Iterator[float]:
        for _ in range(round(seconds * FPS)):
            self._count += 1
            yield self.now + self._jitter.uniform(-0.002, 0.002)

    def analysed(self, seconds: float, someone: bool = True, image: Image = DAY) -> list[float]:
        """Let time pass; returns the times of the frames that were analysed."""
        times = []
        for at in self.frames(seconds):
            if self.pacer.due(at):
                times.append(at)
                self.pacer.analysed(Frame(image, at, at, self._count), someone)
        return times


def test_without_a_reason_every_frame_is_analysed(board: Board) -> None:
    board.is_at(60)
    pacer = Pacer(PaceSettings(), board.sense)
    assert len(Room(pacer).analysed(60)) == 60 * FPS
    assert (pacer.state, pacer.limit) == ("full", None)


@pytest.mark.parametrize("cap", [1.0, 12.5, 20.0, 29.0])
def test_the_cap_is_kept_on_average(cap: float, board: Board) -> None:
    board.is_at(60)
    pacer = Pacer(PaceSettings(max_fps=cap), board.sense)
    times = Room(pacer).analysed(60)
    assert len(times) == pytest.approx(60 * cap, rel=0.02, abs=1)
    assert (pacer.state, pacer.limit) == ("limited", cap)


def test_a_cap_of_the_cameras_own_rate_costs_no_frame(board: Board) -> None:
    board.is_at(60)
    assert len(Room(Pacer(PaceSettings(max_fps=FPS), board.sense)).analysed(60)) >= 59.5 * FPS


@pytest.mark.parametrize(("celsius", "throttled"), [(82.0, False), (60.0, True)])
def test_heat_lowers_the_rate_by_steps_and_says_so(
    board: Board, celsius: float, throttled: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    board.is_at(60)
    room = Room(Pacer(PaceSettings(), board.sense))
    room.analysed(2 * CHECK_S)
    assert caplog.records == []
    board.is_at(celsius, throttled)
    limits = [FPS + 1.0]
    for _ in range(12):
        times = room.analysed(CHECK_S)
        limit = room.pacer.limit
        if limit is None:
            continue
        assert limit <= limits[-1]
        limits.append(limit)
        assert len(times) <= limits[-2] * CHECK_S * 1.05
    assert room.pacer.state == "hot"
    assert MIN_FPS <= limits[-1] < 4
    steps = len(caplog.records)
    assert 4 <= steps <= 8, "a line a step, and none once it is as low as it goes"
    assert ("82 °C" in caplog.text) is not throttled
    assert ("firmware" in caplog.text) is throttled

    board.is_at(60)
    caplog.clear()
    room.analysed((steps + 1) * (RECOVER_CHECKS + 1) * CHECK_S)
    assert (room.pacer.state, room.pacer.limit) == ("full", None)
    assert len(caplog.records) == steps
    assert "all frames" in caplog.records[-1].getMessage()


def test_between_hot_and_cool_the_rate_stays(board: Board) -> None:
    board.is_at(82)
    room = Room(Pacer(PaceSettings(), board.sense))
    while room.pacer.state != "hot":
        room.analysed(1)
    limit = room.pacer.limit
    board.is_at(78)
    room.analysed(10 * CHECK_S)
    assert room.pacer.limit == limit


def test_no_sensor_or_no_limit_is_no_heat(tmp_path: Path, board: Board) -> None:
    room = Room(Pacer(PaceSettings(), partial(health, tmp_path / "none", tmp_path / "nothing")))
    assert len(room.analysed(60)) == 60 * FPS
    board.is_at(90, throttled=True)
    assert len(Room(Pacer(PaceSettings(hot=0), board.sense)).analysed(60)) == 60 * FPS


def test_an_empty_room_idles_and_wakes_with_the_next_frame(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(idle_after=30, idle_fps=5), board.sense))
    room.analysed(10)
    assert len(room.analysed(29, someone=False)) == 29 * FPS
    room.analysed(2, someone=False)
    assert room.pacer.state == "idle"
    assert len(room.analysed(60, someone=False)) == pytest.approx(300, abs=2)
    woken = room.now
    first, second, *_ = room.analysed(1)
    assert first - woken < 0.25
    assert second - first < 1.5 / FPS
    assert room.pacer.state == "full"


def test_a_face_that_may_be_one_gets_the_next_frame_and_no_more(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(idle_after=1), board.sense))
    room.analysed(3, someone=False)
    at = next(at for at in room.frames(1) if room.pacer.due(at))
    room.pacer.analysed(Frame(DAY, at, at, 0), face=False, tentative=True)
    first, second, *_ = room.analysed(1, someone=False)
    assert first - at < 1.5 / FPS
    assert second - first > 0.15


def test_never_idle_where_it_is_switched_off(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(idle_after=0), board.sense))
    assert len(room.analysed(60, someone=False, image=NIGHT)) == 60 * FPS


def test_at_night_it_idles_at_once_and_the_light_wakes_it(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(idle_after=30, idle_fps=5), board.sense))
    room.analysed(5, someone=False)
    assert len(room.analysed(10, someone=False, image=NIGHT)) == pytest.approx(50, abs=2)
    assert room.pacer.state == "night"
    assert len(room.analysed(10, someone=False)) > 9.5 * FPS
    assert room.pacer.state == "full"
    assert len(room.analysed(2, someone=True, image=NIGHT)) > 1.5 * FPS, "a face in the dark is a face"


def test_a_dark_room_in_which_a_face_is_found_is_not_night(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(idle_after=10, idle_fps=5), board.sense))
    room.analysed(2, someone=True, image=NIGHT)
    assert len(room.analysed(5, someone=False, image=NIGHT)) > 4.5 * FPS, "the face may come back at once"
    assert room.pacer.state == "full"
    room.analysed(6, someone=False, image=NIGHT)
    assert room.pacer.limit == 5
    room.analysed(2, someone=True)  # the lamp is on while somebody is in the room
    room.analysed(1, someone=False, image=NIGHT)
    assert room.pacer.state == "night"


def test_dusk_does_not_flicker(board: Board) -> None:
    board.is_at(60)
    room = Room(Pacer(PaceSettings(dark=20), board.sense))
    states = []
    for level in [*range(30, 10, -1), *([19, 21] * 10), *range(11, 31)]:
        room.analysed(1, someone=False, image=np.full_like(DAY, level))
        states.append(room.pacer.state)
    changes = sum(before != after for before, after in pairwise(states))
    assert set(states) >= {"full", "night"}
    assert changes <= 3


def test_other_settings_count_at_once(board: Board) -> None:
    board.is_at(85)
    room = Room(Pacer(PaceSettings(idle_after=1), board.sense))
    room.analysed(15, someone=False)
    assert room.pacer.state == "idle"
    room.pacer.change(PaceSettings(idle_after=0, hot=0))
    assert (room.pacer.state, room.pacer.limit) == ("full", None)
    assert len(room.analysed(10, someone=False)) == 10 * FPS


def test_somebody_who_enters_an_empty_room_is_seen_within_half_a_second(tmp_path: Path, astronaut: Image) -> None:
    """The daemon analyses a clip of an empty room, then a face; times are those of the clip's frames."""
    fps, enters, ends = 20, 80, 120
    room = picture(640, 480)
    face = room.copy()
    face[60:380, 160:480] = cv2.resize(astronaut[:320, 80:400], (320, 320))
    clip = tmp_path / "room.avi"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"MJPG"), fps, (640, 480))
    for number in range(ends):
        writer.write(room if number < enters else face)
    writer.release()
    with Mosquitto() as broker, Subscriber(broker.port) as ear:
        flags = {
            "camera.source": clip,
            "camera.loop": "false",
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
            "mqtt.faces_rate": 60,
            "pace.idle_after": 1,
            "pace.hot": 0,
        }
        with running(tmp_path / "log", flags) as daemon:
            assert daemon.wait(timeout=60) == 0, (tmp_path / "log").read_text()
        ear.wait(lambda: ear.texts(f"{DEVICE}/status")[-1:] == ["offline"], "goodbye")
        heard = ear.contents("/faces")
        idle = [message["sequence"] for message in heard if 2 * fps <= message["sequence"] < enters]
        assert 0 < len(idle) <= 6 * (enters / fps - 2)
        seen = [message["sequence"] for message in heard if message["faces"]]
        print(f"\nseen {(seen[0] - enters) / fps:.2f} s after coming in; {len(idle)} frames analysed while idle")
        assert enters <= seen[0] <= enters + fps / 2
        assert len([number for number in seen if number >= ends - fps]) > 0.7 * fps, "awake"
        paces = [message["pace"] for message in ear.contents("/stats")]
        assert paces.index("idle") < len(paces) - 1 - paces[::-1].index("full")
