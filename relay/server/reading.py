"""From a request's body to a webhook message, without holding up the event loop for long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from relay.alerts import NotAWebhookMessage, WebhookAlert, WebhookEnvelope, WebhookMessage, recognise

SLICE = 200
"""Alerts that are validated in one go: about 5 ms."""
SMALL = 100_000
"""Bytes of a body that is decoded and validated in one go: about as long as a slice takes."""


@dataclass(frozen=True, slots=True)
class Read:
    """A message and what of it could not be read: one bad alert never takes a good one along."""

    message: WebhookMessage
    unreadable: tuple[str, ...] = ()


async def read_message(body: bytes) -> Read:
    """Raises `NotAWebhookMessage` with a reason for the sender."""
    message = WebhookMessage.read_plain(body) if len(body) <= SMALL else None
    if message is not None:
        return Read(message)
    return await _read_in_slices(body)  # finds out what is wrong, and keeps the alerts that can be read


async def _read_in_slices(body: bytes) -> Read:
    decoded = recognise(_decode(body))
    try:
        envelope = WebhookEnvelope.model_validate(decoded)
    except ValidationError as error:
        raise NotAWebhookMessage(_first(error)) from None
    alerts: list[WebhookAlert] = []
    problems: list[str] = []
    listed: Sequence[Any] = decoded["alerts"]
    for start in range(0, len(listed), SLICE):
        for position, item in enumerate(listed[start : start + SLICE], start):
            try:
                alerts.append(WebhookAlert.model_validate(item))
            except ValidationError as error:
                problems.append(f"alerts[{position}]: {_first(error)}")
        if len(listed) > SLICE:
            await asyncio.sleep(0)
    if problems and not alerts:
        raise NotAWebhookMessage(problems[0])
    return Read(WebhookMessage.assemble(envelope, tuple(alerts)), tuple(problems))


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise NotAWebhookMessage("the JSON is nested too deeply for a webhook message") from None
    except UnicodeDecodeError:
        raise NotAWebhookMessage("the body is not UTF-8") from None
    except ValueError as error:
        raise NotAWebhookMessage(f"the body is not JSON: {error}"[:200]) from None


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
