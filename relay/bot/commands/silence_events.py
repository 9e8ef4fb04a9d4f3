"""Keeps in the history what people did to silences, for every incident whose alerts it concerns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from relay import logs
from relay.alertmanager import AlertmanagerError
from relay.bot.desk import Desk
from relay.bot.values import Request
from relay.matchers import Matcher, format_matchers
from relay.store.chronicle import record_for_incidents
from relay.store.database import StoreUnavailable
from relay.store.rows import HistoryRow

Deed = Literal["silenced", "extended", "unsilenced"]


async def note(
    desk: Desk, request: Request, deed: Deed, alertmanager: str, silence_id: str, matchers: Sequence[Matcher]
) -> None:
    """Once for each open incident with an alert that the silence hits, or once for none.

    It is done already: a store that is gone meanwhile must not make it look as if it were not.
    """
    detail = f"{format_matchers(matchers)} ({alertmanager} {silence_id})"
    row = HistoryRow(id=desk.new_id(), at=request.now, kind=deed, actor=request.person.name, detail=detail)
    hit = await _hit(desk, alertmanager, matchers)
    try:
        await desk.database.write(record_for_incidents, row, alertmanager, hit, desk.new_id)
    except StoreUnavailable as error:
        logs.get("bot").warning("not kept in the history", deed=deed, silence=silence_id, error=str(error))


async def _hit(desk: Desk, alertmanager: str, matchers: Sequence[Matcher]) -> Collection[str]:
    """Fingerprints; none where Alertmanager does not answer any more: the event itself is kept all the same."""
    try:
        return [alert.fingerprint for alert in await desk.clusters[alertmanager].alerts_matching(matchers)]
    except AlertmanagerError:
        return ()
