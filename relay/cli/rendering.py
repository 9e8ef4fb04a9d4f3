"""`relay render`: exactly what a channel would send, without sending it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from relay.alerts import WebhookMessage
from relay.cli.arguments import ConfigOption, PayloadOption, open_config, read_message
from relay.cli.output import complain, fail, harmless, say
from relay.cli.preview import example_message, first_notice, routed_to
from relay.clock import system_clock
from relay.config import Config
from relay.notification import Notice

PlatformType = Literal["telegram", "slack", "email"]

_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "telegram": {"chat_id": -1001234567890},
    "slack": {"channel": "#alerts"},
    "email": {"to": ["ops@example.org"]},
}


def register(program: typer.Typer) -> None:
    program.command(epilog="Example: relay render --type email --payload webhook.json --output /tmp/preview")(render)


def render(
    channel: Annotated[str | None, typer.Option("--channel", metavar="NAME", help="A channel of the config.")] = None,
    platform: Annotated[
        PlatformType | None,
        typer.Option("--type", help="Instead of --channel: a channel of that type, without a config."),
    ] = None,
    payload: PayloadOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", file_okay=False, help="Write the files instead of printing."),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Print exactly what a channel would send for a webhook body (default: a built-in example), without sending it."""
    if (channel is None) == (platform is None):
        raise typer.BadParameter("give --channel NAME or --type TYPE, one of the two")
    tree = open_config(config).config if channel is not None else _without_config(platform or "")
    name = channel or platform or ""
    if name not in tree.channels:
        fail([f"there is no channel {name!r}; known: {', '.join(tree.channels)}"])
    message = read_message(payload) if payload else example_message(system_clock())
    try:
        files = asyncio.run(_files(tree, name, _notice(tree, name, message)))
    except ValueError as error:  # such as a type whose extra is not installed
        fail([f"channel {name}: {error}"])
    if output is None:
        _print(files)
    else:
        _write(files, output)


def _without_config(platform: str) -> Config:
    """The least that a channel of this type needs; nothing is contacted."""
    return Config.model_validate(
        {
            "server": {"auth": {"allow_anonymous": True}},
            "telegram": {"bot_token": "1:preview"},
            "slack": {"bot_token": "preview"},
            "smtp": {"host": "localhost", "from": "Alerts <alerts@example.org>"},
            "channels": {platform: {"type": platform, **_OPTIONS[platform]}},
            "routes": [{"channels": [platform]}],
        }
    )


def _notice(config: Config, channel: str, message: WebhookMessage) -> Notice:
    """What the routes bring to the channel; all alerts if that is nothing, for the user wants to see something."""
    from relay.server.sources import Sources, UnknownSource

    try:
        source = Sources(config.alertmanagers).find(None, message.external_url).name
    except UnknownSource:
        source = config.alertmanagers[0].name
    severities = config.severity.severity_map()
    now = system_clock()
    shown = routed_to(config, channel, message, source)
    notice = first_notice(message, now, alertmanager=source, severities=severities, shown=shown)
    if notice is None:
        complain(f"the routes bring none of these alerts to {channel}; all of them are shown", "yellow")
        notice = first_notice(message, now, alertmanager=source, severities=severities)
    if notice is None:
        fail(["the message holds no alerts"])
    return notice


async def _files(config: Config, name: str, notice: Notice) -> Mapping[str, bytes]:
    import aiohttp

    from relay.app.channels import open_channels
    from relay.rendering import Renderer

    alone = config.model_copy(update={"channels": {name: config.channels[name]}})
    async with AsyncExitStack() as resources:
        session = await resources.enter_async_context(aiohttp.ClientSession())
        [channel] = await open_channels(alone, Renderer(config.templates), session, resources)
        return channel.render(notice).files


def _print(files: Mapping[str, bytes]) -> None:
    for number, (name, content) in enumerate(files.items()):
        if len(files) > 1:
            say(f"{'' if number == 0 else chr(10)}--- {name}", "bold")
        typer.echo(harmless(content.decode("utf-8", "replace").rstrip("\n")))


def _write(files: Mapping[str, bytes], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / Path(name).name
            path.write_bytes(content)
            say(str(path))
    except OSError as error:
        fail([f"{error.filename or folder}: cannot be written: {error.strerror}"])
