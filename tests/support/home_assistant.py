"""A real Home Assistant as a process of its own, set up over its REST API like by a user."""

import asyncio
import json
import subprocess
import time
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from tornado.websocket import websocket_connect

from tests.conftest import ROOT
from tests.support.daemon import free_port, wait_until

PYTHON: Final = ROOT / ".cache" / "home-assistant" / "bin" / "python"

# Home Assistant requires a late patch release of Python 3.13, which not every machine has, and which these tests do not
# need.
_START: Final = """
import homeassistant.const
homeassistant.const.REQUIRED_PYTHON_VER = (3, 13, 0)
from homeassistant.__main__ import main
main()
"""

_USER: Final = {"name": "Test", "username": "test", "password": "only for a test", "language": "en"}


class HomeAssistant:
    """A new Home Assistant in a folder, on the loopback, with a user. Skips the test if its environment is missing."""

    def __init__(self, folder: Path, configuration: str = "") -> None:
        """Start it. folder: may already hold configuration files. configuration: more lines of configuration.yaml."""
        if not PYTHON.is_file():
            pytest.skip("no Home Assistant is here (tests/support/home_assistant.sh installs one)")
        self._folder = folder
        self._port = free_port()
        self._tokens: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        http = f"http:\n  server_host: 127.0.0.1\n  server_port: {self._port}\n"
        (folder / "configuration.yaml").write_text(f"homeassistant:\n  name: Test\n{http}{configuration}", "utf-8")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process
        return self._process.pid

    @property
    def tokens(self) -> dict[str, Any]:
        """Login data that its page keeps in the browser (AuthData of home-assistant-js-websocket)."""
        return {**self._tokens, "hassUrl": self.url, "clientId": f"{self.url}/", "expires": (time.time() + 1800) * 1000}

    @property
    def log(self) -> str:
        """Its log so far."""
        return (self._folder / "out.log").read_text(encoding="utf-8")

    def __enter__(self) -> Self:
        command = [str(PYTHON), "-c", _START, "-c", str(self._folder), "--skip-pip", "--log-no-color"]
        with (self._folder / "out.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(self._answers, "an answer of Home Assistant", 180)
            client = {"client_id": f"{self.url}/"}
            code = self.ask("/api/onboarding/users", {**client, **_USER})["auth_code"]
            form = urlencode({"grant_type": "authorization_code", "code": code, **client})
            self._tokens = json.loads(self._send("/auth/token", form.encode()))
            for step in ("core_config", "analytics"):  # finished, so that its page does not ask for them
                self.ask(f"/api/onboarding/{step}", {})
            self.ask("/api/onboarding/integration", {**client, "redirect_uri": f"{self.url}/?auth_callback=1"})
            wait_until(lambda: self.ask("/api/config")["state"] == "RUNNING", "its start", 180)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def ask(self, path: str, content: object = None) -> Any:
        """Send a GET, or with content a POST of JSON, to its REST API; returns the parsed answer."""
        return json.loads(self._send(path, None if content is None else json.dumps(content).encode()))

    def connect(self, broker_port: int) -> None:
        """Set up its MQTT integration through the steps of the configuration dialogue."""
        step = self.ask("/api/config/config_entries/flow", {"handler": "mqtt"})
        done = self.ask(
            f"/api/config/config_entries/flow/{step['flow_id']}", {"broker": "127.0.0.1", "port": broker_port}
        )
        assert done["type"] == "create_entry", done

    def render(self, template: str) -> str:
        """Render a Home Assistant template."""
        return self._send("/api/template", json.dumps({"template": template}).encode()).decode()

    def state(self, entity: str) -> str:
        """Return an entity's state; "" if there is no such entity."""
        try:
            return str(self.ask(f"/api/states/{entity}")["state"])
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return ""

    def wait(self, entity: str, *states: str) -> None:
        """Wait until an entity is in one of the states."""
        wait_until(lambda: self.state(entity) in states, f"{entity} as {' or '.join(states)}")

    def act(self, action: str, entity: str, **data: object) -> None:
        """Call an action such as `switch.turn_on` for an entity, as a button on a dashboard does."""
        self.ask(f"/api/services/{action.replace('.', '/')}", {"entity_id": entity, **data})

    def command(self, **message: object) -> Any:
        """Send a command over its WebSocket, and return the result."""

        async def converse() -> Any:
            socket = await websocket_connect(f"ws://127.0.0.1:{self._port}/api/websocket")
            for words in ({"type": "auth", "access_token": self._tokens["access_token"]}, {"id": 1, **message}):
                await socket.read_message()  # the greeting, then the confirmation of the token
                await socket.write_message(json.dumps(words))
            answer = json.loads(await socket.read_message() or "{}")
            assert answer.get("success"), answer
            return answer["result"]

        return asyncio.run(converse())

    def picture(self, entity: str) -> bytes:
        """Return the picture that an image or camera entity shows."""
        return self._send(f"/api/{entity.partition('.')[0]}_proxy/{entity}")

    def open(self, path: str, size: int) -> bytes:
        """Return the first bytes of an answer that does not end."""
        return self._send(path, size=size)

    def _send(self, path: str, body: bytes | None = None, size: int | None = None) -> bytes:
        kind = "application/x-www-form-urlencoded" if path == "/auth/token" else "application/json"
        headers = {"Content-Type": kind}
        if self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens['access_token']}"
        request = Request(f"{self.url}{path}", body, headers)
        with urlopen(request, timeout=30) as answer:
            return bytes(answer.read(size))

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log
        try:
            return bool(self.ask("/api/onboarding"))
        except (OSError, ValueError):  # it does not listen yet, or not all of its pages are ready
            return False

    def _end(self) -> None:
        assert self._process
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
