"""Builds the channels of the config: one client per platform, shared by its channels, closed in the end."""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AsyncExitStack
from typing import Any

import aiohttp

from relay.bot.digest_keyboard import digest_keyboard
from relay.bot.keyboard import alert_keyboard
from relay.channels import AppriseOptions, EmailOptions, HttpOptions, SlackOptions, TelegramOptions
from relay.channels.telegram.loading import load_channel
from relay.config import Config
from relay.notification import Channel
from relay.rendering import Renderer


class UnusableChannel(Exception):
    """The config is valid, but a library does not take what it says of a channel; the text names it."""


async def open_channels(
    config: Config,
    renderer: Renderer,
    session: aiohttp.ClientSession,
    resources: AsyncExitStack,
    telegram_bot: Any = None,
) -> list[Channel]:
    """Every channel of the config, ready to send; nothing is asked of the platforms yet.

    Raises `UnusableChannel`. Platform libraries are imported here and in a thread: aiogram's import alone takes a second,
    and webhooks are accepted meanwhile. `telegram_bot` is the process's one client of the Bot API; it belongs to whoever
    opened it.
    """
    opener = _Opener(config, renderer, session, resources, telegram_bot)
    channels = []
    for name, options in config.channels.items():
        try:
            channel = await opener.open(name, options)
        except ValueError as error:
            raise UnusableChannel(f"channels.{name}: {error}") from None
        resources.push_async_callback(channel.close)
        channels.append(channel)
    return channels


class _Opener:
    def __init__(
        self,
        config: Config,
        renderer: Renderer,
        session: aiohttp.ClientSession,
        resources: AsyncExitStack,
        telegram_bot: Any,
    ) -> None:
        self._config = config
        self._renderer = renderer
        self._session = session
        self._resources = resources
        self._bot = telegram_bot
        self._mail: Any = None

    async def open(self, name: str, options: object) -> Channel:
        match options:
            case TelegramOptions():
                return await self._telegram(name, options)
            case SlackOptions():
                return await self._slack(name, options)
            case EmailOptions():
                return await self._email(name, options)
            case HttpOptions():
                http = await _load("relay.channels.http")
                made: Channel = http.HttpChannel(
                    name=name, options=options, renderer=self._renderer, session=self._session
                )
                return made
            case AppriseOptions():
                apprise = await _load("relay.channels.apprise")
                another: Channel = apprise.AppriseChannel(name=name, options=options, renderer=self._renderer)
                return another
        raise TypeError(f"channel {name}: no such type {options!r}")

    async def _telegram(self, name: str, options: TelegramOptions) -> Channel:
        telegram = await asyncio.to_thread(load_channel)
        assert self._config.telegram is not None  # the config was checked: its channel needs it
        if self._bot is None:
            self._bot = telegram.open_bot(self._config.telegram)
            self._resources.push_async_callback(self._bot.session.close)
        silences = bool(self._config.alertmanagers)
        made: Channel = telegram.TelegramChannel(
            name,
            options,
            bot=self._bot,
            renderer=self._renderer,
            keyboard=alert_keyboard(options.language, silences=silences),
            digest_keyboard=digest_keyboard(options.language, silences=silences),
            bot_windows=self._config.telegram.windows,
        )
        return made

    async def _slack(self, name: str, options: SlackOptions) -> Channel:
        slack = await _load("relay.channels.slack")
        made: Channel = slack.SlackChannel(
            name, options, config=self._config.slack, renderer=self._renderer, session=self._session
        )
        return made

    async def _email(self, name: str, options: EmailOptions) -> Channel:
        email = await _load("relay.channels.email")
        if self._mail is None:
            self._mail = email.MailServer(self._config.smtp)
        made: Channel = email.EmailChannel(name=name, options=options, server=self._mail, renderer=self._renderer)
        return made


async def _load(module: str) -> Any:
    return await asyncio.to_thread(importlib.import_module, module)
