"""The JSON Schema for editors agrees with the models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from relay.config import json_schema
from tests.config_files import EXAMPLE


def fits(value: Any, shape: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    """As much of JSON Schema 2020-12 as ours uses; an unknown keyword fails."""
    if "$ref" in shape:
        return fits(value, root["$defs"][shape["$ref"].rpartition("/")[2]], root)
    kinds: dict[str, tuple[type, ...]] = {
        "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
        "boolean": (bool,), "null": (type(None),),
    }  # fmt: skip
    wanted = shape.get("type", list(kinds))
    allowed = [kind for name in ([wanted] if isinstance(wanted, str) else wanted) for kind in kinds[name]]
    checks: dict[str, Callable[[Any], bool]] = {
        "type": lambda _: any(type(value) is kind for kind in allowed),
        "enum": lambda options: value in options,
        "const": lambda only: value == only,
        "pattern": lambda text: not isinstance(value, str) or bool(re.search(text, value)),
        "minLength": lambda least: not isinstance(value, str) or len(value) >= least,
        "maxLength": lambda most: not isinstance(value, str) or len(value) <= most,
        "minItems": lambda least: not isinstance(value, list) or len(value) >= least,
        "items": lambda one: not isinstance(value, list) or all(fits(item, one, root) for item in value),
        "required": lambda names: not isinstance(value, dict) or set(names) <= set(value),
        "properties": lambda known: not isinstance(value, dict)
        or all(fits(item, known[name], root) for name, item in value.items() if name in known),
        "propertyNames": lambda one: not isinstance(value, dict) or all(fits(name, one, root) for name in value),
        "additionalProperties": lambda rule: not isinstance(value, dict)
        or all(
            rule is not False and (rule is True or fits(item, rule, root))
            for name, item in value.items()
            if name not in shape.get("properties", {})
        ),
        "anyOf": lambda options: any(fits(value, one, root) for one in options),
        "oneOf": lambda options: sum(fits(value, one, root) for one in options) == 1,
        "allOf": lambda rules: all(fits(value, one, root) for one in rules),
        "minimum": lambda limit: not isinstance(value, int) or value >= limit,
        "maximum": lambda limit: not isinstance(value, int) or value <= limit,
        "exclusiveMinimum": lambda limit: not isinstance(value, int | float) or value > limit,
    }  # fmt: skip
    silent = {"$schema", "$defs", "title", "description", "default", "examples", "discriminator", "writeOnly", "format"}
    return all(checks[keyword](rule) for keyword, rule in shape.items() if keyword not in silent)


def test_the_example_fits_the_schema_and_mistakes_do_not() -> None:
    schema = json_schema()
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    assert fits(example, schema, schema)
    for path, value in (
        (("server", "listn"), "x"),
        (("server", "max_body"), "much"),
        (("channels", "oncall-chat", "chat_id"), None),
        (("channels", "oncall-chat", "type"), "fax"),
        (("alertmanagers", 0, "poll"), 30),
        (("routes", 0, "channels"), "oncall-chat"),
        (("users", 0, "role"), "boss"),
        (("smtp", "port"), "high"),
    ):
        broken = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
        inner: Any = broken
        for part in path[:-1]:
            inner = inner[part]
        inner[path[-1]] = value
        assert not fits(broken, schema, schema), path


def test_the_schema_knows_secret_files_variables_and_empty_sections() -> None:
    schema = json_schema()
    example = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    example["server"]["auth"] = {"bearer_token_file": ["/a", "/b"]}
    example["telegram"] = {"bot_token_file": "/run/secrets/telegram"}
    example["smtp"]["port"] = "${SMTP_PORT}"
    example["database"]["retention"] = "${RETENTION}"
    example["slack"] = None
    assert fits(example, schema, schema)
    example["telegram"] = {}
    assert not fits(example, schema, schema)


def test_every_field_of_every_section_is_described_in_the_reference() -> None:
    reference = (EXAMPLE.parent / "docs/reference/config.md").read_text(encoding="utf-8")
    schema = json_schema()
    for shape in (schema, *schema["$defs"].values()):
        for name in shape.get("properties", {}):
            if not name.endswith("_file"):
                assert f"`{name}`" in reference, (
                    f"docs/reference/config.md does not mention {name} of {shape.get('title')}"
                )


def test_a_schema_shows_durations_as_people_write_them() -> None:
    cluster = json_schema()["$defs"]["AlertmanagerConfig"]["properties"]
    assert (cluster["poll"]["default"], cluster["settle"]["default"]) == ("30s", "5m")
