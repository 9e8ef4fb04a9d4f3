"""`relay serve`: the main job."""

from __future__ import annotations

from typing import Annotated

import typer

from relay import __version__, logs
from relay.cli.arguments import ConfigOption, open_config
from relay.cli.output import complain
from relay.listening import parse_listen


def _listen(text: str | None) -> str | None:
    if text is not None:
        try:
            parse_listen(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return text


ListenOption = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        callback=_listen,
        help="Overrides server.listen. Port 0 takes a free one; the log says which.",
    ),
]


def register(program: typer.Typer) -> None:
    program.command(epilog="Example: relay serve --config /etc/relay/relay.yml --listen 127.0.0.1:8080")(serve)


def serve(config: ConfigOption = None, listen: ListenOption = None) -> None:
    """Take webhooks, bring alerts to the channels and answer the bot's commands, until SIGTERM or Ctrl-C."""
    loaded = open_config(config)
    for warning in loaded.warnings:
        complain(f"warning: {warning}", "yellow")
    logs.configure(loaded.config.log.level, loaded.config.log.format, secrets=loaded.config.every_secret())
    logs.get("app").info(
        "starting",
        version=__version__,
        config=str(loaded.source or "environment"),
        channels=len(loaded.config.channels),
        alertmanagers=len(loaded.config.alertmanagers),
    )
    from relay.app import run

    raise typer.Exit(run(loaded.config, listen))
