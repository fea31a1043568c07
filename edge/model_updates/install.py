"""Models installed on the board: each stands in for one that the settings name, until it is rolled back.

In `<state folder>/models` every installed model has a folder of its own, named after its content and never written to
again, and `active.json` says which of them runs in place of which name. That file is replaced in one step, so a power
cut or a kill at any moment leaves either the old state or the new one.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.errors import EmotionEdgeError
from edge.model_updates.archive import bring
from edge.model_updates.self_test import check
from edge.models.card import Card, EmotionCard, read_any_card
from edge.models.released import model_dir
from edge.models.runtime import Runtime
from edge.system.state_folder import SERVICE_STATE, state_folder

_log = logging.getLogger(__name__)

ACTIVE_FILE: Final = "active.json"
Stamp = tuple[int, int]
_COMING: Final = ".coming-"
_LOCK: Final = ".lock"


class Stand(BaseModel):
    """What stands in for a name. runs, before: folders in the store; None: the model of the name itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: str | None
    before: str | None


class _Active(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    v: int = 1
    places: dict[str, Stand] = {}


Kind = Literal["emotion", "detector"]


@dataclass(frozen=True, slots=True)
class Changed:
    """What an install or a rollback came to.

    card: of the model that now runs. before: of the one that did, None where it cannot be read or is a committee.
    tested: whether the new one's card brings a self-test.
    """

    card: Card
    before: Card | None
    tested: bool


def store_folder() -> Path:
    """Where installed models are: the service's, shared by its instances, or the user's own; it may not exist yet."""
    state = state_folder()
    of_service = SERVICE_STATE in (state, *state.parents)
    if of_service or ("STATE_DIRECTORY" not in os.environ and SERVICE_STATE.is_dir()):
        return SERVICE_STATE / "models"
    return state / "models"


def stamp() -> Stamp | None:
    """What changes whenever another model is to run; None while none was ever installed."""
    try:
        found = (store_folder() / ACTIVE_FILE).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def current(name: str) -> str:
    """What to load for a model that the settings name: the folder of the one installed in its place, else the name.

    An installed model that is damaged or gone is passed over, with a warning: for the one before it, then for the name.
    """
    try:
        stand = _read().places.get(name)
    except EmotionEdgeError as error:
        _log.warning("%s; %s runs as released", error, name)
        return name
    for folder in (stand.runs, stand.before) if stand else ():
        if folder is None:
            break
        try:
            read_any_card(path := store_folder() / folder)
        except (EmotionEdgeError, OSError) as error:
            _log.warning("installed in place of %s and passed over: %s", name, error)
            continue
        return str(path)
    return name


def stand_of(name: str) -> Stand:
    """What is installed in place of a name, whole or not. Raises EmotionEdgeError when it cannot be read."""
    return _read().places.get(name, Stand(runs=None, before=None))


def install(source: Path, names: Mapping[Kind, str], runtime: Runtime) -> Changed:
    """Let a model run in place of another, once its hash, its card and its self-test are seen to be right.

    source: a model's folder, or a .zip or .tar of one. names: what the settings name, by the kind of model.
    Raises EmotionEdgeError, with everything as it was, when the model is not whole or fails its self-test, or the store
    cannot be written.
    """
    with _locked() as store:
        coming = Path(tempfile.mkdtemp(prefix=_COMING, dir=store))
        bring(source, coming)
        try:
            card = read_any_card(coming)
            tested = check(coming, runtime)
        except EmotionEdgeError as error:
            raise EmotionEdgeError(str(error).replace(str(coming), str(source))) from error
        name = names["emotion" if isinstance(card, EmotionCard) else "detector"]
        before = _card_of(current(name))
        folder = _keep(coming, card, store)
        stand = _read().places.get(name, Stand(runs=None, before=None))
        if stand.runs != folder:
            whole = stand.runs is None or _card_of(str(store / stand.runs)) is not None
            _write(store, name, Stand(runs=folder, before=stand.runs if whole else stand.before))
        return Changed(card, before, tested)


def rollback(name: str) -> Changed:
    """Let the model that ran before the last install run again; a second rollback takes the first one back.

    Raises EmotionEdgeError, with everything as it was, when nothing is installed, or the one before is not whole.
    """
    with _locked() as store:
        stand = _read().places.get(name)
        if stand is None or stand.runs == stand.before:
            raise EmotionEdgeError(
                f"model {name}: nothing was installed in its place, so there is nothing to go back to"
            )
        card = read_any_card(store / stand.before if stand.before else model_dir(name))
        before = _card_of(current(name))
        _write(store, name, Stand(runs=stand.before, before=stand.runs))
        return Changed(card, before, tested=card.self_test is not None)


def _card_of(name_or_path: str) -> Card | None:
    try:
        return read_any_card(model_dir(name_or_path))
    except EmotionEdgeError:
        return None


def _keep(coming: Path, card: Card, store: Path) -> str:
    """Give a model that was brought its final folder; returns that folder's name."""
    digest = _digest(coming)
    for file in coming.iterdir():
        file.chmod(0o644)
        _sync(file)
    coming.chmod(0o755)
    _sync(coming)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", f"{card.name}-{card.version}").lstrip(".")[:80]
    folder = store / f"{name}-{digest[:12]}"
    if folder.exists():
        if _digest(folder) == digest:  # it is there already, and may be running
            return folder.name
        folder.rename(store / f"{coming.name}-replaced")
    coming.rename(folder)
    _sync(store)
    return folder.name


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        digest.update(f"{file.name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def _read() -> _Active:
    path = store_folder() / ACTIVE_FILE
    try:
        return _Active.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return _Active()
    except (OSError, ValidationError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise EmotionEdgeError(f"installed models: {path} cannot be read: {reason}") from error


def _write(store: Path, name: str, stand: Stand) -> None:
    """Replace active.json; then remove what it names no more."""
    active = _Active(places=_read().places | {name: stand})
    new = store / f"{_COMING}{ACTIVE_FILE}"
    new.write_text(active.model_dump_json(indent=2) + "\n", encoding="utf-8")
    new.chmod(0o644)
    _sync(new)
    new.replace(store / ACTIVE_FILE)
    _sync(store)
    named = {folder for place in active.places.values() for folder in (place.runs, place.before)}
    for path in store.iterdir():
        if path.is_dir() and path.name not in named:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked() -> Iterator[Path]:
    """The store, to be written by nobody else meanwhile; what an interrupted install left behind is removed first."""
    store = store_folder()
    try:
        if not store.is_dir():
            store.mkdir(parents=True)
            store.chmod(0o755)  # whatever the umask: root installs, the service's user reads
        with (store / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                _sweep(store)
                yield store
            finally:
                _sweep(store)
    except OSError as error:
        how = " (with sudo?)" if isinstance(error, PermissionError) else ""
        raise EmotionEdgeError(
            f"installed models: {store} cannot be written: {error.strerror or error}{how}"
        ) from error


def _sweep(store: Path) -> None:
    for path in store.glob(f"{_COMING}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the entries of a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
