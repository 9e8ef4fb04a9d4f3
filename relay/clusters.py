"""What the config says of each Alertmanager: its peers, how it is asked, and the watchdog that must keep firing."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from relay.clock import MINUTE, SECOND
from relay.matchers import parse_matchers
from relay.sections import BasicAuth, Duration, Name, Secret, Section, Url


def _parsable(matchers: str) -> str:
    if not parse_matchers(matchers):
        raise ValueError('is empty; write matchers such as alertname="Watchdog"')
    return matchers


def _base(url: str) -> str:
    if re.search(r"/api(/v[0-9]+)?(/|$)|#", url):
        raise ValueError("must be the address that its own page has, without /api/… and without #…")
    return url


class ClientAuth(Section):
    """How we prove to an Alertmanager who we are."""

    secrets: ClassVar[frozenset[str]] = frozenset({"bearer_token"})

    bearer_token: Secret | None = None
    basic: BasicAuth | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.bearer_token is None) == (self.basic is None):
            raise ValueError("give bearer_token (or bearer_token_file) or basic, one of the two")
        return self


class WatchdogConfig(Section):
    """An alert that always fires; when it stops coming, the way from Prometheus to us is broken."""

    matchers: Annotated[list[Annotated[str, AfterValidator(_parsable)]], Field(min_length=1)]
    """Which alert it is: `alertname="Watchdog"`."""
    timeout: Annotated[Duration, Field(gt=0)] = 15 * MINUTE
    """How long it may stay away."""
    channels: Annotated[list[str], Field(min_length=1)]
    """Who is told."""


class AlertmanagerConfig(Section):
    """One Alertmanager cluster."""

    name: Name
    """The last part of its webhook's path, `/webhook/NAME`, and its name in metrics and messages."""
    urls: Annotated[list[Annotated[Url, AfterValidator(_base)]], Field(min_length=1)]
    """Where we reach it; several are peers of one cluster and are tried in turn."""
    external_url: Annotated[Url, AfterValidator(lambda url: url.rstrip("/"))] | None = None
    """What people open in a browser; absent: what its webhooks say."""
    auth: ClientAuth | None = None
    poll: Duration = 30 * SECOND
    """How often it is asked what really fires; 0 is never."""
    settle: Duration = 5 * MINUTE
    """How long after its start its answers may not yet close alerts."""
    watchdog: WatchdogConfig | None = None
