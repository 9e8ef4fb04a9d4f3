"""What the config says of Slack: the workspace's bot, and the channel or incoming webhook of each destination."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from relay.channels.options import ChannelOptions, LimitOptions
from relay.sections import Secret, SecretUrl, Section, Url


def _bot_token(token: SecretStr) -> SecretStr:
    if token.get_secret_value().startswith("xapp-"):
        raise ValueError("is an app-level token; the bot's own, under OAuth & Permissions, begins with xoxb-")
    return token


class SlackConfig(Section):
    """The workspace's bot, shared by all Slack channels that name a `channel`."""

    secrets: ClassVar[frozenset[str]] = frozenset({"bot_token"})

    bot_token: Annotated[Secret, AfterValidator(_bot_token)] | None = None
    """A bot token (`xoxb-…`) with `chat:write` and `files:write`; needed to edit messages."""
    api_url: Url = "https://slack.com/api/"
    """The Web API: Slack's own or a test double."""
    limits: LimitOptions = LimitOptions()
    """How fast the bot may send to all channels of the workspace together."""


class SlackOptions(ChannelOptions):
    """A Slack channel through the bot, or an incoming webhook (which cannot edit its messages)."""

    secrets: ClassVar[frozenset[str]] = frozenset({"webhook_url"})

    type: Literal["slack"]
    channel: Annotated[str, Field(min_length=1, pattern=r"^[#@]?[^\s#@]+$")] | None = None
    """`"#name"` (in quotes: # begins a comment) or the channel's id `C…`; needs `slack.bot_token`."""
    webhook_url: SecretUrl | None = None
    """An incoming webhook's address, instead of `channel`."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.channel is None) == (self.webhook_url is None):
            raise ValueError('needs channel: "#name" (in quotes, # begins a comment) or webhook_url, one of the two')
        return self
