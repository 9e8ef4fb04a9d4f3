"""The webhook messages of a storm: a thousand groups of one alert each, the first five critical."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from relay.ingest.accept import Delivered, Source, acceptor
from tests.state import State, wire_alert, wire_message

GROUPS = 1000
CRITICALS = 5


def message(
    number: int, *, firing: bool = True, place: str = "node", notification_reason: str = "", **more: Any
) -> Any:
    """The webhook message of one group of a storm: the first few are critical. `more` are times and labels of its alert."""
    severity = "critical" if number < CRITICALS else "error" if number % 10 == 0 else "warning"
    name, instance = f"Alert{number % 20:02}", f"{place}-{number:04}"
    alert = wire_alert(
        name,
        firing=firing,
        severity=more.pop("severity", severity),
        service=f"service-{number % 7}",
        instance=instance,
        cluster="eu",
        **more,
    )
    why = {"notification_reason": notification_reason} if notification_reason else {}
    return wire_message(alert, key=f"{{}}:{number}", groupLabels={"alertname": name, "instance": instance}, **why)


async def deliver(state: State, messages: Iterable[Any]) -> None:
    """All at the same moment, as Alertmanager does in a storm."""
    accept = acceptor(state.policy, state.new_id, state.clock)
    source = Source(name="main", has_api=True)
    delivered = [Delivered(source=source, message=one) for one in messages]
    await asyncio.gather(*(state.database.write_batched(accept, one) for one in delivered))
