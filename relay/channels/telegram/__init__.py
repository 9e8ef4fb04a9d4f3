"""Telegram: one living message per incident, replies that ring, the full list as a document.

This module holds the config models alone and stays free of aiogram, whose import takes seconds; the channel is in
`relay.channels.telegram.channel`.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from relay.channels.options import ChannelOptions
from relay.sections import Section

__all__ = ["TelegramConfig", "TelegramOptions"]

_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
_PROXIES = ("http", "https", "socks4", "socks5")
_WEBHOOK_PORTS = (443, 80, 88, 8443)  # https://core.telegram.org/bots/api#setwebhook


def _bot_token(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("must look like 123456:ABC-DEF, as @BotFather gives it")
    return token


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or set("{}?#") & set(url):
        raise ValueError("must be the http(s) address of a Bot API server, such as https://api.telegram.org")
    return url.rstrip("/")


def _proxy(proxy: SecretStr) -> SecretStr:
    parts = urlsplit(proxy.get_secret_value())
    if parts.scheme not in _PROXIES or not parts.hostname or not parts.port:
        raise ValueError(f"must be SCHEME://[USER:PASSWORD@]HOST:PORT with one of {', '.join(_PROXIES)}")
    return proxy


def _webhook_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or (parts.port or 443) not in _WEBHOOK_PORTS:
        raise ValueError("must be an https address on port 443, 80, 88 or 8443: Telegram calls no other")
    return url


def _secret_token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", token.get_secret_value()):
        raise ValueError("must be 1 to 256 letters, digits, _ or -")
    return token


def _chat(value: object) -> object:
    if isinstance(value, bool) or value == 0:
        raise ValueError("must be a chat's number, such as -1001234567890, or a public @name")
    if isinstance(value, str):
        if re.fullmatch(r"-?[0-9]+", value.strip()):
            return _chat(int(value))
        if not re.fullmatch(r"@[A-Za-z][A-Za-z0-9_]{3,31}", value):
            raise ValueError("must be a chat's number, such as -1001234567890, or a public @name (/whoami tells it)")
    return value


class TelegramConfig(Section):
    """The `telegram` section: one bot, shared by all Telegram channels and the commands."""

    secrets: ClassVar[frozenset[str]] = frozenset({"bot_token", "proxy", "secret_token"})

    bot_token: Annotated[SecretStr, AfterValidator(_bot_token)]
    api_url: Annotated[str, AfterValidator(_base_url)] = "https://api.telegram.org"
    proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = None  # may hold a password
    mode: Literal["polling", "webhook"] = "polling"
    webhook_url: Annotated[str, AfterValidator(_webhook_url)] | None = None
    secret_token: Annotated[SecretStr, AfterValidator(_secret_token)] | None = None

    @model_validator(mode="after")
    def _webhook_is_complete(self) -> TelegramConfig:
        if self.mode == "webhook" and not (self.webhook_url and self.secret_token):
            raise ValueError("mode: webhook needs webhook_url and secret_token: without it anyone may post updates")
        return self


class TelegramOptions(ChannelOptions):
    """A channel of type `telegram`: a chat, and in a forum the topic."""

    type: Literal["telegram"]
    chat_id: Annotated[int | str, BeforeValidator(_chat)]
    topic_id: Annotated[int, Field(ge=1)] | None = None
