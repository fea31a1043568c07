"""The prediction server, over real HTTP."""

import asyncio
import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.cli import main
from edge.commands.snapshot import snapshot
from edge.config import EmotionSettings, Settings
from edge.emotion.classifier import open_classifier
from edge.emotion.committee import open_local
from edge.faces.detector import open_detector
from edge.models.runtime import choose
from edge.outputs.web.connections import CONNECTIONS_MAX
from edge.serve.protocol import RefusedError
from edge.serve.server import Predictions
from tests.conftest import ROOT
from tests.support.daemon import free_port, running, wait_until
from tests.support.serving import SMALL_CARD, ask, serving, three

FACES = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1), np.uint8)
MODEL = "/v1/models/emotion-small"
PRIMARY, LABELS = SMALL_CARD.primary.name, list(SMALL_CARD.primary.labels)
MAJOR = SMALL_CARD.version.partition(".")[0]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a server with the released models and a committee of its own."""
    folder = tmp_path_factory.mktemp("serve")
    name = "+".join(map(str, three(folder)))
    with serving(folder / "log.txt", port := free_port(), {"emotion.model": name}):
        yield port


def predicted(port: int, instances: Any, model: str = MODEL) -> Any:
    status, answer = ask(port, "POST", f"{model}:predict", {"instances": instances})
    assert status == 200, answer
    assert list(answer) == ["predictions"]
    return answer["predictions"]


def test_the_status_is_what_tensorflow_serving_says(port: int) -> None:
    state = {"version": MAJOR, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (MODEL, f"{MODEL}/versions/{MAJOR}"):
        assert ask(port, "GET", path) == (200, {"model_version_status": [state]})


def test_the_metadata_describe_the_signature_and_the_labels(port: int) -> None:
    status, answer = ask(port, "GET", f"{MODEL}/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "emotion-small", "signature_name": "", "version": MAJOR}
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    sizes = [dim["size"] for dim in signature["inputs"]["image"]["tensor_shape"]["dim"]]
    assert (signature["inputs"]["image"]["dtype"], sizes) == ("DT_UINT8", ["-1", "48", "48", "1"])
    assert set(signature["outputs"]) == {PRIMARY, "valence_arousal"}
    own = answer["metadata"]["emotion_edge"]
    assert (own["name"], own["members"], own["outputs"][0]["labels"]) == ("emotion-small", [], LABELS)


def test_pixels_are_predicted_as_here(port: int) -> None:
    here = open_classifier(EmotionSettings(), choose(), 1).classify(FACES)
    answer = predicted(port, FACES.tolist())
    assert [one[PRIMARY] for one in answer] == [pytest.approx(row.tolist(), abs=1e-4) for row in here.probabilities]
    assert answer[0]["valence_arousal"] == pytest.approx(here.valence_arousal[0].tolist(), abs=1e-4)
    assert "votes" not in answer[0]


def test_the_named_input_and_picture_files_mean_the_same(port: int) -> None:
    png = [{"b64": base64.b64encode(cv2.imencode(".png", face)[1].tobytes()).decode()} for face in FACES]
    plain = predicted(port, FACES.tolist())
    assert predicted(port, [{"image": face} for face in FACES.tolist()]) == plain
    assert predicted(port, png) == plain
    assert predicted(port, [{"image": png[0]}, FACES[1].tolist(), png[2]]) == plain


def test_each_shape_and_type_of_tensorflow_serving_means_the_same(port: int) -> None:
    plain = predicted(port, FACES.tolist())
    rows = FACES[..., 0]
    assert predicted(port, rows.tolist()) == plain
    assert predicted(port, rows.astype(float).tolist()) == plain
    assert predicted(port, [{"image": face} for face in rows.tolist()]) == plain
    assert predicted(port, (FACES * 0.998 + 0.2).tolist()) == plain  # rounded


def test_the_column_format_is_answered_by_columns(port: int) -> None:
    plain = predicted(port, FACES.tolist())
    columns = {name: [one[name] for one in plain] for name in plain[0]}
    png = [{"b64": base64.b64encode(cv2.imencode(".png", face)[1].tobytes()).decode()} for face in FACES]
    for inputs in (FACES.tolist(), FACES[..., 0].tolist(), {"image": FACES.tolist()}, {"image": png}):
        assert ask(port, "POST", f"{MODEL}:predict", {"inputs": inputs}) == (200, {"outputs": columns})


def test_a_larger_face_in_a_file_is_shrunk(port: int) -> None:
    large = cv2.resize(FACES[0], (192, 192), interpolation=cv2.INTER_NEAREST)
    file = base64.b64encode(cv2.imencode(".png", large)[1].tobytes()).decode()
    (shrunk,) = predicted(port, [{"b64": file}])
    assert shrunk[PRIMARY] == pytest.approx(predicted(port, FACES[:1].tolist())[0][PRIMARY], abs=0.05)


def test_a_committee_says_each_members_vote(port: int) -> None:
    path = "/v1/models/large+small+nano"
    members = ask(port, "GET", f"{path}/metadata")[1]["metadata"]["emotion_edge"]["members"]
    assert members == ["large", "small", "nano"]
    for prediction in predicted(port, FACES.tolist(), path):
        assert len(prediction["votes"]) == 3
        assert sum(prediction[PRIMARY]) == pytest.approx(1, abs=1e-3)


def test_as_many_faces_as_are_allowed_go_at_once_and_one_more_does_not(port: int) -> None:
    many = FACES[:1].repeat(65, axis=0).tolist()
    assert len(predicted(port, many[:64])) == 64
    assert ask(port, "POST", f"{MODEL}:predict", {"instances": many}) == (
        413,
        {"error": "65 instances; at most 64 in one request"},
    )


GOOD = FACES[0].tolist()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"no JSON", "the request is no JSON"),
        (b"\xff\xfe", "the request is no JSON"),
        (b"[" * 200_000, "the request is no JSON"),
        ([GOOD], 'the request must be an object with a list "instances"'),
        ({"instances": [GOOD], "inputs": [GOOD]}, 'the request must be an object with a list "instances"'),
        ({"instances": GOOD[0][0][0]}, '"instances" must be a list, of a face each; found int'),
        ({"inputs": 7}, '"inputs" must be a list, or an object with a list "image", of a face each; found int'),
        ({"inputs": {"picture": [GOOD]}}, '"inputs": the only input is "image"; found picture'),
        ({"inputs": {"image": []}}, '"inputs" is empty'),
        ({"inputs": {"image": GOOD}}, "instance 0: must be 48 rows of 48 pixels of 1 number(s)"),
        ({"instances": [[[*row[:47], 7] for row in GOOD]]}, "instance 0: must be 48 rows"),
        ({"instances": [GOOD], "signature_name": "other"}, 'the only signature is "serving_default"'),
        ({"instances": []}, '"instances" is empty'),
        ({"instances": [GOOD, GOOD[:47]]}, "instance 1: must be 48 rows of 48 pixels of 1"),
        ({"instances": [[row[:n] for n, row in enumerate(GOOD)]]}, "instance 0: must be 48 rows"),
        ({"instances": [1]}, "instance 0: must be 48 rows"),
        ({"instances": [(FACES[0] / 255).tolist()]}, "instance 0: must be 48 rows of 48 pixels of 1 number(s) from"),
        ({"instances": [(FACES[0] * 2.0).tolist()]}, "instance 0: must be 48 rows"),
        ({"instances": [np.full((48, 48, 1), float("nan")).tolist()]}, "instance 0: must be 48 rows"),
        ({"instances": [np.full((48, 48, 1), "9").tolist()]}, "instance 0: must be 48 rows"),
        ({"instances": [{"b64": "not base64!"}]}, "instance 0: b64 is no base64"),
        ({"instances": [{"b64": 7}]}, "instance 0: b64 is no base64"),
        ({"instances": [{"b64": base64.b64encode(b"hello").decode()}]}, "instance 0: this is no image"),
        ({"instances": [{"picture": GOOD}]}, "instance 0: must be 48 rows"),
        ({"instances": ["x" * 1_000_000] * 3}, "instance 0: must be 48 rows"),
        ({"instances": [[["x" * 1_000]] * 48]}, "instance 0: must be 48 rows"),
        ({"instances": [np.full((48, 48, 1), 10**400, object).tolist()]}, "instance 0: must be 48 rows"),
        ({"instances": [np.full((48, 48, 1), True).tolist()]}, "instance 0: must be 48 rows"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(port: int, request_: Any, said: str) -> None:
    status, answer = ask(port, "POST", f"{MODEL}:predict", request_)
    assert status == 400
    assert answer["error"].startswith(said)
    assert len(predicted(port, [GOOD])) == 1  # and the server goes on


def _png(width: int, height: int) -> str:
    return base64.b64encode(cv2.imencode(".png", np.zeros((height, width), np.uint8))[1].tobytes()).decode()


def test_a_picture_that_would_fill_the_memory_and_one_that_is_not_square_are_refused(port: int) -> None:
    for file, said in ((_png(4000, 4000), "over 1 million"), (_png(60, 48), "found 60 x 48 pixels")):
        status, answer = ask(port, "POST", f"{MODEL}:predict", {"instances": [{"b64": file}]})
        assert status == 400
        assert said in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/emotion-huge:predict", 404),
        ("GET", "/v1/models/emotion-huge", 404),
        ("GET", "/v1/models/emotion-huge/metadata", 404),
        ("GET", "/v1/models/yunet-320", 404),
        ("GET", f"{MODEL}/versions/99", 404),
        ("GET", "/", 404),
        ("POST", f"{MODEL}:classify", 404),
        ("GET", f"{MODEL}:predict", 405),
        ("DELETE", MODEL, 405),
    ],
)
def test_what_is_not_there_is_said_as_json(port: int, method: str, path: str, status: int) -> None:
    found, answer = ask(port, method, path, b"{}" if method == "POST" else b"")
    assert found == status
    assert list(answer) == ["error"]


def test_a_body_that_is_too_large_is_refused_and_the_server_goes_on(port: int) -> None:
    status, answer = ask(port, "POST", f"{MODEL}:predict", b" " * (5 << 20))
    assert (status, answer) == (413, {"error": f"{5 << 20} bytes; at most {4 << 20} are taken"})
    assert len(predicted(port, [GOOD])) == 1


def test_a_picture_is_answered_as_by_snapshot(port: int, tmp_path: Path, astronaut: Any) -> None:
    file = tmp_path / "astronaut.png"
    cv2.imwrite(str(file), astronaut)
    status, answer = ask(port, "POST", "/predict", file.read_bytes())
    assert status == 200
    names = "+".join(map(str, three(tmp_path)))
    told = json.loads(snapshot(Settings.model_validate({"emotion": {"model": names}}), file, tmp_path / "out.jpg"))
    (face,) = answer["faces"]
    (same,) = told["faces"]
    assert (face["emotion"], face["votes"], face["box"]) == (same["emotion"], same["votes"], same["box"])
    assert face["scores"] == pytest.approx(same["scores"], abs=1e-3)
    assert {key: answer[key] for key in ("v", "width", "height")} == {"v": 1, "width": 512, "height": 512}
    # Pictures are independent of each other.
    assert ask(port, "POST", "/predict", file.read_bytes())[1]["faces"] == answer["faces"]


def test_what_is_no_picture_is_refused(port: int) -> None:
    for body in (b"", b"hello", b"\x89PNG\r\n\x1a\n"):
        status, answer = ask(port, "POST", "/predict", body)
        assert status == 400
        assert "image" in answer["error"]


def test_with_a_token_nobody_gets_in_without_and_sigterm_ends_it(tmp_path: Path) -> None:
    with serving(tmp_path / "log.txt", port := free_port(), {"serve.token": "open-sesame"}) as process:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "open-sesame"}):
            for method, path, body in (("GET", MODEL, b""), ("POST", "/predict", b"x" * 300_000), ("GET", "/", b"")):
                status, answer = ask(port, method, path, body, **headers)
                assert status == 401
                assert "Bearer" in answer["error"]
        assert ask(port, "GET", MODEL, Authorization="Bearer open-sesame")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_systemd_hears_that_it_is_ready_and_alive(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        variables = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with running(tmp_path / "log.txt", {"serve.port": free_port()}, "serve", **variables):
            heard: list[str] = []
            while not {"READY=1", "WATCHDOG=1"} <= set(heard):
                heard.append(manager.recv(4096).decode())
        assert heard[0] == "READY=1"
        assert "emotion-small" in heard[1]


def test_each_request_is_a_sign_of_life_however_many_wait(astronaut: Any) -> None:
    """The watchdog's timer would only be served after all waiting requests."""
    settings, runtime = Settings(), choose()
    model = open_local(settings.emotion.model, runtime, 1)
    signs: list[int] = []
    detector = open_detector(settings.detector, runtime, 1)
    predictions = Predictions(settings, {"one": model}, "one", detector, lambda: signs.append(1))
    picture = cv2.imencode(".png", astronaut)[1].tobytes()
    crop = json.dumps({"instances": FACES[:1].tolist()}).encode()

    async def all_at_once() -> list[Any]:
        here = [predictions.image(picture, lambda: False), predictions.faces(model, crop, lambda: False)]
        bad = [predictions.image(b"no image", lambda: False), predictions.image(picture, lambda: True)]
        return list(await asyncio.gather(*here, *bad, return_exceptions=True))

    try:
        seen, classified, refused, left = asyncio.run(all_at_once())
    finally:
        predictions.close()
    assert len(seen["faces"]) == len(classified["predictions"]) == 1
    assert isinstance(refused, RefusedError)
    assert str(left) == "the client has left"
    assert len(signs) == 2


def test_who_has_left_is_not_worked_for(tmp_path: Path, astronaut: Any) -> None:
    log, port = tmp_path / "log.txt", free_port()
    large = cv2.imencode(".jpg", cv2.resize(astronaut, (1920, 1920)))[1].tobytes()
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(large)}\r\n\r\n".encode()

    def leave_at_once() -> bool:
        """Send a request behind others that keep the networks busy, and hang up at once."""
        others = [socket.create_connection(("127.0.0.1", port)) for _ in range(6)]
        for other in others:
            other.sendall(head + large)
        for other in others[1:]:
            other.close()
        with others[0] as first:
            first.recv(1)
        return "503 /predict" in log.read_text()

    with serving(log, port, {"log.level": "debug"}):
        wait_until(leave_at_once, "one that is left out", 60)
        assert ask(port, "POST", "/predict", large)[0] == 200


def test_the_commands_of_the_documentation_do_what_it_says(port: int, tmp_path: Path, astronaut: Any) -> None:
    text = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
    cv2.imwrite(str(tmp_path / "photo.jpg"), astronaut)
    cv2.imwrite(str(tmp_path / "face.png"), astronaut[60:190, 160:290])
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("curl ")]
    assert len(commands) == 4
    answers = []
    for command in commands:
        here = command.replace(":8501/", f":{port}/")
        done = subprocess.run(["bash", "-c", here], cwd=tmp_path, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout))
    picture, status, metadata, faces = answers
    assert picture["faces"][0]["emotion"] == "happy"
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert metadata["metadata"]["emotion_edge"]["name"] == "emotion-small"
    (prediction,) = faces["predictions"]
    (shown,) = json.loads(text.split("```json\n")[1].split("```")[0])["predictions"]
    assert len(prediction) == len(shown) == 2
    assert len(prediction["valence_arousal"]) == len(shown["valence_arousal"]) == 2
    assert sum(prediction[PRIMARY]) == pytest.approx(1, abs=1e-3)


def test_nobody_but_this_machine_may_ask_without_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--serve.host", "0.0.0.0"]) == 2
    assert "set serve.token_file" in capsys.readouterr().err


def test_only_its_own_names_are_answered(port: int) -> None:
    for name in ("evil.example", "localhost.evil.example", "192.168.1.7"):
        for method, path in (("GET", MODEL), ("POST", f"{MODEL}:predict")):
            status, answer = ask(port, method, path, {"instances": [GOOD]} if method == "POST" else b"", Host=name)
            assert status == 403
            assert "serve.names" in answer["error"]
    assert ask(port, "GET", MODEL, Host=f"localhost:{port}")[0] == 200


def test_slow_senders_do_not_keep_others_out(port: int) -> None:
    head = f"POST {MODEL}:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n[".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX + 20):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            slow.sendall(head)
        for _ in range(3):
            assert len(predicted(port, [GOOD])) == 1


def test_what_hinders_the_start_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--serve.port", str(port)]) == 2
    assert f"serve: cannot listen on 127.0.0.1, port {port}: Address already in use" in capsys.readouterr().err
    assert main(["serve", "--serve.token_file", str(tmp_path / "nowhere")]) == 2
    assert "serve.token_file" in capsys.readouterr().err
    assert main(["serve", "--emotion.model", "nowhere"]) == 2
    assert "model 'nowhere': not there" in capsys.readouterr().err
