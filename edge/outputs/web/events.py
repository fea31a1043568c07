"""Server-sent events of the live page: what is seen, and how the daemon does."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from edge.outputs.messages import faces_message, stats_message
from edge.outputs.web.access import Access
from edge.outputs.web.latest import Live
from edge.outputs.web.mjpeg import Streams
from edge.outputs.web.streaming import Endless

_EVENT_SECONDS: Final = 0.2
_STATUS_SECONDS: Final = 1.0


class Feed:
    """The events that all listeners share, each made once. Belongs to the server's thread."""

    def __init__(self, live: Live, streams: Streams, about: Mapping[str, Any], health: Mapping[str, Callable[[], str]]):
        """about: what never changes. health: how each part does, by its name; an empty text for one that does well."""
        self._live = live
        self._streams = streams
        self._about = about
        self._health = health
        self._scene = b""
        self._scene_of: object = None
        self._told: dict[str, Any] = {}
        self._told_at = 0.0

    def hello(self) -> bytes:
        """What a page is told when it comes: `about`, and the last minute as `minute`."""
        return event("about", self._about) + event("minute", self._live.minute())

    def scene(self) -> bytes:
        """The newest Reading as `scene`; the same object until there is another, b"" before the first."""
        newest = self._live.newest
        if newest and newest is not self._scene_of:
            reading = newest[1]
            leader = reading.leader.track if reading.leader else None
            told = {"leader": leader, "analysed": reading.analysed, "reading": faces_message(reading)}
            self._scene, self._scene_of = event("scene", told), newest
        return self._scene

    def status(self, page: str) -> bytes:
        """`status`, for the page of that name: it is told whether its stream is open."""
        if time.monotonic() - self._told_at >= _STATUS_SECONDS / 2:
            self._told_at = time.monotonic()
            problem = self._live.problem()
            stats = stats_message(self._live.stats, time.time()) if self._live.stats else None
            health = {name: state() for name, state in self._health.items()}
            self._told = {"live": not problem, "problem": problem, "stats": stats, "health": health}
        return event("status", {**self._told, "streaming": self._streams.watches(page)})


def event(name: str, data: Any) -> bytes:
    """One event as it goes over the wire."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Events(Endless):
    """`about` and `minute` once, `scene` when there is a new Reading, `status` every second."""

    def initialize(self, access: Access, visitors: set[Endless], feed: Feed) -> None:  # type: ignore[override]
        super().initialize(access, visitors)
        self.feed = feed

    async def get(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        with self.staying():
            alive = await self.send(b"retry: 2000\n\n", self.feed.hello())
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
