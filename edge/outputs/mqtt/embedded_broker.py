"""The MQTT broker of `emotion-edge demo`: amqtt in a thread with its own event loop, on the loopback interface only."""

import asyncio
import logging
import socket
import threading
from typing import Final

from amqtt.broker import Broker
from amqtt.session import Session

from edge.errors import EmotionEdgeError

_log = logging.getLogger(__name__)

PORTS_TRIED: Final = 20
_START_S: Final = 10.0


class _Broker(Broker):  # type: ignore[misc]  # amqtt has no types
    """A broker that sends a new client only the retained messages it subscribed to; amqtt's own sends too many."""

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Session
    ) -> None:
        if any(subscriber is session for subscriber, _ in self._subscriptions.get(subscription[0], ())):
            await super()._publish_retained_messages_for_subscription(subscription, session)


class EmbeddedBroker:
    """A running broker, until it is closed. port: port on 127.0.0.1 on which it listens."""

    def __init__(self, port: int) -> None:
        """Start the broker on `port`, which must be free. Raises EmotionEdgeError if it does not start."""
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._up = threading.Event()
        self._end = asyncio.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)
        self._thread.start()
        if not self._up.wait(_START_S) or self._error:
            raise EmotionEdgeError(f"port {port}: {self._error or 'no answer'}")

    def close(self) -> None:
        """End every session and stop listening, within a second."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        # amqtt logs a warning for every client that disconnects.
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # amqtt raises if a client closes the connection unanswered, as MQTT 5 clients do, which it does not support.
        self._loop.set_exception_handler(lambda _, context: _log.debug("broker: %s", context.get("message")))
        try:
            broker = _Broker(
                {
                    "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
                }
            )
            await broker.start()
        except Exception as error:
            # The constructor raises the error in the caller's thread.
            self._error = error
            return
        finally:
            self._up.set()
        await self._end.wait()
        await broker.shutdown()


def start_broker(first_port: int = 1883) -> EmbeddedBroker:
    """Start a broker on the first free port from `first_port` on. Raises EmotionEdgeError if none of 20 is free."""
    problem = f"every port from {first_port} on is taken"
    for port in range(first_port, min(first_port + PORTS_TRIED, 65536)):
        if not _free(port):
            continue
        try:
            return EmbeddedBroker(port)
        except EmotionEdgeError as error:
            # Another demo took the port after the check.
            problem = str(error)
    raise EmotionEdgeError(f"broker: cannot start on 127.0.0.1: {problem} (set mqtt.port or mqtt.host)")


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
