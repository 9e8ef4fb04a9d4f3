"""What the config says of Telegram: the bot, and where each of its channels writes. Knows nothing of aiogram."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from relay.channels.options import ChannelOptions, LimitOptions
from relay.notification import Limits
from relay.sections import Secret, Section, Url, problem, refuse

_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+")
_SECRET_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,256}")  # Bot API, setWebhook
_CHAT_NAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,}")


def _bot_token(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("is no bot token as @BotFather gives it: digits, a colon, letters and digits")
    return token


def _secret_token(token: SecretStr) -> SecretStr:
    if not _SECRET_TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("must be 1 to 256 of the characters A-Z a-z 0-9 _ -")
    return token


def _proxy(proxy: SecretStr) -> SecretStr:
    if not re.match(r"(socks4|socks5|http|https)://[^/\s]+", proxy.get_secret_value()):
        raise ValueError("must be an address such as socks5://127.0.0.1:1080 or http://proxy:3128")
    return proxy


def parse_chat_id(value: object) -> int | str:
    """A chat's number, or the `@name` of a public one; raises `ValueError`."""
    text = str(value).strip()
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and int(text) != 0 and not isinstance(value, bool):
        return int(text)
    if _CHAT_NAME.fullmatch(text):
        return text
    raise ValueError("must be a chat's number such as -1001234567890 (the bot's /whoami tells it) or a public @name")


ChatId = Annotated[int | str, BeforeValidator(parse_chat_id)]


class TelegramConfig(Section):
    """The bot, shared by all Telegram channels."""

    secrets: ClassVar[frozenset[str]] = frozenset({"bot_token", "secret_token", "proxy"})

    bot_token: Annotated[Secret, AfterValidator(_bot_token)]
    """The bot's token from @BotFather."""
    api_url: Url = "https://api.telegram.org"
    """The Bot API: Telegram's own, a server of yours, or a test double."""
    proxy: Annotated[Secret, AfterValidator(_proxy)] | None = None
    """A proxy to reach the Bot API: `socks5://…` or `http://…`; may hold a user and password."""
    mode: Literal["polling", "webhook"] = "polling"
    """How the bot hears people: it asks Telegram (`polling`) or Telegram calls it (`webhook`)."""
    webhook_url: Url | None = None
    """The public https address that Telegram calls; for `mode: webhook`."""
    secret_token: Annotated[Secret, AfterValidator(_secret_token)] | None = None
    """What Telegram sends along so that nobody else can call; for `mode: webhook`."""
    limits: LimitOptions = LimitOptions()
    """How fast the bot may send to all its chats together."""

    @property
    def windows(self) -> tuple[tuple[int, float], ...]:
        """What the bot may send in so many seconds, by Telegram's FAQ unless the config says otherwise."""
        return self.limits.windows(per_second=30)

    def limits_of_answers(self, chat_id: int) -> Limits:
        """Of a chat that no channel writes to: the bot only answers there, a few times in quick succession."""
        here = ((3, 1.0),) if chat_id > 0 else ((3, 1.0), (18, 60.0))
        return Limits(destination=here, account=self.windows)

    @model_validator(mode="after")
    def _complete_webhook(self) -> Self:
        if self.mode == "polling":
            return self
        problems = []
        if self.webhook_url is None:
            problems.append(problem(["webhook_url"], "is required with mode: webhook"))
        elif not self.webhook_url.startswith("https://"):
            problems.append(problem(["webhook_url"], "must begin with https://, Telegram calls nothing else"))
        if self.secret_token is None:
            problems.append(problem(["secret_token"], "is required with mode: webhook (or secret_token_file)"))
        if problems:
            raise refuse(problems)
        return self


class TelegramOptions(ChannelOptions):
    """A chat, group, channel or forum topic in Telegram."""

    type: Literal["telegram"]
    chat_id: ChatId
    """The chat's number (negative for groups) or the `@name` of a public one."""
    topic_id: Annotated[int, Field(gt=0)] | None = None
    """The topic of a forum group; absent for a chat without topics and for General."""
