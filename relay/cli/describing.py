"""`relay version` and `relay config-schema`: what this program is and what it reads."""

from __future__ import annotations

import json
import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from relay import __version__
from relay.cli.output import say

_LIBRARIES = (
    "aiogram",
    "aiohttp",
    "aiosmtplib",
    "alembic",
    "apprise",
    "asyncpg",
    "google-re2",
    "jinja2",
    "pydantic",
    "slack-sdk",
    "sqlalchemy",
    "uvloop",
)


def register(program: typer.Typer) -> None:
    program.command("version", epilog="Example: relay version")(show_version)
    program.command("config-schema", epilog="Example: relay config-schema > relay.schema.json")(config_schema)


def show_version() -> None:
    """Print the version, Python's and those of the libraries that matter: good in a bug report."""
    say(f"relay {__version__}")
    say(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    for name in _LIBRARIES:
        say(f"{name} {_installed(name)}")


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def config_schema() -> None:
    """Print the JSON Schema of relay.yml, with which editors complete and check it."""
    from relay.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
