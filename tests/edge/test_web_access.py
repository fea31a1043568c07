"""Who may see the live page when it is on the network: real HTTP and HTTPS."""

import contextlib
import http.client
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.cli import main
from edge.config import WebSettings
from edge.errors import EmotionEdgeError
from edge.outputs.web.access import page_access
from edge.outputs.web.guesses import FIRST_DELAY_S, LINE_MAX
from edge.outputs.web.server import WebViewer
from tests.support.broker import certificates
from tests.support.daemon import free_port
from tests.support.live import PATIENCE, eventually, get, port_of, show
from tests.support.samples import face, frame

PATHS = ("/", "/app.js", "/stream", "/events", "/latest.json", "/latest.jpg", "/healthz", "/nothing")

Open = Callable[..., WebViewer]


@pytest.fixture
def opened() -> Iterator[Open]:
    """Function that starts a page on the network with changed settings."""
    started: list[WebViewer] = []

    def start(**settings: Any) -> WebViewer:
        given = {"host": "0.0.0.0", "password": "open sesame", "port": free_port()} | settings
        started.append(WebViewer(WebSettings.model_validate(given)))
        show(started[-1], frame(), face())
        return started[-1]

    yield start
    for viewer in started:
        viewer.close()


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def test_a_page_on_the_network_without_a_password_is_refused_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.7", "kitchen.lan"):
        assert main(["check-config", f"--web.host={host}"]) == 2
        said = capsys.readouterr().err
        assert f"web.host {host}" in said
        assert "web.password_file" in said
        assert "ssh -L" in said
    for host in ("127.0.0.1", "127.0.0.2", "::1", "localhost"):
        assert main(["check-config", f"--web.host={host}"]) == 0
    monkeypatch.setenv("EMOTION_EDGE_WEB_PASSWORD", "hush-hush")
    assert main(["check-config", "--web.host=0.0.0.0"]) == 0
    assert "hush" not in capsys.readouterr().out


def test_everything_asks_for_the_password(opened: Open) -> None:
    viewer = opened()
    for path in PATHS:
        status, headers, _ = get(viewer, path)
        assert status == 401
        assert headers["Www-Authenticate"].startswith("Basic ")
        assert "Content-Security-Policy" in headers
    for right in (basic("open sesame"), basic("open sesame", ""), "Bearer open sesame"):
        assert [get(viewer, path, Authorization=right)[0] for path in PATHS] == [200] * 7 + [404]


def test_a_password_may_have_any_letters_and_come_from_a_file(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("Zwölf:Bäume\nnot this\n", encoding="utf-8")
    viewer = opened(password="", password_file=file)
    assert get(viewer, "/healthz", Authorization=basic("Zwölf:Bäume"))[0] == 200
    for wrong in ("Zwölf", "not this", ""):
        assert get(viewer, "/healthz", Authorization=basic(wrong))[0] == 401
    file.write_text("\n", encoding="utf-8")
    with pytest.raises(EmotionEdgeError, match="its first line must be the password"):
        opened(password="", password_file=file)
    with pytest.raises(EmotionEdgeError, match=r"web\.password_file .* cannot be read"):
        opened(password="", password_file=tmp_path / "missing")


def test_guesses_are_slow_and_do_not_keep_others_waiting(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    viewer = opened()
    told: list[tuple[int, float]] = []

    def guess() -> None:
        began = time.monotonic()
        told.append((get(viewer, "/healthz", Authorization=basic("guess"))[0], time.monotonic() - began))

    threads = [threading.Thread(target=guess) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looked_at = [took for status, took in told if status == 401]
    assert {status for status, _ in told} == {401, 429}
    assert all(took >= FIRST_DELAY_S for took in looked_at)
    assert len(looked_at) == LINE_MAX
    assert get(viewer, "/healthz", Authorization=basic("open sesame"))[0] == 200
    assert [record.levelname for record in caplog.records if "wrong password" in record.message] == ["WARNING"] * 2
    assert "guess" not in caplog.text


@pytest.mark.parametrize(
    "header",
    ["Basic", "Basic !", "Basic AA", "Digest x", "Bearer", "x", "Basic " + "A" * 5000, "Basic \xe9", "Bearer \xff"],
)
def test_odd_headers_are_no_password(opened: Open, header: str) -> None:
    assert get(opened(), "/healthz", Authorization=header)[0] == 401


def test_names_on_the_network(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Kitchen")
    viewer = opened(names="emotions.example, board.lan")

    def asked(name: str) -> int:
        return get(viewer, "/healthz", Host=name, Authorization=basic("open sesame"))[0]

    for name in ("localhost", "kitchen:8080", "Kitchen.local", "192.168.1.7:8080", "[fd00::7]:8080", "board.lan"):
        assert asked(name) == 200
    for name in ("evil.example", "192.168.1.7.evil.example", "kitchen.evil.example", "emotions.example.evil"):
        assert asked(name) == 403


def test_a_proxy_on_this_machine_may_bring_its_name(opened: Open) -> None:
    viewer = opened(host="127.0.0.1", password="", names="emotions.example")
    assert get(viewer, "/healthz", Host="emotions.example")[0] == 200
    assert get(viewer, "/healthz", Host="192.168.1.7")[0] == 403


def test_other_sites_cannot_send(opened: Open) -> None:
    viewer = opened(host="127.0.0.1", password="")
    port = port_of(viewer)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    for origin in ("http://evil.example", f"http://127.0.0.1:{port + 1}", "null", "http://[", "http://\xe9"):
        connection.request("POST", "/read", b"", {"Origin": origin})
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (403, 404)
    connection.close()


def test_https(opened: Open, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    viewer = opened(cert_file=made.server, key_file=made.server_key)
    assert viewer.url.startswith("https://")
    trusting = ssl.create_default_context(cafile=str(made.authority))
    connection = http.client.HTTPSConnection("localhost", port_of(viewer), context=trusting, timeout=PATIENCE)
    connection.request("GET", "/latest.json", headers={"Authorization": basic("open sesame")})
    assert connection.getresponse().status == 200
    connection.close()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        get(viewer, "/healthz")


def test_certificates_that_do_not_fit_are_named(opened: Open, tmp_path: Path) -> None:
    made = certificates(tmp_path)
    with pytest.raises(EmotionEdgeError, match=r"web\.cert_file .*no certificate that goes with its key"):
        opened(cert_file=made.server, key_file=made.client_key)
    with pytest.raises(EmotionEdgeError, match=r"web\.key_file .*without web\.cert_file"):
        opened(key_file=made.server_key)
    with pytest.raises(EmotionEdgeError, match=r"web\.cert_file .*cannot be read"):
        opened(cert_file=tmp_path / "missing.pem")


def test_plain_http_on_the_network_is_said_to_be_open_to_listeners(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    opened()
    assert "without encryption" in caplog.text


def test_guesses_from_many_addresses_do_not_lock_the_user_out(opened: Open) -> None:
    """Twelve loopback addresses guess passwords at once, while the user comes from another one."""
    viewer = opened()
    done = threading.Event()
    told: list[int] = []

    def ask(address: str, password: str) -> int:
        connection = http.client.HTTPConnection(
            "127.0.0.1", port_of(viewer), timeout=PATIENCE, source_address=(address, 0)
        )
        with contextlib.closing(connection):
            connection.request("GET", "/healthz", headers={"Authorization": basic(password)})
            return connection.getresponse().status

    def guess(address: str) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            while not done.wait(0.05):
                told.append(ask(address, "guess"))

    threads = [threading.Thread(target=guess, args=(f"127.0.0.{10 + n}",)) for n in range(12)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: told.count(401) >= 12, "they guess")
        assert [ask("127.0.0.9", "open sesame") for _ in range(81)] == [200] * 81
    finally:
        done.set()
        viewer.close()
        for thread in threads:
            thread.join()


def test_a_browser_is_known_by_its_cookie_where_its_own_address_guesses(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = opened()
    right, wrong = basic("open sesame"), basic("guess")
    status, headers, _ = get(viewer, "/", Authorization=right)
    assert status == 200
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert "open sesame" not in cookie
    assert [get(viewer, "/", Authorization=wrong)[0] for _ in range(3)] == [401] * 3
    monkeypatch.setattr("edge.outputs.web.guesses.PATIENCE_S", 0.5)  # the address is blocked for 3 s more
    assert get(viewer, "/", Authorization=right)[0] == 429
    status, headers, _ = get(viewer, "/", Authorization=right, Cookie=cookie)
    assert (status, headers.get("Set-Cookie")) == (200, None)
    forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
    assert get(viewer, "/", Authorization=right, Cookie=forged)[0] == 429
    assert get(viewer, "/", Cookie=cookie)[0] == 401, "the cookie is no password"


def test_behind_a_proxy_the_client_s_address_counts(opened: Open) -> None:
    viewer = opened(proxies="127.0.0.1, 10.0.0.0/8")

    def ask(password: str, forwarded: str) -> int:
        return get(viewer, "/healthz", Authorization=basic(password), X_Forwarded_For=forwarded)[0]

    told: list[int] = []
    threads = [
        threading.Thread(target=lambda: told.append(ask("guess", "198.51.100.7, 10.0.0.1")))
        for _ in range(LINE_MAX + 2)
    ]
    for thread in threads:
        thread.start()
    eventually(lambda: told.count(429) == 2, "others from that address are not looked at")
    assert ask("open sesame", "198.51.100.8") == 200
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.168.1.9", "203.0.113.1", "192.168.1.9"),  # no proxy of ours: anybody may write that
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "203.0.113.9, 203.0.113.1, 10.0.0.2", "203.0.113.1"),
        ("10.0.0.1", "spoofed, 203.0.113.1", "203.0.113.1"),
        ("10.0.0.1", "nonsense", "10.0.0.1"),
        ("10.0.0.1", ", ,", "10.0.0.1"),
    ],
)
def test_the_client_is_whom_the_last_trusted_proxy_names(peer: str, forwarded: str, client: str) -> None:
    assert page_access(WebSettings(proxies="10.0.0.0/8")).client(peer, forwarded) == client


def test_a_proxy_must_be_an_address(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--web.proxies=proxy.lan"]) == 2
    assert "no IP address or network" in capsys.readouterr().err
