"""The JSON Schema of `relay.yml`, for editors; `${NAME}` is allowed where a number or a flag stands."""

from __future__ import annotations

from typing import Any

from relay.config.tree import Config
from relay.durations import format_duration

_SCALARS = {
    "integer": {"type": ["integer", "string"], "pattern": r"^[+-]?[0-9]+$|\$\{"},
    "number": {"type": ["number", "string"], "pattern": r"^[+-]?[0-9.]+$|\$\{"},
    "boolean": {"type": ["boolean", "string"], "pattern": r"^(true|false|yes|no|on|off)$|\$\{"},
}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the file as people write it: aliases, `…_file` twins, durations and sizes as texts."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Alertmanager Relay, relay.yml"
    for name in schema["properties"]:
        if name not in schema.get("required", ()):
            schema["properties"][name] = _or_empty(schema["properties"][name])
    return dict(_loosened(schema))


def _or_empty(shape: dict[str, Any]) -> dict[str, Any]:
    """A section whose keys are all commented out is null for YAML, and means its defaults."""
    if any(one == {"type": "null"} for one in shape.get("anyOf", ())):
        return shape
    told: dict[str, Any] = {key: shape[key] for key in ("description", "default", "title") if key in shape}
    rest = {key: value for key, value in shape.items() if key not in told}
    return {**told, "anyOf": [rest, {"type": "null"}]}


def _loosened(shape: Any) -> Any:
    """Allows `${NAME}` for numbers and flags, and takes away the titles that only repeat a key."""
    if isinstance(shape, list):
        return [_loosened(one) for one in shape]
    if not isinstance(shape, dict):
        return shape
    loose = {
        key: {name: _loosened(one) for name, one in value.items()}
        if key in ("properties", "$defs")
        else _loosened(value)
        for key, value in shape.items()
        if not (key == "title" and "$schema" not in shape) and key not in ("default", "examples", "enum")
    }
    loose |= {key: shape[key] for key in ("default", "examples", "enum") if key in shape}
    if "90s" in shape.get("examples", ()) and isinstance(shape.get("default"), int):
        loose["default"] = format_duration(shape["default"])
    kind = shape.get("type")
    return loose | _SCALARS[kind] if isinstance(kind, str) and kind in _SCALARS else loose
