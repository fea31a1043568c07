"""Handlers of the live page for single answers: its files, the newest Reading, health, settings, other documents."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from tornado.web import HTTPError, StaticFileHandler

from edge.config import Settings
from edge.config.load import dump
from edge.outputs.web.access import PageAccess
from edge.outputs.web.handler import PageHandler
from edge.outputs.web.latest import LatestReading
from edge.translations import LANGUAGES, words_of

PAGE: Final = Path(__file__).parent / "page"
SETTINGS: Final = "/settings.json"
"""Path from which the page loads `settings_document`."""


@dataclass(frozen=True, slots=True)
class Document:
    """Text that is generated for each request.

    Attributes:
        content_type: for the HTTP header.
        make: returns the text; called in a thread of its own, so it may wait for a disk.
    """

    content_type: str
    make: Callable[[], str]


def settings_document(settings: Settings) -> Document:
    """Return every setting as JSON, by section: `name`, `value` (stars for passwords), `about`, whether `changed`."""
    values, defaults = yaml.safe_load(dump(settings)), yaml.safe_load(dump(Settings.model_construct()))
    shown = {
        section: [
            {
                "name": f"{section}.{key}",
                "value": value,
                "about": type(getattr(settings, section)).model_fields[key].description,
                "changed": value != defaults[section][key],
            }
            for key, value in keys.items()
        ]
        for section, keys in values.items()
    }
    text = json.dumps(shown)
    return Document("application/json", lambda: text)


class NotFoundHandler(PageHandler):
    """Answers 404 to every other path."""

    def get(self) -> None:
        raise HTTPError(404)


class NoImagesHandler(PageHandler):
    """Answers requests for pictures if the setting web.images forbids them."""

    def get(self) -> None:
        raise HTTPError(403, reason="Images are off (web.images)")


class PageFileHandler(PageHandler, StaticFileHandler):
    """Serves the static files of the page."""

    def initialize(self, access: PageAccess, path: str, default_filename: str | None = None) -> None:  # type: ignore[override]
        PageHandler.initialize(self, access)
        StaticFileHandler.initialize(self, path, default_filename)

    def set_extra_headers(self, path: str) -> None:  # noqa: ARG002
        self.set_header("Cache-Control", "no-cache")


class PageWordsHandler(PageHandler):
    """Answers with the page's texts as JSON, `language` and `words`, in the language the browser prefers."""

    def initialize(self, access: PageAccess, fallback: str) -> None:  # type: ignore[override]
        super().initialize(access)
        self.fallback = fallback

    def get(self) -> None:
        language = preferred_language(self.request.headers.get("Accept-Language", ""), self.fallback)
        self.set_header("Content-Type", "application/json")
        self.set_header("Vary", "Accept-Language")
        self.finish(json.dumps({"language": language, "words": dict(words_of(language))}, ensure_ascii=False))


def preferred_language(accepted: str, fallback: str) -> str:
    """Return the highest-weighted language of an Accept-Language header (RFC 9110, 12.5.4) that has translations."""
    weighted = []
    for part in accepted[:1000].split(","):
        name, _, weight = part.partition(";q=")
        try:
            weighted.append((-float(weight or 1), name.strip().lower().partition("-")[0]))
        except ValueError:
            continue
    return next((name for _, name in sorted(weighted, key=lambda one: one[0]) if name in LANGUAGES), fallback)


class LatestReadingHandler(PageHandler):
    """Answers with the newest Reading as JSON, in the shape of the topic `faces`; null before the first."""

    def initialize(self, access: PageAccess, live: LatestReading) -> None:  # type: ignore[override]
        super().initialize(access)
        self.live = live

    def get(self) -> None:
        newest = self.live.newest
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(newest[1].to_dict() if newest else None))


class HealthHandler(PageHandler):
    """Answers 200 while there is a live picture, else 503 and the reason."""

    def initialize(self, access: PageAccess, live: LatestReading) -> None:  # type: ignore[override]
        super().initialize(access)
        self.live = live

    def get(self) -> None:
        problem = self.live.problem()
        self.set_status(503 if problem else 200)
        self.write({"status": "failing", "reason": problem} if problem else {"status": "ok"})


class DocumentHandler(PageHandler):
    """Answers with the Document that is registered for the path."""

    def initialize(self, access: PageAccess, documents: Mapping[str, Document]) -> None:  # type: ignore[override]
        super().initialize(access)
        self.documents = documents

    async def get(self) -> None:
        document = self.documents[self.request.path]
        text: Any = await asyncio.get_running_loop().run_in_executor(None, document.make)
        self.set_header("Content-Type", document.content_type)
        self.finish(text)
