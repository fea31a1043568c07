"""Classification by a prediction server, with a local model as the fallback while it does not answer."""

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from edge.config import EmotionSettings
from edge.config.secrets import token_of
from edge.emotion.committee import Committee
from edge.emotion.local import LocalClassifier
from edge.emotion.scores import Scores
from edge.emotion.tensorflow_serving import NO_ANSWER, ModelServer, Served, ServerError
from edge.faces.crop import Pixels, face_crops
from edge.models.card import EmotionCard
from edge.reading import Box, Detection, Image
from edge.system.backoff import Backoff

_log = logging.getLogger(__name__)

ONLINE: Final = "online"
FIRST_WAIT: Final = 1.0
LONGEST_WAIT: Final = 60.0
"""Back-off of reconnecting to a server that failed, in seconds: FIRST_WAIT, doubled each time, up to LONGEST_WAIT."""


class RemoteClassifier:
    """A `Classifier` that asks a prediction server, with a local model as the fallback.

    Requests run in a thread of their own. A frame waits for an answer for the time-out at most, and only while the
    server is online; reconnecting happens in the background, with exponential back-off.
    """

    def __init__(self, settings: EmotionSettings, local: LocalClassifier | Committee) -> None:
        """Connect, for the time-out at most. Raises EmotionEdgeError if the token cannot be read."""
        token = token_of("emotion.server_token", settings.server_token, settings.server_token_file)
        self._local = local
        self._url = settings.server
        self._timeout = settings.server_timeout
        self._server = ModelServer(settings.server, settings.server_timeout, token, local.card)
        self._pool = ThreadPoolExecutor(1, "emotion-server")
        self._logged = ""
        self._backoff, self._due = Backoff(FIRST_WAIT, LONGEST_WAIT), 0.0
        self._status = "not asked yet"
        self._pending: Future[Served] | Future[Scores] = (opening := self._pool.submit(self._server.open))
        try:
            served = opening.result(self._timeout)
        except (ServerError, TimeoutError) as error:
            self._on_failure(error)
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

    def __call__(self, image: Image, faces: Sequence[Detection | Box]) -> Scores:
        return self.classify(face_crops(image, faces, self.card.crop, self.card.input))

    def classify(self, crops: Pixels) -> Scores:
        if self._status != ONLINE:
            self._reconnect()
        if len(crops) and self._status == ONLINE:
            try:
                return self._ask(crops)
            except (ServerError, TimeoutError) as error:
                self._on_failure(error)
        return self._local.classify(crops)

    def _ask(self, crops: Pixels) -> Scores:
        self._pending = answer = self._pool.submit(self._server.predict, crops)
        scores = answer.result(self._timeout)
        self._backoff.reset()
        if self._logged:
            self._logged = ""
            _log.info("%s answers again", self._url)
        return scores

    def _reconnect(self) -> None:
        """Begin to reconnect in the background if the back-off has passed."""
        if self._pending.done() and time.monotonic() >= self._due:
            self._pending = opening = self._pool.submit(self._server.open)
            opening.add_done_callback(self._on_connected)

    def _on_connected(self, opening: Future[Served]) -> None:
        try:
            opening.result()
        except ServerError as error:
            self._on_failure(error)
        else:
            self._status = ONLINE

    def _on_failure(self, error: ServerError | TimeoutError) -> None:
        # A request that is still waiting would block the thread of the next one.
        self._server.abort()
        self._status = str(error) or NO_ANSWER
        self._due = time.monotonic() + self._backoff.next()
        if self._status != self._logged:
            self._logged = self._status
            _log.warning(
                "%s: %s; faces are classified by %s here until it answers", self._url, self._status, self.card.name
            )
