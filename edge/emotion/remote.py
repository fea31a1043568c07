"""Faces classified by a server, and by this board itself while the server does not answer."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from edge.config import EmotionSettings
from edge.config.secrets import secret_of
from edge.emotion.committee import Committee
from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Scores
from edge.emotion.tensorflow_serving import NO_ANSWER, ModelServer, Served, ServerError
from edge.faces.crop import Pixels, face_crops
from edge.models.card import EmotionCard
from edge.reading import Box, Image
from edge.system.backoff import Backoff

_log = logging.getLogger(__name__)

ONLINE: Final = "online"
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Seconds until a server that failed is asked again: the first, doubled each time, up to the longest."""


class RemoteClassifier:
    """A server in the place of a local model, which stands in for it; a `Classifier`.

    The server is asked in a thread of its own. A face waits for it no longer than the time-out, and only while the
    server is known to answer: whether it is back is found out aside, after waits that double.
    """

    def __init__(self, settings: EmotionSettings, local: LocalClassifier | Committee) -> None:
        """Waits for the server at most the time-out. Raises EmotionEdgeError when the token cannot be read."""
        token = secret_of("emotion.server_token", settings.server_token, settings.server_token_file)
        self._local = local
        self._url = settings.server
        self._timeout = settings.server_timeout
        self._server = ModelServer(settings.server, settings.server_timeout, token, local.card)
        # Its thread ends with this object: the pool holds on to nobody.
        self._pool = ThreadPoolExecutor(1, "emotion-server")
        self._said = ""
        self._backoff, self._due = Backoff(FIRST_WAIT, LONGEST_WAIT), 0.0
        self._status = "not asked yet"
        self._asking: Future[Served] | Future[Scores] = (opening := self._pool.submit(self._server.open))
        try:
            served = opening.result(self._timeout)
        except (ServerError, TimeoutError) as error:
            self._lost(error)
        else:
            self._status = ONLINE
            _log.info("faces are classified by %s (%s)", self._url, served.name)

    @property
    def card(self) -> EmotionCard:
        return self._local.card

    @property
    def labels(self) -> tuple[str, ...]:
        return self._local.labels

    @property
    def server(self) -> str | None:
        return self._status

    def __call__(self, image: Image, boxes: Sequence[Box]) -> Scores:
        return self.classify(face_crops(image, boxes, self.card.crop, self.card.input))

    def classify(self, crops: Pixels) -> Scores:
        if self._status != ONLINE:
            self._look_again()
        if len(crops) and self._status == ONLINE:
            try:
                return self._ask(crops)
            except (ServerError, TimeoutError) as error:
                self._lost(error)
        return self._local.classify(crops)

    def _ask(self, crops: Pixels) -> Scores:
        self._asking = answer = self._pool.submit(self._server.predict, crops)
        scores = answer.result(self._timeout)
        self._backoff.reset()
        if self._said:
            self._said = ""
            _log.info("%s answers again", self._url)
        return scores

    def _look_again(self) -> None:
        """Ask whether the server is back, when it is time, without a wait for the answer."""
        if self._asking.done() and time.monotonic() >= self._due:
            self._asking = opening = self._pool.submit(self._server.open)
            opening.add_done_callback(self._looked)

    def _looked(self, opening: Future[Served]) -> None:
        try:
            opening.result()
        except ServerError as error:
            self._lost(error)
        else:
            self._status = ONLINE

    def _lost(self, error: ServerError | TimeoutError) -> None:
        # What it is asked meanwhile is of no use any more, and must not hold the thread.
        self._server.abort()
        self._status = str(error) or NO_ANSWER
        self._due = time.monotonic() + self._backoff.next()
        if self._status != self._said:
            self._said = self._status
            _log.warning(
                "%s: %s; faces are classified by %s here until it answers", self._url, self._status, self.card.name
            )
