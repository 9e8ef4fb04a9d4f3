"""What the config says of an Apprise channel: one address of any service that the extra `[apprise]` knows."""

from __future__ import annotations

from typing import ClassVar, Literal

from relay.channels.options import ChannelOptions
from relay.sections import Secret


class AppriseOptions(ChannelOptions):
    """Any of the services that Apprise speaks to."""

    secrets: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["apprise"]
    url: Secret
    """Apprise's own address, `scheme://…`; kept secret, because it holds the credentials."""
