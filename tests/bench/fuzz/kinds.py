"""The kinds of input: how one is made from a seed, and which code reads it."""

import hashlib
import io
import json
import os
import random
import shutil
import tarfile
import tempfile
import zipfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from edge.cameras.image_decoder import ImageDecoder
from edge.config import Settings
from edge.config import load as config_load
from edge.errors import EmotionEdgeError
from edge.model_updates import install as updates
from edge.models.card import CARD_FILE
from edge.models.runtime import choose
from edge.pipeline import read_once
from edge.serve.protocol import RefusedError, crops_in
from tests.bench.fuzz import bodies, headers, images
from tests.bench.fuzz.forked import forked_self_tests
from tests.bench.fuzz.mutate import altered, damaged
from tests.conftest import ROOT
from tests.support.samples import frame
from tests.support.serving import SMALL, SMALL_CARD

Make = Callable[[random.Random], bytes]
Take = Callable[[bytes], None]

REFUSALS: Final = (EmotionEdgeError, RefusedError)
"""Exceptions that count as a correct refusal; any other is a fault."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of input.

    Attributes:
        count: number of inputs in a full run.
        part: number of inputs in the tests' run.
        make: function that makes an input, the same one for the same seed.
        taking: context manager that yields a function that reads an input.
    """

    count: int
    part: int
    make: Make
    taking: Callable[[], AbstractContextManager[Take]]


@contextmanager
def _images() -> Iterator[Take]:
    with ImageDecoder() as decoder:
        yield lambda data: _nothing(decoder.decode(data))


@contextmanager
def _bodies() -> Iterator[Take]:
    with ImageDecoder() as decoder:
        yield lambda data: _nothing(crops_in(data, SMALL_CARD, decoder))


@contextmanager
def _settings() -> Iterator[Take]:
    parser = ArgumentParser()
    config_load.add_flags(parser)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.yaml"

        def take(data: bytes) -> None:
            file.write_bytes(data)
            config_load.dump(config_load.load(parser.parse_args(["--config", str(file)])))

        yield take


@contextmanager
def _models(suffix: str) -> Iterator[Take]:
    """Context manager: installs an input as a model and, if accepted, runs it on a picture. suffix: of an archive."""
    with tempfile.TemporaryDirectory() as folder, forked_self_tests():
        os.environ["STATE_DIRECTORY"] = folder
        runtime, settings = choose(), Settings()
        names: dict[updates.Kind, str] = {
            "emotion": settings.emotion.model,
            "detector": "yunet-320",
        }
        source = Path(folder) / f"given{suffix}"

        def take(data: bytes) -> None:
            if suffix:
                source.write_bytes(data)
            else:
                shutil.rmtree(source, ignore_errors=True)
                source.mkdir()
                card, _, model = data.partition(b"\0\0card ends\0\0")
                (source / CARD_FILE).write_bytes(card)
                (source / "model.tflite").write_bytes(model)
            try:
                updates.install(source, names, runtime)
                json.dumps(read_once(settings, runtime, frame()).to_dict(), allow_nan=False)
            finally:
                shutil.rmtree(Path(folder) / "models", ignore_errors=True)

        yield take


def _card(chance: random.Random) -> bytes:
    card = json.loads((SMALL / CARD_FILE).read_text())
    for _ in range(chance.randint(1, 3)):
        card = altered(card, chance)
    text = json.dumps(card).encode() if isinstance(card, dict) else b"{}"
    if chance.random() < 0.2:
        text = damaged(text, chance)
    return text + b"\0\0card ends\0\0" + (SMALL / "model.tflite").read_bytes()


def _tflite(chance: random.Random) -> bytes:
    model = damaged((SMALL / "model.tflite").read_bytes(), chance)
    card = json.loads((SMALL / CARD_FILE).read_text()) | {"sha256": hashlib.sha256(model).hexdigest()}
    return json.dumps(card).encode() + b"\0\0card ends\0\0" + model


def _archive(chance: random.Random) -> bytes:
    out = io.BytesIO()
    names = [CARD_FILE, "model.tflite", "CARD.md", "LICENSE"]
    contents = {name: (SMALL / name).read_bytes() for name in names if (SMALL / name).is_file()}
    if chance.random() < 0.2:
        contents["CARD.md"] = bytes(chance.choices((1 << 20, 100 << 20, 300 << 20), (6, 3, 1))[0])
    prefix = chance.choice(("", "model/", "../", "/", "a/b/c/", "\x1b[2J/"))
    if chance.random() < 0.4:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(prefix + name, content)
    else:
        mode = chance.choice(("w", "w:gz", "w:xz", "w:bz2"))
        with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
            for name, content in contents.items():
                entry = tarfile.TarInfo(prefix + name)
                entry.size = len(content)
                if chance.random() < 0.1:
                    entry.type, entry.linkname = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE)), "/etc/shadow"
                    entry.size = 0
                tar.addfile(entry, io.BytesIO(content))
    data = out.getvalue()
    return damaged(data, chance) if chance.random() < 0.7 else data


def _settings_file(chance: random.Random) -> bytes:
    text = (ROOT / "systemd" / "config.yaml").read_bytes()
    kind = chance.random()
    if kind < 0.4:
        return damaged(text, chance)
    if kind < 0.5:
        depth = chance.choice((10, 1000, 100_000))
        return b"camera: " + b"[" * depth + b"]" * depth
    if kind < 0.55:
        lines = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(chance.randint(2, 30))]
        return "\n".join(lines).encode()
    tree = yaml.safe_load(text)
    for _ in range(chance.randint(1, 4)):
        tree = altered(tree, chance)
    try:
        return yaml.safe_dump(tree).encode("utf-8", "surrogatepass")
    except (yaml.YAMLError, ValueError):  # a value that YAML cannot hold
        return repr(tree).encode("utf-8", "surrogatepass")


def _nothing(_: object) -> None:
    """Ignore a result."""


KINDS: Final[Mapping[str, Kind]] = {
    "images": Kind(10_000, 250, images.image, _images),
    "JSON bodies": Kind(5_000, 100, bodies.body, _bodies),
    "HTTP headers": Kind(2_000, 100, headers.request, headers.servers),
    "model cards": Kind(2_000, 30, _card, lambda: _models("")),
    "model archives": Kind(500, 8, _archive, lambda: _models(".tar")),
    ".tflite files": Kind(500, 5, _tflite, lambda: _models("")),
    "settings files": Kind(500, 30, _settings_file, _settings),
}
