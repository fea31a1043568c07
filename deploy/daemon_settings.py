"""Settings of the daemon that a site file or a settings file for a board holds, checked as the daemon checks them."""

from collections.abc import Mapping
from typing import Any

import yaml

from edge.config import Settings
from edge.config import load as config_load


def check_settings(settings: Mapping[str, Any], where: str) -> Settings:
    """Read settings with the daemon's own loader. Raises EmotionEdgeError, whose message begins with `where`."""
    return config_load.check(settings, where)


def dump_settings(settings: Mapping[str, Any]) -> str:
    """The settings as YAML, as the daemon's settings file holds them."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True) if settings else ""
