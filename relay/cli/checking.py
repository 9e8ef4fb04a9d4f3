"""`relay check`: everything that can be known to be wrong before an alert finds out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from relay import logs
from relay.channels import AppriseOptions
from relay.cli.arguments import ConfigOption
from relay.cli.output import say
from relay.config import Config, ConfigError, Loaded, read

if TYPE_CHECKING:
    from relay.notification import Channel

PATIENCE = 20.0
"""Seconds that one platform gets to answer."""


def register(program: typer.Typer) -> None:
    program.command(epilog="Example: relay check --config relay.yml --online")(check)


def check(
    config: ConfigOption = None,
    online: Annotated[  # noqa: FBT002  a flag of the command
        bool, typer.Option("--online", help="Also ask Telegram, Slack, the mail server and every Alertmanager.")
    ] = False,
) -> None:
    """Validate config and templates: every error on its own line, exit code 1 if there is one."""
    try:
        loaded = read(config, os.environ)
    except ConfigError as error:
        for one in error.problems:
            say(str(one), "red")
        raise typer.Exit(1) from None
    logs.configure("warning", loaded.config.log.format, secrets=loaded.config.every_secret())
    good = _check_offline(loaded)
    if good:
        say(_summary(loaded), "green")
    if online:
        good = asyncio.run(_ask_everyone(loaded.config)) and good
    if not good:
        raise typer.Exit(1)


def _check_offline(loaded: Loaded) -> bool:
    from relay.cli.templates import template_problems

    problems = [*template_problems(loaded), *_unknown_services(loaded)]
    for problem in problems:
        say(problem, "red")
    for warning in loaded.warnings:
        say(f"warning: {warning}", "yellow")
    return not problems


def _unknown_services(loaded: Loaded) -> Iterator[str]:
    """Addresses that Apprise does not know, with which a start would fail. Only asked for: its import takes a second."""
    for name, options in loaded.config.channels.items():
        if isinstance(options, AppriseOptions):
            from relay.channels.apprise import AppriseChannel
            from relay.rendering import Renderer

            try:
                AppriseChannel(name=name, options=options, renderer=Renderer(loaded.config.templates))
            except ValueError as error:
                yield str(loaded.problem(("channels", name, "url"), str(error).removeprefix("url ")))


def _summary(loaded: Loaded) -> str:
    config = loaded.config
    counts = (
        (len(config.channels), "channel"),
        (len(config.routes), "route"),
        (len(config.alertmanagers), "alertmanager"),
    )
    told = ", ".join(f"{count} {what}{'' if count == 1 else 's'}" for count, what in counts)
    return f"{loaded.source or 'environment'}: good: {told}"


async def _ask_everyone(config: Config) -> bool:
    """One line for each channel and each peer of each Alertmanager; whether all are well."""
    import aiohttp

    from relay.app.channels import open_channels
    from relay.rendering import Renderer

    async with AsyncExitStack() as resources:
        session = await resources.enter_async_context(aiohttp.ClientSession())
        try:
            channels = await open_channels(config, Renderer(config.templates), session, resources)
        except ValueError as error:  # such as a type whose extra is not installed
            say(f"channels: {error}", "red")
            return False
        answers = [_ask(f"channel {one.name} ({one.type})", _said(one)) for one in channels]
        lines = await asyncio.gather(*answers, *_ask_alertmanagers(config, session))
    for line, well in lines:
        say(_masked(line, config), "green" if well else "red")
    return all(well for _, well in lines)


def _masked(line: str, config: Config) -> str:
    """A platform's or a library's words, which may repeat a token or an address."""
    for secret in config.every_secret():
        if len(text := secret.get_secret_value()) >= logs.SHORTEST_SECRET:
            line = line.replace(text, logs.MASK)
    return line


def _ask_alertmanagers(config: Config, session: object) -> Sequence[Awaitable[tuple[str, bool]]]:
    from relay.alertmanager import Alertmanager
    from relay.clock import system_clock

    async def version(client: Alertmanager, url: str) -> str:
        status = await client.status(peer=url)
        return f"version {status.version}, cluster {status.cluster_status}"

    clients = [Alertmanager(one, session, lambda *_: None, system_clock) for one in config.alertmanagers]  # type: ignore[arg-type]  # kept out of this module's imports
    return [
        _ask(f"alertmanager {client.name} {url}", version(client, url)) for client in clients for url in client.urls
    ]


async def _said(channel: Channel) -> str:
    return (await channel.check()).said


async def _ask(who: str, question: Awaitable[str]) -> tuple[str, bool]:
    """The door of one platform: whatever it answers, the others are still asked."""
    try:
        async with asyncio.timeout(PATIENCE):
            return f"{who}: {await question}", True
    except TimeoutError:
        return f"{who}: no answer within {PATIENCE:.0f} s", False
    except Exception as error:  # noqa: BLE001  one line for people, whatever it was
        return f"{who}: {error}", False
