"""Reads what an HTTP service answers: whose failure a status is, when to come again, and the first words of the body."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from relay.notification import Reason

_LARGEST_ANSWER = 64 * 1024
_LONGEST_WAIT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """A reason, and whether it concerns the whole destination."""

    reason: Reason
    scope: Any = "destination"


async def text_of(response: aiohttp.ClientResponse) -> str:
    """The answer's beginning; the status has been given by then, so a body that breaks off changes nothing."""
    found = b""
    try:
        async for chunk in response.content.iter_any():
            found += chunk
            if len(found) >= _LARGEST_ANSWER:
                break
    except (aiohttp.ClientError, OSError, TimeoutError):
        pass
    return found[:_LARGEST_ANSWER].decode("utf-8", "replace")


def meaning_of(status: int) -> Meaning:
    """Whose failure a status is: of the address, of the service, or of this one message."""
    by_status = {
        401: Meaning("unauthorized"),
        402: Meaning("forbidden"),
        403: Meaning("forbidden"),
        404: Meaning("not_found"),
        405: Meaning("rejected"),
        407: Meaning("unauthorized"),
        408: Meaning("timeout"),
        410: Meaning("not_found"),
        413: Meaning("too_large", "post"),
        425: Meaning("rate_limited"),
        429: Meaning("rate_limited"),
    }
    if status in by_status:
        return by_status[status]
    if 400 <= status < 500:
        return Meaning("rejected", "post")
    return Meaning("server_error" if status >= 500 else "rejected")


def retry_after(value: str | None) -> float | None:
    """Seconds of a `Retry-After` (RFC 9110: seconds or a date); nonsense counts as absent, more than a day as a day."""
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.replace(".", "", 1).isdigit():
        seconds = float(text)
    else:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _LONGEST_WAIT)
