"""Finds the config, reads it and tells all that is wrong with it: the one way from a file or variables to a `Config`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from relay.config.advice import advise
from relay.config.environment import from_environment, misspelt
from relay.config.messages import NO_TYPE, message
from relay.config.problems import ConfigError, Document, KeyPath, Problem
from relay.config.tree import Config
from relay.config.variables import substitute
from relay.config.yaml_file import read_yaml

DEFAULT_FILE = "relay.yml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A config that may be used, where it came from (None: the environment), and what about it is worth a warning."""

    config: Config
    source: Path | None
    warnings: tuple[Problem, ...]
    document: Document = field(repr=False)

    def problem(self, path: KeyPath, message: str) -> Problem:
        """A problem that somebody else found, with the place of this key."""
        return self.document.problem(path, message)


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: the given one, else `$RELAY_CONFIG`, else `./relay.yml` if it exists, else None."""
    if path is not None:
        return path
    if environ.get("RELAY_CONFIG", "").strip():
        return Path(environ["RELAY_CONFIG"])
    default = Path(DEFAULT_FILE)
    return default if default.exists() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The config of a file, or of the environment alone when there is none. Raises `ConfigError` with every problem."""
    return read(path, environ).config


def read(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """As `load`, with the source and the warnings."""
    source = find(path, environ)
    document = from_environment(environ) if source is None else substitute(read_yaml(source), environ)
    context = {"base": source.parent if source is not None else Path()}
    try:
        config = Config.model_validate(document.values, context=context)
    except ValidationError as error:
        raise ConfigError(_problems(document, error)) from None
    if document.unusable:
        raise ConfigError(document.unusable.values())
    warnings = [document.problem(path, said) for path, said in advise(config)]
    if source is None:
        warnings += misspelt(environ)
    return Loaded(config, source, tuple(warnings), document)


def _problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    yield from document.unusable.values()
    for details in error.errors(include_url=False, include_input=False):
        path = _key_path(document.values, details)
        if not document.spoils(path):
            yield document.problem(path, message(details))


def _key_path(values: Mapping[str, Any], error: ErrorDetails) -> KeyPath:
    """Where the user finds it: pydantic's path without the name of the model that a channel's type chose."""
    path = [part for part in error["loc"] if part != "[key]"]
    if path[:1] == ["channels"] and len(path) > 1:
        if len(path) > 2 and path[2] == values["channels"][path[1]].get("type"):
            del path[2]
        if error["type"] in NO_TYPE:
            path.append("type")
    return tuple(path)
