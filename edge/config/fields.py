"""Facts about a setting, looked up by its name `section.key`: type, description, allowed values, effect of a reload."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.config.setting_types import OnReload
from edge.config.settings import Settings


def setting_names() -> list[str]:
    """List the names of all settings, `section.key`, in the order of their definition."""
    return [
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        for key in field.annotation.model_fields
    ]


def setting_field(name: str) -> FieldInfo:
    """Return pydantic's field of a setting. name: `section.key`."""
    section, _, key = name.partition(".")
    model = Settings.model_fields[section].annotation
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return model.model_fields[key]


def on_reload(name: str) -> OnReload:
    """Tell whether a setting is applied on reload or needs a restart. name: `section.key`."""
    (found,) = [mark for mark in setting_field(name).metadata if isinstance(mark, OnReload)]
    return found


def description_of(name: str) -> str:
    """Return the one-line description of a setting. name: `section.key`."""
    return setting_field(name).description or ""


def allowed(name: str) -> str:
    """Describe a setting's allowed values, to follow "must be"; empty if only its description tells them."""
    section, _, key = name.partition(".")
    definition = _schema()["$defs"][type_name(section)]["properties"].get(key, {})
    return " or ".join(dict.fromkeys(filter(None, map(_allowed, definition.get("anyOf", [definition])))))


def type_name(section: str) -> str:
    """Return the name of a section's class, such as `CameraSettings`."""
    return getattr(Settings.model_fields[section].annotation, "__name__", "")


@lru_cache(maxsize=1)
def _schema() -> Mapping[str, Any]:
    return Settings.model_json_schema()


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        *most, last = map(str, schema["enum"])
        return f"{', '.join(most)} or {last}" if most else last
    match schema.get("type"), schema.get("const"):
        case _, str(word):
            return word
        case "boolean", _:
            return "true or false"
        case ("integer" | "number") as kind, _:
            least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
            lower = f"above {above:g}, up to" if above is not None else f"from {least:g} to"
            return f"a {'whole ' if kind == 'integer' else ''}number {lower} {schema['maximum']}"
        case _:
            return ""
