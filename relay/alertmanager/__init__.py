"""The client of Alertmanager's API v2, the links into its web page and the guard against silences of everything."""

from __future__ import annotations

from relay.alertmanager.answers import (
    AlertState,
    Features,
    ListedAlert,
    Listing,
    Silence,
    SilenceState,
    Status,
    needs_utf8,
)
from relay.alertmanager.client import Alertmanager
from relay.alertmanager.errors import AlertmanagerError, AlertmanagerRefused, AlertmanagerUnreachable, SilenceNotFound
from relay.alertmanager.guard import guard
from relay.alertmanager.links import alert_link, silence_link, silence_view_link

__all__ = [
    "AlertState",
    "Alertmanager",
    "AlertmanagerError",
    "AlertmanagerRefused",
    "AlertmanagerUnreachable",
    "Features",
    "ListedAlert",
    "Listing",
    "Silence",
    "SilenceNotFound",
    "SilenceState",
    "Status",
    "alert_link",
    "guard",
    "needs_utf8",
    "silence_link",
    "silence_view_link",
]
