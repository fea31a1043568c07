"""Checks settings of the daemon in a site file or a board's settings file, with the daemon's own loader."""

from collections.abc import Mapping
from typing import Any

import yaml

from edge.config import Settings
from edge.config import load as config_load


def check_settings(settings: Mapping[str, Any], where: str) -> Settings:
    """Read settings with the daemon's own loader. Raises EmotionEdgeError, whose message begins with `where`."""
    return config_load.check(settings, where)


def dump_settings(settings: Mapping[str, Any]) -> str:
    """Format settings as the YAML of the daemon's settings file."""
    return yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True) if settings else ""
