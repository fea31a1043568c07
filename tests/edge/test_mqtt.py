"""Publishing to a real Mosquitto: every topic, and every kind of broker outage."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from edge.outputs.mqtt.outbox import EVENTS_KEPT
from tests.edge.test_messages import TOPICS, validator
from tests.support.broker import REMEMBERS, Mosquitto, Subscriber
from tests.support.daemon import wait_until
from tests.support.publishing import DEVICE, connected, disconnected, expiry, ids, publishing
from tests.support.samples import face, frame, reading, stats


@pytest.fixture
def broker() -> Iterator[Mosquitto]:
    with Mosquitto() as broker:
        yield broker


def test_every_topic_fits_its_schema_and_keeps_the_contract(broker: Mosquitto) -> None:
    with Subscriber(broker.port, "emotion/#") as ear, publishing(broker.port) as output:
        connected(output)
        output.report(stats())
        output.put(reading([face(1, "happy")]))
        ear.wait(lambda: bool(ear.of("/faces") and ear.of("/stats")), "faces and stats")
        output.put(reading([face(1, "sad")]))
        output.put(reading())
        ear.wait(lambda: len(ear.of("/event")) == 3, "three events")
        ear.wait(lambda: ear.contents("/state")[-1]["faces"] == 0, "an empty scene")

        for topic in TOPICS:
            for content in ear.contents(f"/{topic}"):
                validator(topic).validate(content)
        told = [content["event"] for content in ear.contents("/event")]
        assert told == ["face_appeared", "emotion_changed", "face_left"]
        assert ear.texts("/status") == ["online"]
        assert {message.topic for message in ear.of("")} == {
            f"emotion/{DEVICE}/{topic}" for topic in ("status", *TOPICS)
        }
        qos = {topic: {message.qos for message in ear.of(f"/{topic}")} for topic in ("status", *TOPICS)}
        assert qos == {"status": {1}, "state": {1}, "faces": {0}, "event": {1}, "stats": {0}}

        with Subscriber(broker.port) as late:
            late.wait(lambda: len(late.of("")) == 3, "what the broker retains")
            assert all(message.retain for message in late.of(""))
            retained = {message.topic.rsplit("/", 1)[1] for message in late.of("")}
            assert retained == {"status", "state", "stats"}


def test_state_is_there_before_the_first_frame(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port):
        ear.wait(lambda: bool(ear.of("/state")), "state")
        (state,) = ear.contents("/state")
        assert (state["emotion"], state["faces"]) == (None, 0)
        assert state["camera"] != "online"


def test_state_is_sent_when_the_camera_is_lost_and_its_faces_leave(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        output.report(stats())
        output.put(reading([face(5, "happy")]))
        ear.wait(lambda: any(state["faces"] == 1 for state in ear.contents("/state")), "a face in the state")
        output.report(stats(camera="camera /dev/video0: unplugged"))
        ear.wait(lambda: ear.contents("/state")[-1]["camera"] == "camera /dev/video0: unplugged", "the loss")
        assert ear.contents("/state")[-1]["emotion"] is None
        ear.wait(lambda: ids(ear, "face_left") == [5], "the face's leaving")


def test_a_lost_camera_is_one_change_of_the_state_however_often_it_is_tried(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port, heartbeat=60) as output:
        connected(output)
        for camera in ("online", "lost: camera /dev/video0: unplugged", "lost: camera /dev/video0: busy", "online"):
            output.report(stats(camera=camera))
            ear.wait(lambda: camera in [told["camera"] for told in ear.contents("/stats")[-1:]], "stats")  # noqa: B023
        ear.wait(lambda: ear.contents("/state")[-1]["camera"] == "online", "the camera's return")
        told = [state["camera"] for state in ear.contents("/state")]
        assert told[-3:] == ["online", "lost: camera /dev/video0: unplugged", "online"]


def test_faces_in_view_leave_at_a_clean_end_before_the_last_state(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear:
        with publishing(broker.port) as output:
            connected(output)
            output.report(stats())
            output.put(reading([face(1, "happy"), face(2, "sad")]))
            ear.wait(lambda: bool(ear.of("/faces") and ear.of("/stats")), "all that waited")
            before = len(ear.of("/state"))
        ear.wait(lambda: ear.texts("/status")[-1:] == ["offline"], "goodbye")
        assert ids(ear, "face_left") == [1, 2]
        (last,) = ear.contents("/state")[before:]
        assert (last["faces"], last["camera"]) == (0, "off: the daemon has ended")
        assert [message.topic.rsplit("/", 1)[1] for message in ear.of("")][-4:] == ["event", "event", "state", "status"]


def test_what_is_retained_after_a_clean_end_is_no_scene_of_the_past(broker: Mosquitto) -> None:
    with publishing(broker.port) as output:
        connected(output)
        output.report(stats())
        output.put(reading([face(1, "happy")]))
    with Subscriber(broker.port) as late:
        late.wait(lambda: bool(late.of("/state")) and late.texts("/status") == ["offline"], "what stays behind")
        (state,) = late.contents("/state")
        validator("state").validate(state)
        assert (state["emotion"], state["faces"], state["watching"]) == (None, 0, False)
        assert state["camera"] == "off: the daemon has ended"


def test_state_beats_though_nothing_changes_and_expires(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port, heartbeat=0.2):
        ear.wait(lambda: len(ear.of("/state")) >= 4, "heartbeats")
        contents = [{**content, "ts": ""} for content in ear.contents("/state")]
        assert all(content == contents[0] for content in contents)
        # Expiry after three heartbeats, in whole seconds; the status never expires.
        assert [expiry(ear.of(topic)[-1]) for topic in ("/state", "/status")] == [1, None]


def test_faces_keep_to_the_rate_whatever_the_camera_gives(broker: Mosquitto) -> None:
    """64 frames at 32 a second and a limit of 4 messages a second: every eighth frame is published."""
    with Subscriber(broker.port) as ear, publishing(broker.port, faces_rate=4) as output:
        connected(output)
        for number in range(64):
            output.put(reading([face(1)], frame(number), captured_at=1000 + number / 32))
            if number % 8 == 0:
                wait_until(lambda: len(ear.of("/faces")) > number // 8, "frame")  # noqa: B023 - called at once
        output.report(stats())
        ear.wait(lambda: bool(ear.of("/stats")), "stats")
        assert [content["sequence"] for content in ear.contents("/faces")] == list(range(0, 64, 8))


def test_faces_of_a_camera_a_little_faster_than_the_rate_are_not_halved(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port, faces_rate=8) as output:
        connected(output)
        for number in range(45):
            output.put(reading([face(1)], frame(number), captured_at=1000 + number / 9))
            wait_until(lambda: len(ear.of("/faces")) >= number * 8 // 9, "eight frames of nine")  # noqa: B023
        assert len(ear.of("/faces")) <= 41


def test_the_will_says_offline_when_the_process_is_killed(broker: Mosquitto) -> None:
    program = (
        "import sys, time; from edge.config import MqttSettings; from edge.outputs.mqtt.output import MqttOutput;"
        f"MqttOutput(MqttSettings(host='127.0.0.1', port={broker.port}, device_id='{DEVICE}')); time.sleep(60)"
    )
    with Subscriber(broker.port) as ear:
        process = subprocess.Popen([sys.executable, "-c", program])
        try:
            ear.wait(lambda: ear.texts("/status") == ["online"], "birth")
        finally:
            process.kill()
            process.wait()
        ear.wait(lambda: ear.texts("/status") == ["online", "offline"], "will")
        with Subscriber(broker.port) as late:
            late.wait(lambda: late.texts("/status") == ["offline"], "retained will")


def test_goodbye_comes_after_all_that_was_put(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear:
        with publishing(broker.port) as output:
            connected(output)
            for number in range(1, 51):
                output.put(reading([face(number)]))
        ear.wait(lambda: ear.texts("/status") == ["online", "offline"], "goodbye")
        topics = [message.topic for message in ear.of("")]
        assert topics[-1] == f"emotion/{DEVICE}/status"
        assert ids(ear) == list(range(1, 51))
        assert output.connection != "connected"


def test_an_outage_keeps_events_in_order_and_the_newest_state() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        with publishing(broker.port) as output:
            ear.wait(lambda: bool(ear.of("/state")), "state")
            output.report(stats())
            output.put(reading([face(1, "happy")]))
            ear.wait(lambda: bool(ear.of("/faces") and ear.of("/stats") and ids(ear) == [1]), "first frame")
            broker.stop()
            disconnected(output)
            for number in range(2, 40):
                output.put(reading([face(number, "sad" if number == 39 else "fear")]))
            ear.forget()
            broker.start()
            ear.wait(lambda: len(ids(ear)) == 38 and bool(ear.of("/state")), "all that happened")
            assert ids(ear) == list(range(2, 40))
            assert {state["emotion"] for state in ear.contents("/state")} == {"sad"}
            assert ear.of("/faces") == []
            assert set(ear.texts("/status")) == {"online"}
            with Subscriber(broker.port) as late:
                late.wait(lambda: len(late.of("")) == 3, "status, state and stats, retained anew")
            output.put(reading([face(99)]))
            ear.wait(lambda: bool(ear.of("/faces")), "frame after the outage")


def test_what_a_dying_broker_had_not_acknowledged_is_sent_again() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        with publishing(broker.port) as output:
            connected(output)
            ear.wait(lambda: bool(ear.of("/state")), "state")
            broker.freeze()
            for number in range(1, 31):
                output.put(reading([face(number)]))
            broker.stop()
            disconnected(output)
            broker.start()
            ear.wait(lambda: ids(ear)[-1:] == [30], "the last event")
            assert ids(ear) == list(range(1, 31))


def test_nothing_blocks_and_nothing_piles_up_while_a_broker_stalls(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        ear.wait(lambda: bool(ear.of("/state")), "state")
        broker.freeze()
        for number in range(10_000):
            output.put(reading([face(number)]))
        broker.freeze(False)
        ear.wait(lambda: ids(ear)[-1:] == [9999], "newest event")
        assert len(ear.of("/event")) < EVENTS_KEPT + 20  # messages already in transit
        newest = [content["id"] for content in ear.contents("/event")][-EVENTS_KEPT:]
        assert newest == [9899 + (place + 1) // 2 for place in range(EVENTS_KEPT)]  # one comes when one goes


def test_of_ten_thousand_events_offline_the_newest_are_kept() -> None:
    with Mosquitto(*REMEMBERS) as broker, Subscriber(broker.port, session="ear") as ear:
        broker.restart()
        broker.stop()
        with publishing(broker.port) as output:
            for number in range(10_000):
                output.put(reading([face(number)]))
            broker.start()
            ear.wait(lambda: ids(ear)[-1:] == [9999], "newest event")
            assert ids(ear) == list(range(9900, 10_000))
            assert len(ear.of("/event")) == EVENTS_KEPT


def test_two_boards_of_one_name_do_not_throw_each_other_out(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as one, publishing(broker.port) as other:
        connected(one)
        connected(other)
        one.put(reading([face(1)]))
        other.put(reading([face(2)]))
        ear.wait(lambda: sorted(ids(ear)) == [1, 2], "events of both")
        assert (one.connection, other.connection) == ("connected", "connected")
        assert "offline" not in ear.texts("/status")


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_two_boards_of_one_name_are_said_once(
    broker: Mosquitto, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    with publishing(broker.port, version=version, heartbeat=0.1):
        with publishing(broker.port, version=version, heartbeat=0.1):
            wait_until(lambda: "another board publishes" in caplog.text, "the warning")
            wait_until(lambda: caplog.text.count("another board publishes") == 2, "that of the other board")
        with Subscriber(broker.port) as ear:
            ear.wait(lambda: len(ear.of("/state")) > 10, "heartbeats of the one that is left")
    warned = [record.getMessage() for record in caplog.records if "another board" in record.getMessage()]
    assert len(warned) == 2
    assert all("mqtt.device_id" in line and f"emotion/{DEVICE}/state" in line for line in warned)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_an_earlier_run_is_no_other_board(broker: Mosquitto, version: str, caplog: pytest.LogCaptureFixture) -> None:
    with publishing(broker.port, version=version) as earlier:
        connected(earlier)
        with Subscriber(broker.port) as ear, publishing(broker.port, version=version, heartbeat=0.1) as output:
            connected(output)
            earlier.close()
            ear.wait(lambda: len(ear.of("/state")) > 10, "heartbeats")
    assert "another board" not in caplog.text


def test_the_late_will_of_an_earlier_run_is_contradicted(broker: Mosquitto) -> None:
    with Subscriber(broker.port) as ear, publishing(broker.port) as output:
        connected(output)
        ear.wait(lambda: ear.texts("/status") == ["online"], "birth")
        ear.publish(f"emotion/{DEVICE}/status", "offline", retain=True)
        ear.wait(lambda: ear.texts("/status") == ["online", "offline", "online"], "second birth")
        with Subscriber(broker.port) as late:
            late.wait(lambda: late.texts("/status") == ["online"], "retained status")
