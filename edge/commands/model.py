"""`emotion-edge model list | install | rollback`: shows and changes the models that this board runs."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from edge.config import Settings
from edge.emotion.committee import COMMITTEE_FILE, JOINT, installed_committees, read_committee
from edge.errors import EmotionEdgeError
from edge.faces.yunet import model_name as yunet_name
from edge.model_updates.install import Kind, ModelChange, install, rollback
from edge.models.active import active_model, installed_for, models_folder
from edge.models.card import Card, EmotionCard, read_any_card
from edge.models.released import installed_models, model_dir
from edge.models.runtime import choose
from edge.system.state_folder import expanded


def run(arguments: argparse.Namespace, settings: Settings) -> None:
    """Run `emotion-edge model` with parsed arguments. If it raises EmotionEdgeError, nothing was changed."""
    names: dict[Kind, str] = {"emotion": settings.emotion.model, "detector": yunet_name(settings.detector.size)}
    match arguments.action:
        case "list":
            for line in _lines(names):
                print(line)
        case "install":
            source = expanded(arguments.model)
            if not source.exists():
                source = model_dir(arguments.model)
            _print_change(install(source, names, choose(settings.runtime.interpreter)), settings)
        case _:
            _print_change(rollback(names[arguments.kind]), settings)


def _print_change(changed: ModelChange, settings: Settings) -> None:
    card, before = changed.card, changed.before
    instead = f", in place of {_named(before)}" if before and before != card else ""
    print(f"{_named(card)} runs{instead}")
    if not changed.tested:
        print("its card has no self-test: it was only seen to run")
    if not isinstance(card, EmotionCard):
        if settings.detector.kind != "yunet" or settings.detector.file:
            print("the settings name another detector (detector.kind, detector.file): it runs when they no longer do")
        else:
            print("restart the daemon to load it")
    elif isinstance(before, EmotionCard) and before.primary.labels != card.primary.labels:
        print(f"its labels are others ({', '.join(card.primary.labels)}): restart the daemon to load it")


def _lines(names: dict[Kind, str]) -> Iterator[str]:
    """Yield a line for each model: whether it runs (*), name and version, hash, kind, and its source."""
    listed: list[tuple[bool, Path, str]] = []
    running = {}
    for kind, name in names.items():
        running[kind] = active_model(name)
        installed = installed_for(name)
        for folder in (installed.runs, installed.before):
            if folder:
                path = models_folder() / folder
                listed.append((str(path) == running[kind], path, f"installed in place of {name}"))
    voters = running["emotion"].split(JOINT)
    for name, path in installed_models().items():
        listed.append((name in (*running.values(), *voters), path, f"in {path.parent}"))
    for runs, path, origin in listed:
        try:
            card = read_any_card(path)
        except EmotionEdgeError as error:
            yield f"  {path.name}: {error}"
            continue
        kind = "emotion" if isinstance(card, EmotionCard) else "detector"
        yield _line(runs, card.name, card.version, card.sha256[:12], kind, origin)
    for name, path in installed_committees().items():
        try:
            committee = read_committee(path / COMMITTEE_FILE)
        except EmotionEdgeError as error:
            yield f"  {name}: {error}"
            continue
        members = ", ".join(member.model for member in committee.members)
        origin = f"in {path.parent}: the {committee.rule} of {members}"
        yield _line(name == running["emotion"], name, committee.version, "", "emotion", origin)


def _line(runs: bool, name: str, version: str, digest: str, kind: str, origin: str) -> str:
    return f"{'*' if runs else ' '} {name:20} {version:8} {digest:12}  {kind:8}  {origin}"


def _named(card: Card) -> str:
    return f"{card.name} {card.version} ({card.sha256[:12]})"
