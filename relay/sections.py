"""What every section of the config is made of: strict models, durations, sizes, addresses, secrets in files.

A section's own model stands in the module that uses it; `relay.config` joins them into one tree.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from relay.clock import Millis
from relay.durations import parse_duration, parse_size

_NAME = re.compile(r"\w[\w.-]{0,63}")


def _duration(value: object) -> object:
    if value == 0:
        return 0
    return parse_duration(value) if isinstance(value, str) else value


def _size(value: object) -> object:
    return parse_size(value) if isinstance(value, str) else value


Duration = Annotated[
    Millis,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "minimum": 0,
            "maximum": 0,
            "pattern": r"^(0|([0-9]+(ms|s|m|h|d|w|y))+)$|\$\{",
            "examples": ["90s", "1h30m"],
        }
    ),
]
"""Written as Prometheus writes durations (`90s`, `1h30m`), held in milliseconds."""

Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": r"^[0-9]+ *([KMG]i?B|B)?$|\$\{", "examples": ["64MiB"]}),
]
"""Written `64MiB`, held in bytes."""


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid or not url.isprintable() or " " in url:
        raise ValueError("must be an address such as https://host.example.org:8443/path")
    return url


def _without_credentials(url: str) -> str:
    if "@" in urlsplit(_checked_url(url)).netloc:
        raise ValueError("must not hold a user and password; there are keys of their own for these")
    return url


def _secret_url(url: SecretStr) -> SecretStr:
    _checked_url(url.get_secret_value())
    return url


def _not_empty(secret: SecretStr) -> SecretStr:
    if not secret.get_secret_value().strip():
        raise ValueError("is empty")
    return secret


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("must be 1 to 64 letters, digits, _ - or . and begin with a letter, a digit or _")
    return name


Url = Annotated[str, AfterValidator(_without_credentials)]
"""An http or https address that may be shown."""

Secret = Annotated[SecretStr, AfterValidator(_not_empty)]
"""A text that never appears in a log, an error or a repr."""

SecretUrl = Annotated[SecretStr, AfterValidator(_secret_url)]
"""An http or https address that is itself a secret, such as a Slack webhook's."""

Name = Annotated[str, AfterValidator(_checked_name), WithJsonSchema({"type": "string", "maxLength": 64})]
"""What people call a channel or an Alertmanager in paths, metrics and commands: letters, digits, `_`, `-`, `.`."""


def base_folder(info: ValidationInfo) -> Path:
    """What relative paths of the config are relative to: the config file's folder, else the working directory."""
    return Path((info.context or {}).get("base", "."))


def read_secret(path: object, base: Path) -> str:
    """The secret in a file, without the line end editors leave; raises `ValueError` that names the file."""
    if not isinstance(path, str | Path):
        raise ValueError("must be the path of a file")  # noqa: TRY004  pydantic wants ValueError
    full = base / path
    try:
        text = full.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ValueError(f"cannot read {full}: {reason}") from None
    if not text:
        raise ValueError(f"{full} is empty")
    return text


def _unknown(name: str, allowed: Iterable[str]) -> str:
    every = sorted(allowed)
    close = get_close_matches(name, every, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"is no known key; {meant}Allowed: {', '.join(every)}"


def problem(path: Iterable[str | int], reason: str) -> InitErrorDetails:
    """A validation error at a place that a validator chooses itself; see `refuse`."""
    return InitErrorDetails(
        type=PydanticCustomError("relay", "{reason}", {"reason": reason}), loc=tuple(path), input=None
    )


def refuse(
    problems: Iterable[InitErrorDetails], also: ValidationError | None = None, but: Collection[str] = ()
) -> ValidationError:
    """One error of many problems: a model validator raises it so that everything wrong is told at once.

    `but` are keys that `problems` speaks of: their absence, and what follows from it for the whole, needs no mention.
    """
    every = list(problems)
    for error in also.errors(include_url=False) if also else ():
        loc = error["loc"]
        if but and (not loc or (len(loc) == 1 and loc[0] in but and error["type"] == "missing")):
            continue
        context = {**error.get("ctx", {}), "reason": error["msg"].removeprefix("Value error, ")}
        kind = PydanticCustomError(error["type"], "{reason}", context)
        every.append(InitErrorDetails(type=kind, loc=loc, input=None))
    return ValidationError.from_exception_data("config", every, hide_input=True)


class Section(BaseModel):
    """A strict, frozen part of the config. Each field named in `secrets` may also be given as `NAME_file`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    secrets: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="wrap")
    @classmethod
    def _read_files(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """A key left empty counts as not given; unknown keys and secret files are told with the section's other errors."""
        if not isinstance(data, Mapping):
            return handler(data)
        names = {field.alias or name for name, field in cls.model_fields.items()}
        known = names | set(cls.model_fields) | {f"{name}_file" for name in cls.secrets}
        filled = {name: value for name, value in data.items() if value is not None and name in known}
        allowed = names | {f"{name}_file" for name in cls.secrets}
        problems = [problem([name], _unknown(str(name), allowed)) for name in data if name not in known]
        problems += cls._fill_secrets(filled, base_folder(info))
        told = {str(one["loc"][0]).removesuffix("_file") for one in problems}
        try:
            section = handler(filled)
        except ValidationError as error:
            raise refuse(problems, error, told) from None
        if problems:
            raise refuse(problems)
        return section

    @classmethod
    def _fill_secrets(cls, filled: dict[str, Any], base: Path) -> Iterable[InitErrorDetails]:
        for name in sorted(cls.secrets):
            key = f"{name}_file"
            path = filled.pop(key, None)
            if path is None:
                if name not in filled and cls.model_fields[name].is_required():
                    yield problem([name], f"is required (or {key})")
                continue
            if name in filled:
                yield problem([key], f"give {name} or {key}, not both")
                continue
            try:
                many = isinstance(path, list)
                filled[name] = [read_secret(one, base) for one in path] if many else read_secret(path, base)
            except ValueError as error:
                yield problem([key], str(error))

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        shape = handler.resolve_ref_schema(handler(schema))
        properties = shape.get("properties", {})
        for name in sorted(cls.secrets & set(properties)):
            many = "array" in str(properties[name])
            text = {"type": "string", "description": f"A file that holds {name}."}
            either: dict[str, Any] = {"anyOf": [text, {"type": "array", "items": {"type": "string"}}]}
            properties[f"{name}_file"] = either if many else text
            if name in shape.get("required", ()):
                shape["required"].remove(name)
                shape.setdefault("allOf", []).append({"anyOf": [{"required": [name]}, {"required": [f"{name}_file"]}]})
        return shape


class BasicAuth(Section):
    """A user name and password."""

    secrets: ClassVar[frozenset[str]] = frozenset({"password"})

    username: Annotated[str, Field(min_length=1)]
    password: Secret
