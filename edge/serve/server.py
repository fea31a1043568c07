"""`emotion-edge serve`: predictions of the installed models over HTTP, for other boards and for image files."""

import asyncio
import hmac
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import responses
from typing import Any, Final, TypeVar

from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, stream_request_body

from edge.cameras.image_decoder import ImageDecoder
from edge.config import Settings, reaches_network
from edge.config.secrets import token_of
from edge.emotion.committee import Committee, installed_committees, open_local
from edge.emotion.local import LocalClassifier
from edge.errors import EmotionEdgeError
from edge.faces.detector import Detector, open_detector
from edge.models.active import active_model
from edge.models.card import EmotionCard, read_any_card
from edge.models.released import installed_models
from edge.models.runtime import Runtime, choose
from edge.outputs.web.bodies import Bodies
from edge.outputs.web.connections import CONNECTIONS_MAX, BoundedServer, Connections
from edge.outputs.web.hosts import HostNames, host_names
from edge.outputs.web.upload import BYTES_MAX
from edge.pipeline import Pipeline
from edge.reading import Frame, Image
from edge.serve.protocol import REQUEST_BYTES, RefusedError, answer_of, crops_in, metadata_of, status_of, version_of
from edge.system.systemd import Notifier

_log = logging.getLogger(__name__)

Model = LocalClassifier | Committee
_Result = TypeVar("_Result")

WAITING_MAX: Final = 64
"""Maximum number of requests that wait; one more gets status 503."""
_HELD_MAX: Final = 64 << 20
"""Maximum bytes of all request bodies together, whether being received, waiting or being answered."""

_SLOW_S: Final = 2.0
"""Seconds that receiving a body may always take; after that, a slow one is ended if another needs its memory."""

_READ_OFF: Final = 64 << 20
"""Bytes up to which a refused body is still read: a client reads no answer while it sends."""
_BODY_SECONDS: Final = 20.0
_IDLE_SECONDS: Final = 600.0
"""Seconds after which an idle connection is closed: long, because boards reuse theirs for the next face."""
_LIFE_SECONDS: Final = 1.0


class Predictions:
    """The networks of the server, which run one request at a time in a thread of their own.

    Requests are decoded in other threads, so that an image that takes long does not block the networks.

    models: by the names under which they are served.
    """

    def __init__(
        self,
        settings: Settings,
        models: Mapping[str, Model],
        chosen: str,
        detector: Detector,
        alive: Callable[[], None],
    ) -> None:
        """Start the threads.

        Args:
            settings: of the daemon.
            models: by the names under which they are served.
            chosen: the model for whole images.
            detector: for whole images.
            alive: called in the networks' thread after each request.
        """
        self.models = models
        self._settings = settings
        self._chosen = models[chosen]
        self._detector = detector
        self._decoder = ImageDecoder()
        self._readers = ThreadPoolExecutor(2, "requests")
        # Images are decoded one at a time, which saves memory and leaves a thread for JSON requests.
        self._one_image = asyncio.Semaphore(1)
        self._networks = ThreadPoolExecutor(1, "networks")
        self._alive = alive
        self._waiting = 0

    async def faces(self, model: Model, body: bytes, gone: Callable[[], bool]) -> dict[str, Any]:
        """Classify the faces of a `predict` request, and return the answer for JSON.

        Args:
            model: the requested one.
            body: of the request, JSON.
            gone: whether the client has left.

        Raises:
            RefusedError: the request cannot be answered, too many wait, or the client has left.
        """
        with self._in_line():
            crops, columns = await self._in(self._readers, gone, lambda: crops_in(body, model.card, self._decoder))
            return await self._in(self._networks, gone, lambda: answer_of(model.classify(crops), model, columns))

    async def image(self, body: bytes, gone: Callable[[], bool]) -> dict[str, Any]:
        """Analyse an image file; return its Reading for JSON, as on the topic `faces`.

        Args:
            body: the file.
            gone: whether the client has left.

        Raises:
            RefusedError: it is no image, too many wait, or the client has left.
        """
        with self._in_line():
            async with self._one_image:
                image = await self._in(self._readers, gone, lambda: self._decoded(body))
                return await self._in(self._networks, gone, lambda: self._seen(image))

    async def reached(self) -> None:
        """Wait until the networks' thread has finished all earlier requests."""
        await asyncio.get_running_loop().run_in_executor(self._networks, lambda: None)

    def close(self) -> None:
        """Stop accepting requests, and abort the image that is being decoded."""
        self._decoder.close()
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._networks.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _in_line(self) -> Iterator[None]:
        if self._waiting >= WAITING_MAX:
            raise RefusedError(503, "too many requests at once: try again in a second")
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def _in(self, pool: ThreadPoolExecutor, gone: Callable[[], bool], job: Callable[[], _Result]) -> _Result:
        def unless_gone() -> _Result:
            if gone():
                raise RefusedError(503, "the client has left")
            try:
                return job()
            finally:
                if pool is self._networks:
                    self._alive()

        return await asyncio.get_running_loop().run_in_executor(pool, unless_gone)

    def _decoded(self, body: bytes) -> Image:
        try:
            return self._decoder.decode(body)
        except EmotionEdgeError as error:
            raise RefusedError(400, str(error)) from error

    def _seen(self, image: Image) -> dict[str, Any]:
        pipeline = Pipeline(self._detector, self._chosen, self._settings, confirm=1, still=True)
        return pipeline.analyse(Frame(image, time.monotonic(), time.time(), 0)).to_dict()


@dataclass(frozen=True)
class _Shared:
    """Objects that all handlers use. bodies: of the requests that are being received or answered."""

    predictions: Predictions
    token: str
    hosts: HostNames
    connections: Connections
    bodies: Bodies = field(default_factory=lambda: Bodies(_HELD_MAX, CONNECTIONS_MAX, _SLOW_S))


@stream_request_body
class _Handler(RequestHandler):
    """Base class of all handlers: host names, the token, bodies of limited size, errors as `{"error": ...}`."""

    body_max = 0

    def initialize(self, shared: _Shared) -> None:
        self.shared = shared
        self.gone = False
        self._received = 0

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self.gone = True
        self.shared.bodies.end(self)

    def on_finish(self) -> None:
        self.shared.bodies.end(self)
        self.shared.connections.idle(self)

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def prepare(self) -> None:
        given = self.request.headers.get("Authorization", "")
        wanted = f"Bearer {self.shared.token}"
        self._known_host = self.request.host in self.shared.hosts
        self._admitted = not self.shared.token or hmac.compare_digest(given.encode(), wanted.encode())
        if self._known_host and self._admitted:
            self.shared.bodies.begin(self)

    def data_received(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received <= self.body_max:
            self.shared.bodies.extend(self, chunk)

    def admit(self) -> None:
        """Raise RefusedError for a client without access. Do not call it in `prepare`, before the body has arrived.

        Until then the connection counts as idle: at the limit of connections, a slow sender makes room for a new one.
        """
        if not self._known_host:
            raise RefusedError(403, "not a name of this server: use its host name, or add the name to serve.names")
        if not self._admitted:
            raise RefusedError(401, "a token is wanted: Authorization: Bearer <token>")
        self.shared.connections.working(self)

    def whole_body(self) -> bytes:
        """Return the request's body. Raises RefusedError if it is larger than allowed."""
        body = self.shared.bodies.take(self)
        if self._received > self.body_max:
            raise RefusedError(413, f"{self._received} bytes; at most {self.body_max} are taken")
        if body is None:
            raise RefusedError(503, "too many requests at once: try again in a second")
        return bytes(body)

    def model(self, name: str, version: str | None) -> Model:
        """Return the model that a path names. Raises RefusedError."""
        found = self.shared.predictions.models.get(name)
        if found is None:
            raise RefusedError(404, f"no model {name!r} (here: {', '.join(self.shared.predictions.models)})")
        if version not in (None, here := version_of(found.card)):
            raise RefusedError(404, f"no version {version} of {name} (here: {here})")
        return found

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        if not isinstance(error, RefusedError):
            super().log_exception(kind, error, trace)

    def write_error(self, status_code: int, **more: Any) -> None:
        error = more.get("exc_info", (None, None))[1]
        if isinstance(error, RefusedError):
            status_code = error.status
            self.set_status(status_code)
        if status_code == 401:
            self.set_header("WWW-Authenticate", "Bearer")
        if status_code == 503:
            self.set_header("Retry-After", "1")
        text = str(error) if isinstance(error, RefusedError) else responses.get(status_code, "error")
        self.finish({"error": text})


class _NotFound(_Handler):
    def get(self) -> None:
        self.admit()
        raise RefusedError(404, "not here; see /v1/models/<name>, its /metadata and :predict, and /predict")

    post = get


class _Status(_Handler):
    def get(self, name: str, version: str | None = None) -> None:
        self.admit()
        self.write(status_of(self.model(name, version).card))


class _Metadata(_Handler):
    def get(self, name: str, version: str | None = None) -> None:
        self.admit()
        self.write(metadata_of(name, self.model(name, version)))


class _Predict(_Handler):
    body_max = REQUEST_BYTES

    async def post(self, name: str, version: str | None = None) -> None:
        self.admit()
        model = self.model(name, version)
        self.write(await self.shared.predictions.faces(model, self.whole_body(), lambda: self.gone))


class _Picture(_Handler):
    body_max = BYTES_MAX

    async def post(self) -> None:
        self.admit()
        self.write(await self.shared.predictions.image(self.whole_body(), lambda: self.gone))


def run(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; return the exit status.

    Raises EmotionEdgeError if the port is in use, the chosen model is missing, or the token cannot be read.
    """
    serve = settings.serve
    token = token_of("serve.token", serve.token, serve.token_file)
    runtime = choose(settings.runtime.interpreter, settings.runtime.accelerator)
    detector = open_detector(settings.detector, runtime, settings.runtime.threads)
    models, chosen = _models(settings, runtime)
    try:
        sockets = bind_sockets(serve.port, serve.host)
    except OSError as error:
        raise EmotionEdgeError(
            f"serve: cannot listen on {serve.host}, port {serve.port}: {error.strerror} (set serve.host, serve.port)"
        ) from error
    if reaches_network(serve.host):
        _log.warning("serve: without encryption: who listens on the network can see the token and the faces")
    host = f"[{serve.host}]" if ":" in serve.host else serve.host
    for name in models:
        _log.info("serve: http://%s:%d/v1/models/%s", host, serve.port, name)
    _log.info("serve: http://%s:%d/predict reads pictures with %s", host, serve.port, chosen)
    notifier = Notifier()
    predictions = Predictions(settings, models, chosen, detector, notifier.alive)
    connections = Connections()
    hosts = host_names(serve.names, reaches_network(serve.host))
    server = BoundedServer(
        _application(_Shared(predictions, token, hosts, connections)),
        connections,
        max_body_size=_READ_OFF,
        body_timeout=_BODY_SECONDS,
        idle_connection_timeout=_IDLE_SECONDS,
    )
    asyncio.run(_serve(server, sockets, predictions, notifier))
    predictions.close()
    return 0


async def _serve(server: BoundedServer, sockets: list[Any], predictions: Predictions, notifier: Notifier) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server.add_sockets(sockets)
    notifier.ready()
    notifier.status(f"serving {', '.join(predictions.models)}")
    living = asyncio.create_task(_live(notifier, predictions))
    await stop.wait()
    notifier.stopping()
    living.cancel()
    server.stop()
    await server.close_all_connections()


async def _live(notifier: Notifier, predictions: Predictions) -> None:
    """Feed systemd's watchdog without requests too, as long as the networks' thread accepts work.

    If many requests wait, this check waits behind them; each finished request then feeds the watchdog.
    """
    while True:
        await predictions.reached()
        notifier.alive()
        await asyncio.sleep(_LIFE_SECONDS)


def _models(settings: Settings, runtime: Runtime) -> tuple[dict[str, Model], str]:
    """Load the chosen model and every other installed one; return them by name, and the chosen one's name."""
    threads = settings.runtime.threads
    balance = settings.emotion.fixed_balance
    first = open_local(active_model(settings.emotion.model), runtime, threads, balance)
    models: dict[str, Model] = {first.card.name: first}
    committees = installed_committees()
    for name, folder in (installed_models() | committees).items():
        try:
            if name not in models and (name in committees or isinstance(read_any_card(folder), EmotionCard)):
                models[name] = open_local(name, runtime, threads, balance)
        except EmotionEdgeError as error:
            _log.warning("serve: left out: %s", error)
    return models, first.card.name


def _application(shared: _Shared) -> Application:
    own = {"shared": shared}
    model = r"/v1/models/([^/:]+)(?:/versions/([^/:]+))?"
    return Application(
        [
            (model, _Status, own),
            (rf"{model}/metadata", _Metadata, own),
            (rf"{model}:predict", _Predict, own),
            (r"/predict", _Picture, own),
        ],
        default_handler_class=_NotFound,
        default_handler_args=own,
        log_function=lambda handler: _log.debug("%d %s", handler.get_status(), handler.request.uri),
    )
