"""One module per channel type; each owns its rendering, sending and the map of its platform's errors.

The config models stand apart in `*_options`, so that reading a config imports no platform's library.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import Field

from relay.channels.apprise_options import AppriseOptions
from relay.channels.email_options import EmailOptions
from relay.channels.http_options import HttpOptions
from relay.channels.options import ChannelOptions
from relay.channels.slack_options import SlackOptions
from relay.channels.telegram_options import TelegramOptions

AnyChannelOptions = Annotated[
    TelegramOptions | SlackOptions | EmailOptions | HttpOptions | AppriseOptions,
    Field(discriminator="type"),
]
"""What stands below `channels:`; `type` decides."""

CHANNEL_TYPES: Mapping[str, type[ChannelOptions]] = MappingProxyType(
    {
        "telegram": TelegramOptions,
        "slack": SlackOptions,
        "email": EmailOptions,
        "http": HttpOptions,
        "apprise": AppriseOptions,
    }
)
"""Every value of `type` with its options."""

__all__ = [
    "CHANNEL_TYPES",
    "AnyChannelOptions",
    "AppriseOptions",
    "EmailOptions",
    "HttpOptions",
    "SlackOptions",
    "TelegramOptions",
]
