"""What can go wrong when an Alertmanager is asked, and how its ways of saying so are read."""

from __future__ import annotations

import json

_LONGEST = 500


class AlertmanagerError(Exception):
    """Base of all failures of the client; the texts are for people and hold no credentials."""


class AlertmanagerUnreachable(AlertmanagerError):
    """No peer gave an answer that we understand. `uncertain`: a silence may have been made all the same."""

    def __init__(self, name: str, url: str, detail: str, *, uncertain: bool = False) -> None:
        doubt = " (whether the silence was stored is unknown)" if uncertain else ""
        super().__init__(f"Alertmanager {name} cannot be reached: {detail}{doubt}")
        self.name = name
        self.url = url
        self.detail = detail
        self.uncertain = uncertain


class AlertmanagerRefused(AlertmanagerError):
    """It answered, and the answer is no; `message` is its own reason."""

    def __init__(self, name: str, status: int, message: str) -> None:
        super().__init__(f"Alertmanager {name} answered {status}: {message}")
        self.name = name
        self.status = status
        self.message = message


class SilenceNotFound(AlertmanagerRefused):
    """It knows no silence of this id (any more)."""


class PeerFailed(Exception):
    """One try at one peer came to nothing; `unsent` means that the peer cannot have acted on it."""

    def __init__(self, url: str, detail: str, *, unsent: bool = False, timeout: bool = False, status: int = 0) -> None:
        super().__init__(f"{url}: {detail}")
        self.url = url
        self.detail = detail
        self.unsent = unsent
        self.timeout = timeout
        self.status = status


def reason_in(body: bytes, content_type: str, fallback: str) -> str:
    """Alertmanager's own words: a JSON text (`api/v2/api.go`), `{"code", "message"}` (go-openapi), or plain text."""
    text = body[: 16 * _LONGEST].decode("utf-8", "replace")
    if "html" in content_type:  # a proxy's page says nothing that its status does not
        return fallback
    try:
        said = json.loads(text)
    except ValueError:
        said = text
    if isinstance(said, dict):
        said = said.get("message", text)
    line = " ".join(str(said).split())
    return line[:_LONGEST] or fallback
