"""Server-sent events of the live page: Readings, and the state of the daemon."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from edge.outputs.messages import stats_message
from edge.outputs.web.access import PageAccess
from edge.outputs.web.disclosure import Facts, recognition, statements
from edge.outputs.web.latest import LatestReading
from edge.outputs.web.mjpeg import StreamEncoder
from edge.outputs.web.streaming import StreamingHandler

_EVENT_SECONDS: Final = 0.2
_STATUS_SECONDS: Final = 1.0


class EventFeed:
    """Creates each event once for all clients. For the server's thread only."""

    def __init__(
        self,
        live: LatestReading,
        streams: StreamEncoder,
        about: Mapping[str, Any],
        health: Mapping[str, Callable[[], str]],
        facts: Facts,
    ) -> None:
        """Create the feed.

        Args:
            live: the newest Reading.
            streams: knows which pages have an open stream.
            about: facts about the daemon that never change.
            health: returns the state of each part of the daemon, by its name; an empty text for one that works.
            facts: for the statements about images and the record.
        """
        self._live = live
        self._streams = streams
        self._about = about
        self._health = health
        self._facts = facts
        self._scene = b""
        self._scene_of: object = None
        self._status: dict[str, Any] = {}
        self._status_at = 0.0

    def first(self) -> bytes:
        """Return the first events of each client: `about`, and the last minute as `minute`."""
        return event("about", self._about) + event("minute", self._live.minute())

    def scene(self) -> bytes:
        """Return the event `scene` with the newest Reading, cached until there is a newer one; b"" before the first."""
        newest = self._live.newest
        if newest and newest is not self._scene_of:
            reading = newest[1]
            leader = reading.leader.track if reading.leader else None
            shown = {"leader": leader, "analysed": reading.analysed, "reading": reading.to_dict()}
            self._scene, self._scene_of = event("scene", shown), newest
        return self._scene

    def status(self, page: str) -> bytes:
        """Return the event `status`. page: id of the client's page; the event says whether its stream is open."""
        if time.monotonic() - self._status_at >= _STATUS_SECONDS / 2:
            self._status_at = time.monotonic()
            problem = self._live.problem()
            stats = stats_message(self._live.stats, time.time()) if self._live.stats else None
            health = {name: state() for name, state in self._health.items()}
            state = recognition(self._live)
            disclosed = statements(self._facts, state, health)
            self._status = {
                "state": state,
                "problem": problem,
                "stats": stats,
                "health": health,
                "statements": disclosed,
            }
        return event("status", {**self._status, "streaming": self._streams.watches(page)})


def event(name: str, data: Any) -> bytes:
    """Format one event of a `text/event-stream`. data: sent as JSON."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class EventsHandler(StreamingHandler):
    """Sends `about` and `minute` once, `scene` when there is a new Reading, `status` every second."""

    def initialize(self, access: PageAccess, viewers: set[StreamingHandler], feed: EventFeed) -> None:  # type: ignore[override]
        super().initialize(access, viewers)
        self.feed = feed

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        with self.viewing():
            alive = await self.send(b"retry: 2000\n\n", self.feed.first())
            sent, status_at = b"", 0.0
            while alive:
                parts = []
                if (scene := self.feed.scene()) is not sent:
                    sent = scene
                    parts.append(scene)
                if time.monotonic() - status_at >= _STATUS_SECONDS:
                    status_at = time.monotonic()
                    parts.append(self.feed.status(self.page))
                alive = not self.gone and (not parts or await self.send(*parts))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.new.wait(), _EVENT_SECONDS)
