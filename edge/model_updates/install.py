"""Installs a model in place of one that the settings name, and rolls back to the previous one.

Every installed model has a folder of its own, named after its content and never written to again. `active.json`
(edge/models/active.py) is replaced in one step, so a power cut or a kill leaves either the old state or the new one.
"""

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edge.errors import EmotionEdgeError
from edge.model_updates.archive import unpack_model
from edge.model_updates.isolated_test import check_in_process
from edge.models.active import (
    ACTIVE_FILE,
    ActiveModels,
    Installed,
    active_model,
    is_skipped,
    models_folder,
    read_active,
)
from edge.models.card import Card, EmotionCard, read_any_card
from edge.models.released import model_dir
from edge.models.runtime import Runtime
from edge.system.atomic_file import sync, write_atomically

_INCOMING: Final = ".coming-"
_LOCK: Final = ".lock"

Kind = Literal["emotion", "detector"]


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The result of an install or a rollback.

    Attributes:
        card: of the model that now runs.
        before: card of the model that ran before; None if it cannot be read or is a committee.
        tested: whether the card of the new model has a self-test.
    """

    card: Card
    before: Card | None
    tested: bool


def install(source: Path, names: Mapping[Kind, str], runtime: Runtime) -> ModelChange:
    """Check a model's hash, card and self-test, and make it run in place of the one that the settings name.

    Args:
        source: a model's folder, or a .zip or .tar of one.
        names: the models that the settings name, by kind.
        runtime: the interpreter of the self-test.

    Raises:
        EmotionEdgeError: nothing was changed, because the model is not intact, fails its self-test, or the models
            folder cannot be written.
    """
    with _locked() as store:
        incoming = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=store))
        unpack_model(source, incoming)
        try:
            card = read_any_card(incoming)
            tested = check_in_process(incoming, runtime)
        except EmotionEdgeError as error:
            raise EmotionEdgeError(str(error).replace(str(incoming), str(source))) from error
        name = names["emotion" if isinstance(card, EmotionCard) else "detector"]
        before = _card_of(active_model(name))
        folder = _store(incoming, card, store)
        installed = read_active().places.get(name, Installed(runs=None, before=None))
        if installed.runs != folder:
            intact = installed.runs is None or _card_of(str(store / installed.runs)) is not None
            intact = intact and not is_skipped(name)
            _write(store, name, Installed(runs=folder, before=installed.runs if intact else installed.before))
        return ModelChange(card, before, tested)


def rollback(name: str) -> ModelChange:
    """Return to the model that ran before the last install; a second rollback undoes the first.

    Args:
        name: of the model in the settings.

    Raises:
        EmotionEdgeError: nothing was changed, because nothing is installed or the previous model is not intact.
    """
    with _locked() as store:
        installed = read_active().places.get(name)
        if installed is None or installed.runs == installed.before:
            raise EmotionEdgeError(
                f"model {name}: nothing was installed in its place, so there is nothing to go back to"
            )
        card = read_any_card(store / installed.before if installed.before else model_dir(name))
        before = _card_of(active_model(name))
        _write(store, name, Installed(runs=installed.before, before=installed.runs))
        return ModelChange(card, before, tested=card.self_test is not None)


def _card_of(name_or_path: str) -> Card | None:
    try:
        return read_any_card(model_dir(name_or_path))
    except EmotionEdgeError:
        return None


def _store(incoming: Path, card: Card, store: Path) -> str:
    """Move an unpacked model to its final folder, and return that folder's name."""
    digest = _digest(incoming)
    for file in incoming.iterdir():
        file.chmod(0o644)
        sync(file)
    incoming.chmod(0o755)
    sync(incoming)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{card.name}-{card.version}").lstrip(".")[:80]
    folder = store / f"{name}-{digest[:12]}"
    if folder.exists():
        if _digest(folder) == digest:
            # The same model is installed already, and may be running.
            return folder.name
        folder.rename(store / f"{incoming.name}-replaced")
    incoming.rename(folder)
    sync(store)
    return folder.name


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _write(store: Path, name: str, installed: Installed) -> None:
    """Replace active.json, then delete the models that it no longer names."""
    active = ActiveModels(places=read_active().places | {name: installed}, changed=name)
    write_atomically(store / ACTIVE_FILE, active.model_dump_json(indent=2).encode() + b"\n")
    named = {folder for place in active.places.values() for folder in (place.runs, place.before)}
    for path in store.iterdir():
        if path.is_dir() and path.name not in named:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked() -> Iterator[Path]:
    """Lock the models folder and return it; leftovers of an interrupted install are deleted at begin and end."""
    store = models_folder()
    try:
        if not store.is_dir():
            store.mkdir(parents=True)
            # Root installs and the service's user must be able to read, whatever the umask.
            store.chmod(0o755)
        with (store / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                _remove_leftovers(store)
                yield store
            finally:
                _remove_leftovers(store)
    except OSError as error:
        how = " (with sudo?)" if isinstance(error, PermissionError) else ""
        raise EmotionEdgeError(
            f"installed models: {store} cannot be written: {error.strerror or error}{how}"
        ) from error


def _remove_leftovers(store: Path) -> None:
    for path in store.glob(f"{_INCOMING}*"):
        shutil.rmtree(path, ignore_errors=True)
