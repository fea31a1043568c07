"""Classification by a server: TensorFlow Serving's documented format, and failures of server and network."""

import base64
import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from edge.config import EmotionSettings, Settings
from edge.emotion.classifier import Classifier, open_classifier
from edge.emotion.scores import probabilities_of
from edge.faces.crop import Pixels
from edge.media import CLIP
from edge.models.runtime import choose
from tests.support.broker import Mosquitto
from tests.support.daemon import Heard, Listener, free_port, running, wait_until
from tests.support.serving import SMALL_CARD, Told, metadata, serving, tensor, told

FACES = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), np.uint8)
ASKED = "GET /v1/models/emotion/metadata"
PREDICT = "POST /v1/models/emotion:predict"

PRIMARY = SMALL_CARD.primary.name
LABELS = SMALL_CARD.primary.labels
COUNT = len(LABELS)
# As in https://www.tensorflow.org/tfx/serving/api_rest: a Keras model of two outputs, float in and out, version 3.
TWO_OUTPUTS = metadata(
    {"image": tensor("DT_FLOAT", -1, 48, 48, 1)},
    {PRIMARY: tensor("DT_FLOAT", -1, COUNT), "other": tensor("DT_FLOAT", -1, 5)},
)
LOGITS = [[3.0 if label == best else 0.25 * n - 1 for n, label in enumerate(LABELS)] for best in ("happy", "angry")]
PREDICTIONS = {
    "predictions": [
        {"other": [0.0, 0.5, 1.0, 1.5, 2.0], PRIMARY: LOGITS[0]},
        {"other": [2.0, 1.5, 1.0, 0.5, 0.0], PRIMARY: LOGITS[1]},
    ]
}
EXPECTED = probabilities_of(SMALL_CARD.primary, np.array(LOGITS, np.float32))


def opened(url: str, timeout: float = 10.0, **more: Any) -> Classifier:
    return open_classifier(EmotionSettings(server=url, server_timeout=timeout, **more), choose(), 1)


def here(crops: Pixels) -> Any:
    """Run the local model on crops."""
    return open_classifier(EmotionSettings(), choose(), 1).classify(crops).probabilities


@pytest.fixture
def tensorflow_serving() -> Iterator[Told]:
    with told({ASKED: (200, TWO_OUTPUTS), PREDICT: (200, PREDICTIONS)}) as server:
        yield server


def test_tensorflow_serving_is_asked_and_understood_as_it_is_documented(tensorflow_serving: Told) -> None:
    classifier = opened(tensorflow_serving.url())
    scores = classifier.classify(FACES)
    assert scores.probabilities == pytest.approx(EXPECTED, abs=1e-6)
    (asked, nothing), (predict, request) = tensorflow_serving.heard
    assert (asked, nothing, predict) == (ASKED, None, PREDICT)
    # Row format, one input, so its name is left out; floats as the network was trained on: 0 to 1.
    assert list(request) == ["instances"]
    assert np.array(request["instances"]) == pytest.approx(FACES / 255, abs=1e-5)
    # The server's model has no output for valence and arousal, so they are derived from the scores.
    happy, angry = scores.valence_arousal
    assert happy[0] > 0.5
    assert angry[0] < 0
    assert classifier.server == "online"


def test_a_version_in_the_address_is_asked_for(tensorflow_serving: Told) -> None:
    said = tensorflow_serving.said
    said[ASKED.replace("emotion/", "emotion/versions/3/")] = said.pop(ASKED)
    said["POST /v1/models/emotion/versions/3:predict"] = said.pop(PREDICT)
    classifier = opened(tensorflow_serving.url("emotion/versions/3"))
    assert classifier.classify(FACES).probabilities == pytest.approx(EXPECTED, abs=1e-6)


def test_the_only_output_has_no_name_in_the_answer() -> None:
    only = metadata({"image": tensor("DT_FLOAT", -1, 48, 48, 1)}, {PRIMARY: tensor("DT_FLOAT", -1, COUNT)})
    with told({ASKED: (200, only), PREDICT: (200, {"predictions": LOGITS})}) as server:
        assert opened(server.url()).classify(FACES).probabilities == pytest.approx(EXPECTED, abs=1e-6)


@pytest.mark.parametrize("dtype", ["DT_UINT8", "DT_INT32"])
def test_whole_numbers_are_sent_as_pixels(tensorflow_serving: Told, dtype: str) -> None:
    pixels = metadata({"image": tensor(dtype, -1, 48, 48, 1)}, {PRIMARY: tensor("DT_FLOAT", -1, COUNT)} | _other())
    tensorflow_serving.said[ASKED] = (200, pixels)
    opened(tensorflow_serving.url()).classify(FACES)
    assert np.array_equal(tensorflow_serving.heard[-1][1]["instances"], FACES)


def test_binary_values_are_sent_as_base64_of_a_picture_file(tensorflow_serving: Told) -> None:
    files = metadata({"image_bytes": tensor("DT_STRING", -1)}, {PRIMARY: tensor("DT_FLOAT", -1, COUNT)} | _other())
    tensorflow_serving.said[ASKED] = (200, files)
    opened(tensorflow_serving.url()).classify(FACES)
    sent = tensorflow_serving.heard[-1][1]["instances"]
    assert all(list(instance) == ["b64"] for instance in sent)
    decoded = [np.frombuffer(base64.b64decode(instance["b64"]), np.uint8) for instance in sent]
    assert np.array_equal([cv2.imdecode(file, cv2.IMREAD_GRAYSCALE) for file in decoded], FACES[..., 0])


def test_one_connection_serves_for_all(tensorflow_serving: Told) -> None:
    classifier = opened(tensorflow_serving.url())
    for _ in range(5):
        classifier.classify(FACES)
    assert tensorflow_serving.connections == 1


def test_a_connection_that_the_server_let_go_is_opened_again() -> None:
    with told({ASKED: (200, TWO_OUTPUTS), PREDICT: (200, PREDICTIONS)}, hang_up=True) as server:
        classifier = opened(server.url())
        for _ in range(3):
            assert classifier.classify(FACES).probabilities == pytest.approx(EXPECTED, abs=1e-6)
        assert classifier.server == "online"


def _other() -> dict[str, Any]:
    return {"other": tensor("DT_FLOAT", -1, 5)}


def _named(*values: Any) -> dict[str, Any]:
    return {"predictions": [{PRIMARY: value, "other": []} for value in values]}


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (
            404,
            {"error": "Servable not found for request: Latest(emotion)"},
            "404 Not Found: Servable not found for req",
        ),
        (400, {"error": "line one\nline \x1b[31mtwo" + "!" * 999}, "400 Bad Request: line one line \\x1b[31mtwo!!!"),
        (500, b"<html>", "500 Internal Server Error"),
        (302, b"", "302 Found"),
        (200, b"hello", "an answer that is no JSON object"),
        (200, b"[" * 100_000, "an answer that is no JSON object"),
        (200, b" " * 1_100_000 + b"{}", "an answer of more than 1 MiB"),
        (200, {}, "no `predictions` of 2 face(s)"),
        (200, _named(LOGITS[0]), "no `predictions` of 2 face(s)"),
        (200, {"predictions": LOGITS}, f"no numbers of output '{PRIMARY}'"),
        (200, _named(LOGITS[0], LOGITS[1][:-1]), f"output '{PRIMARY}' is not {COUNT} finite numbers a face"),
        (200, _named(LOGITS[0], [float("nan")] * COUNT), f"output '{PRIMARY}' is not {COUNT} finite numbers a face"),
        (200, _named(LOGITS[0], [10**400] * COUNT), f"no numbers of output '{PRIMARY}'"),
        (200, _named(LOGITS[0], [None] * COUNT), f"no numbers of output '{PRIMARY}'"),
    ],
)
def test_an_answer_of_no_use_is_said_and_the_local_model_stands_in(
    tensorflow_serving: Told, status: int, answer: Any, said: str
) -> None:
    classifier = opened(tensorflow_serving.url())
    tensorflow_serving.said[PREDICT] = (status, answer)
    assert np.array_equal(classifier.classify(FACES).probabilities, here(FACES))
    assert classifier.server is not None
    assert classifier.server.startswith(said)
    assert len(classifier.server) <= 200
    assert classifier.server.isprintable()


OUT = {PRIMARY: tensor("DT_FLOAT", -1, COUNT)}
IN48 = {"image": tensor("DT_FLOAT", -1, 48, 48, 1)}
OWN: dict[str, Any] = {
    "name": "emotion-large",
    "version": "1.0.0",
    "sha256": "0" * 64,
    "members": [],
    "crop": SMALL_CARD.crop.model_dump(mode="json"),
    "outputs": [SMALL_CARD.primary.model_dump(mode="json")],
}
BACKWARDS = SMALL_CARD.primary.model_dump(mode="json") | {"labels": list(reversed(LABELS))}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"hello": 1}, "metadata that describes no model with one input"),
        (metadata(IN48 | {"more": tensor("DT_FLOAT", -1)}, OUT), "metadata that describes no model with one input"),
        (metadata({"image": tensor("DT_FLOAT", -1, 64, 64, 3)}, OUT), "it takes faces of 64x64x3, not 48x48x1"),
        (metadata({"image": tensor("DT_COMPLEX64", -1)}, OUT), "its input is of type DT_COMPLEX64"),
        (metadata(IN48, _other()), f"it has no output '{PRIMARY}' (it has other)"),
        (metadata(IN48, {PRIMARY: tensor("DT_FLOAT", -1, 99)}), f"its output '{PRIMARY}' has 99 values, not {COUNT}"),
        (
            metadata(IN48, OUT, emotion_edge=OWN | {"outputs": [BACKWARDS]}),
            f"its labels are {', '.join(reversed(LABELS))}",
        ),
        (metadata(IN48, OUT, emotion_edge=OWN | {"outputs": []}), "metadata that describes no model"),
        (metadata(IN48, OUT, emotion_edge=OWN | {"crop": {"scale": 1.6}}), "its faces are cut in another way"),
    ],
)
def test_another_kind_of_model_is_not_used(tensorflow_serving: Told, answer: Any, said: str) -> None:
    tensorflow_serving.said[ASKED] = (200, answer)
    classifier = opened(tensorflow_serving.url())
    assert str(classifier.server).startswith(said)
    assert np.array_equal(classifier.classify(FACES).probabilities, here(FACES))
    assert tensorflow_serving.heard == [(ASKED, None)]


def test_a_server_that_keeps_silent_holds_nobody_up_and_is_asked_no_more_for_a_while(
    tensorflow_serving: Told, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = opened(tensorflow_serving.url(), timeout=2.0)
    assert classifier.server == "online"
    tensorflow_serving.held.set()
    for _ in range(5):  # none of which would end if it waited for the answer
        assert np.array_equal(classifier.classify(FACES).probabilities, here(FACES))
    assert classifier.server == "no answer in time"
    said = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 1
    assert "no answer in time; faces are classified by emotion-small here" in said[0].getMessage()
    assert [asked for asked, _ in tensorflow_serving.heard if asked == PREDICT] == [PREDICT]


def test_the_waits_for_a_server_that_only_seems_to_be_back_grow(
    tensorflow_serving: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("edge.emotion.remote.time", SimpleNamespace(monotonic=lambda: now[0]))
    classifier = opened(tensorflow_serving.url())
    tensorflow_serving.said[PREDICT] = (500, {"error": "out of memory"})
    waits = []
    for _ in range(8):
        classifier.classify(FACES)
        assert str(classifier.server).startswith("500")
        lost = now[0]
        while classifier.server != "online":
            now[0] += 0.5
            classifier.classify(FACES[:0])
            _settled(classifier)
        waits.append(now[0] - lost)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def _settled(classifier: Classifier) -> None:
    """Wait until the classifier has the server's answers to its background requests."""
    asking = getattr(classifier, "_pending")  # noqa: B009
    asking.exception(timeout=10)
    wait_until(lambda: classifier.server == "online" or not asking.running(), "it is taken note of")


def test_a_server_that_goes_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    port = free_port()
    local = here(FACES)
    with serving(tmp_path / "first.txt", port) as process:
        classifier = opened(f"http://127.0.0.1:{port}/v1/models/emotion-small")
        assert classifier.server == "online"
        classifier.classify(FACES)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for _ in range(3):
            assert np.array_equal(classifier.classify(FACES).probabilities, local)
        assert classifier.server != "online"
    with serving(tmp_path / "second.txt", port):

        def is_back() -> bool:
            classifier.classify(FACES)
            return classifier.server == "online"

        wait_until(is_back, "the server is used again")
        assert classifier.classify(FACES).probabilities == pytest.approx(local, abs=1e-4)
    words = [record.getMessage() for record in caplog.records if record.name == "edge.emotion.remote"]
    assert sum("are classified by emotion-small here" in text for text in words) == 1
    assert sum("answers again" in text for text in words) == 1


def test_no_server_at_all_is_no_reason_not_to_start() -> None:
    classifier = opened(f"http://127.0.0.1:{free_port()}/v1/models/emotion-small")
    assert classifier.server == "connection refused"
    assert np.array_equal(classifier.classify(FACES).probabilities, here(FACES))


def test_a_server_that_wants_a_token_gets_it(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "token").write_text("open-sesame\n")
    with serving(tmp_path / "log.txt", port, {"serve.token": "open-sesame"}):
        url = f"http://127.0.0.1:{port}/v1/models/emotion-small"
        assert str(opened(url).server).startswith("401 Unauthorized: a token is wanted")
        assert str(opened(url, server_token="open sesame").server).startswith("401 Unauthorized")
        assert opened(url, server_token_file=tmp_path / "token").server == "online"
        assert str(opened(url.replace("-small", "-huge"), server_token="open-sesame").server).startswith(
            "404 Not Found: no model 'emotion-huge'"
        )


@pytest.mark.parametrize("url", ["pi5:8501", "http://pi5:8501", "ftp://pi5/v1/models/x", "http://u:p@pi5/v1/models/x"])
def test_an_address_that_is_none_of_a_model_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"emotion\.server"):
        Settings.model_validate({"emotion": {"server": url}})


def test_the_daemon_goes_on_without_its_server_and_says_so(tmp_path: Path) -> None:
    def said(server: object) -> Callable[[Heard], bool]:
        return lambda heard: heard.topic == "stats" and heard.payload["server"] == server

    port = free_port()
    with Mosquitto() as broker, serving(tmp_path / "server.txt", port) as process:
        listener = Listener(broker.port)
        flags = {
            "camera.source": CLIP,
            "mqtt.host": "127.0.0.1",
            "mqtt.port": broker.port,
            "mqtt.stats_every": 600,
            "emotion.server": f"http://127.0.0.1:{port}/v1/models/emotion-small",
            "emotion.server_timeout": 10,
        }
        try:
            with running(tmp_path / "daemon.txt", flags):
                listener.wait(lambda heard: heard.topic == "faces" and bool(heard.payload["faces"]), "a face")
                listener.wait(said("online"), "stats with the server online")
                process.kill()
                process.wait()
                listener.wait(
                    lambda heard: heard.topic == "stats" and heard.payload["server"] != "online", "a word of it"
                )
                seen = len(listener.messages)
                listener.wait(
                    lambda heard: heard.topic == "faces" and bool(heard.payload["faces"]), "a face after that", seen
                )
        finally:
            listener.close()
    assert (tmp_path / "daemon.txt").read_text().count("faces are classified by emotion-small here") == 1
