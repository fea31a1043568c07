"""Loads the settings from a YAML file, then the environment, then flags; each overrides the ones before.

A setting is `section.key`: `mqtt: {host: ...}` in the file, `EMOTION_EDGE_MQTT_HOST` in the environment, `--mqtt.host`
as a flag. An unknown name is an error, which suggests the nearest known one.
"""

import difflib
import os
import re
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import SecretStr, ValidationError

from edge.config.fields import allowed, description_of, setting_field, setting_names
from edge.config.secrets import without_password
from edge.config.settings import ENV_PREFIX, INSTANCE_VARIABLE, Settings
from edge.config.yaml_file import Place, parse_yaml
from edge.errors import EmotionEdgeError, reason_of, shortened

CONFIG_VARIABLE: Final = ENV_PREFIX + "CONFIG"
SYSTEM_CONFIG: Final = Path("/etc/emotion-edge/config.yaml")
_SHOWN: Final = 60


def add_flags(parser: ArgumentParser, shown: bool = False) -> None:
    """Add `--config` and one flag for each setting, `--section.key`, to a parser. shown: list them in its help."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"settings file (default: {SYSTEM_CONFIG})")
    for name in setting_names():
        parser.add_argument(f"--{name}", dest=name, metavar="VALUE", help=_help(name) if shown else SUPPRESS)


def _help(name: str) -> str:
    default = setting_field(name).default
    if isinstance(default, SecretStr) or default in ("", None):
        return description_of(name).replace("%", "%%")
    return f"{description_of(name)} (default: {str(default).lower()})".replace("%", "%%")


@dataclass(frozen=True, slots=True)
class _Given:
    """Values by section and key, and for each setting a text for messages that says where the value comes from."""

    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)

    def put(self, name: str, value: Any, origin: str) -> None:
        """Set a value, overriding an earlier one. Raises EmotionEdgeError for a NUL character."""
        if isinstance(value, str) and "\0" in value:
            raise EmotionEdgeError(f"{origin}: has a NUL character")
        section, _, key = name.partition(".")
        self.values.setdefault(section, {})[key] = value
        self.origins[name] = origin


def load(arguments: Namespace) -> Settings:
    """Load the settings, from the arguments of a parser that `add_flags` was called on.

    The file is `--config`, else $EMOTION_EDGE_CONFIG, else /etc/emotion-edge/config.yaml if that exists. Raises
    EmotionEdgeError for a file that cannot be read, an unknown setting, and an invalid value; each message says where
    it stands.
    """
    given = _Given()
    if path := config_path(arguments.config):
        file = parse_yaml(path, "settings file")
        _add_tree(given, {} if file.content is None else file.content, f"settings file {path}", file.lines)
    _add_environment(given)
    for name in setting_names():
        if (value := getattr(arguments, name)) is not None:
            given.put(name, value, f"flag --{name}")
    return _validated(given)


def check(tree: Any, where: str) -> Settings:
    """Validate a tree of settings (sections with keys and values) that comes from another file or is to be written.

    Raises EmotionEdgeError, whose message begins with `where`, for what the daemon would refuse.
    """
    given = _Given()
    _add_tree(given, tree, where, {})
    return _validated(given)


def _validated(given: _Given) -> Settings:
    try:
        return Settings.model_validate(given.values)
    except ValidationError as error:
        first = {problem["loc"][:2]: problem for problem in reversed(error.errors())}
        problems = (_explain(problem, given.origins) for problem in reversed(first.values()))
        raise EmotionEdgeError("\nemotion-edge: ".join(problems)) from None
    except EmotionEdgeError as error:
        # Two settings contradict each other; the message begins with the name of one.
        origin = given.origins.get(re.split("[: ]", str(error), maxsplit=1)[0])
        raise EmotionEdgeError(f"{origin.rpartition(': ')[0] or origin}: {error}" if origin else str(error)) from None


def config_path(asked: Path | None) -> Path | None:
    """Return the settings file: the given path, else $EMOTION_EDGE_CONFIG, else the system's; None if none exists.

    Raises EmotionEdgeError if a given file does not exist.
    """
    if asked is None and (variable := os.environ.get(CONFIG_VARIABLE)):
        asked = Path(variable)
    path = asked or SYSTEM_CONFIG
    try:
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise EmotionEdgeError(f"settings file {path}: cannot be looked at: {error}") from error
    if asked and not there:
        problem = "is not a regular file" if path.exists() else "not there"
        raise EmotionEdgeError(f"settings file {asked}: {problem}")
    return path if there else None


def _add_tree(given: _Given, tree: Any, where: str, lines: Mapping[Place, int]) -> None:
    if not isinstance(tree, dict):
        raise EmotionEdgeError(f"{where}: must hold sections such as `mqtt:`, found {type(tree).__name__}")

    def at(*place: Any) -> str:
        line = lines.get(tuple(map(str, place)))
        return where if line is None else f"{where}, line {line}"

    known = setting_names()
    for section, keys in tree.items():
        _refuse_unknown([section], Settings.model_fields, at(section))
        if keys is None:
            # All keys of the section are commented out.
            continue
        if not isinstance(keys, dict):
            raise EmotionEdgeError(f"{at(section)}: {section}: must hold `key: value` lines, found {_shown(keys)}")
        for key, value in keys.items():
            name = f"{section}.{key}"
            _refuse_unknown([name], known, at(section, key))
            given.put(name, value, f"{at(section, key)}: {name}")


def _add_environment(given: _Given) -> None:
    variables = {_variable(name): name for name in setting_names()}
    names = [name for name in os.environ if name.startswith(ENV_PREFIX)]
    ours = [name for name in names if name not in (CONFIG_VARIABLE, INSTANCE_VARIABLE)]
    _refuse_unknown(ours, variables, "environment")
    for variable in ours:
        given.put(variables[variable], os.environ[variable], f"environment {variable}")


def _refuse_unknown(names: Iterable[Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
            shown = shortened(without_password(str(name)), _SHOWN)
            raise EmotionEdgeError(f"{where}: {shown} is not a setting (did you mean {nearest[0]}?)")


def _variable(name: str) -> str:
    return ENV_PREFIX + name.replace(".", "_").upper()


def _explain(problem: Mapping[str, Any], origins: Mapping[str, str]) -> str:
    """Describe an invalid value in one line: where it stands, its setting, what is allowed, the value unless secret."""
    name = ".".join(str(part) for part in problem["loc"][:2])
    if problem["type"] == "value_error":
        message = reason_of(problem)
    elif fits := allowed(name):
        message = f"must be {fits}"
    else:
        message = f"does not fit ({description_of(name).rstrip('.')})"
        if problem["type"] == "string_type":
            message += " (put it in quotes)"
    shown = "" if "password" in name or "token" in name else f", found {_shown(problem['input'])}"
    return f"{origins.get(name, name)}: {message}{shown}"


def _shown(value: object) -> str:
    return shortened(without_password(repr(value)), _SHOWN)


def dump(settings: Settings) -> str:
    """Return the settings as YAML; stars replace passwords, also in the camera's address."""
    sections = {
        section: {key: without_password(value) if isinstance(value, str) else value for key, value in keys.items()}
        for section, keys in settings.model_dump(mode="json").items()
    }
    return yaml.safe_dump(sections, sort_keys=False)
