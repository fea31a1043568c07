"""Fill the settings: a YAML file, then the environment, then flags, each over the one before.

A setting is `section.key`: `mqtt: {host: ...}` in the file, `EMOTION_EDGE_MQTT_HOST` in the environment, `--mqtt.host`
as a flag. What is not known is refused, with the nearest name that is.
"""

import difflib
import os
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError
from pydantic_settings import CliSettingsSource

from edge.config.secrets import without_password
from edge.config.settings import ENV_PREFIX, INSTANCE_VARIABLE, Settings, setting_field, setting_names
from edge.config.yaml_file import read_yaml
from edge.errors import EmotionEdgeError, reason_of

CONFIG_VARIABLE: Final = ENV_PREFIX + "CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/emotion-edge/config.yaml")


def add_flags(parser: ArgumentParser, shown: bool = False) -> None:
    """Give the parser `--config` and one flag a setting, `--section.key`. shown: its help lists them all."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings file (default: {SYSTEM_CONFIG})")
    source: CliSettingsSource[Any] = CliSettingsSource(
        Settings,
        root_parser=parser,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        add_argument_method=ArgumentParser.add_argument if shown else _add_unseen,
    )
    parser.set_defaults(settings_source=source)


def _add_unseen(parser: ArgumentParser, *names: str, **about: Any) -> None:
    parser.add_argument(*names, **about | {"help": SUPPRESS})


def load(arguments: Namespace) -> Settings:
    """The settings of this run, from the arguments of a parser that `add_flags` was called on.

    The file is `--config`, else $EMOTION_EDGE_CONFIG, else /etc/emotion-edge/config.yaml where that is. Raises
    EmotionEdgeError for a file that cannot be read, a setting that is not known, and a value that does not fit; each
    message says where it stands.
    """
    path = _config_path(arguments.config)
    from_file = _read(path) if path else {}
    _refuse_unknown(
        [
            name
            for name in os.environ
            if name.startswith(ENV_PREFIX) and name not in (CONFIG_VARIABLE, INSTANCE_VARIABLE)
        ],
        [_variable(name) for name in setting_names()],
        "environment",
    )
    flags: dict[str, Any] = {"_cli_settings_source": arguments.settings_source(parsed_args=arguments)}
    try:
        return Settings(**flags, **from_file)
    except ValidationError as error:
        raise EmotionEdgeError(
            "\nemotion-edge: ".join(dict.fromkeys(_explain(problem, arguments, path) for problem in error.errors()))
        ) from None


def _config_path(asked: Path | None) -> Path | None:
    if asked is None and (variable := os.environ.get(CONFIG_VARIABLE)):
        asked = Path(variable)
    path = asked or SYSTEM_CONFIG
    try:
        there = path.is_file()
    except OSError as error:
        raise EmotionEdgeError(f"settings file {path}: cannot be looked at: {error}") from error
    if asked and not there:
        raise EmotionEdgeError(f"settings file {asked}: not there")
    return path if there else None


def _read(path: Path) -> dict[str, Any]:
    tree = read_yaml(path, "settings file")
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"settings file {path}: must hold sections such as `mqtt:`, found {type(tree).__name__}")
    _refuse_unknown(tree, Settings.model_fields, f"settings file {path}")
    known = setting_names()
    sections: dict[str, Any] = {}
    for section, keys in tree.items():
        if keys is None:  # a section whose lines are all commented out
            continue
        if not isinstance(keys, dict):
            found = without_password(repr(keys))
            raise EmotionEdgeError(f"settings file {path}: {section}: must hold `key: value` lines, found {found}")
        _refuse_unknown([f"{section}.{key}" for key in keys], known, f"settings file {path}")
        sections[section] = keys
    return sections


def _refuse_unknown(names: Iterable[Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
            shown = without_password(str(name))
            raise EmotionEdgeError(f"{where}: {shown} is not a setting (did you mean {nearest[0]}?)")


def _variable(name: str) -> str:
    return ENV_PREFIX + name.replace(".", "_").upper()


def _explain(problem: Mapping[str, Any], arguments: Namespace, path: Path | None) -> str:
    name = ".".join(str(part) for part in problem["loc"][:2])
    if getattr(arguments, name, None) is not None:
        where = f"flag --{name}"
    elif _variable(name) in os.environ:
        where = f"environment {_variable(name)}"
    else:
        where = f"settings file {path}: {name}"
    message = reason_of(problem)
    if problem["type"] in ("string_pattern_mismatch", "missing"):  # a pattern helps nobody: say what the setting is
        message = f"does not fit ({description_of(name).rstrip('.')})"
    elif problem["type"] == "string_type":
        message += " (put it in quotes)"
    shown = "" if "password" in name or "token" in name else f", found {without_password(repr(problem['input']))}"
    return f"{where}: {message}{shown}"


def description_of(name: str) -> str:
    """What a setting is for, in a line. name: `section.key`."""
    return setting_field(name).description or ""


def dump(settings: Settings) -> str:
    """The settings as YAML; passwords as stars, those in a camera's address too."""
    sections = {
        section: {key: without_password(value) if isinstance(value, str) else value for key, value in keys.items()}
        for section, keys in settings.model_dump(mode="json").items()
    }
    return yaml.safe_dump(sections, sort_keys=False)
