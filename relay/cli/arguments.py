"""The arguments that several commands share, and what they stand for: a config, a webhook body."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from relay.alerts import NotAWebhookMessage, WebhookMessage, recognise
from relay.cli.output import fail
from relay.config import ConfigError, Loaded, Problem, key_text, read

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        help="Default: $RELAY_CONFIG, else ./relay.yml, else environment variables only.",
    ),
]
PayloadOption = Annotated[
    str | None,
    typer.Option("--payload", metavar="FILE|-", help="A webhook body as Alertmanager sends it; - reads it from stdin."),
]


def open_config(path: Path | None) -> Loaded:
    """The config; every problem goes to stderr and ends the command with 1."""
    try:
        return read(path, os.environ)
    except ConfigError as error:
        fail(error.problems)


def read_payload(source: str) -> bytes:
    """The bytes of a file or of stdin (`-`); ends the command with 1 if they cannot be read."""
    try:
        return sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        fail([Problem(f"cannot be read: {error.strerror}", file=source)])


def read_message(source: str) -> WebhookMessage:
    """The webhook message of a file or of stdin; ends the command with 1 and the reason if it is none."""
    name = "stdin" if source == "-" else source
    try:
        return WebhookMessage.model_validate(recognise(json.loads(read_payload(source))))
    except json.JSONDecodeError as error:
        fail([Problem(f"is no JSON: {error.msg}", file=name, line=error.lineno)])
    except (NotAWebhookMessage, UnicodeDecodeError, RecursionError) as error:
        fail([Problem(str(error), file=name)])
    except ValidationError as error:
        details = error.errors(include_url=False)
        fail(Problem(one["msg"].removeprefix("Value error, "), key_text(one["loc"]), name) for one in details)
