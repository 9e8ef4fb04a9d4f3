"""`/api/deliveries`: what waits and what was given up, for whoever may post webhooks (`relay deliveries`)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, get_args

from aiohttp import web

from relay import logs
from relay.clock import Clock, to_iso
from relay.ids import LARGEST_ID
from relay.server.credentials import Credentials
from relay.store.database import Database, StoreUnavailable
from relay.store.deliveries import (
    Contents,
    Delivery,
    State,
    discard_delivery,
    list_deliveries,
    retry_delivery,
    show_delivery,
)

_LOOPBACK = ("127.0.0.1", "::1")
_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
_ON_BEHALF = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via", "Origin", "Sec-Fetch-Site")
"""A proxy or a browser sends these: somebody else asks through a program of this machine."""

Answer = Callable[[web.Request], Awaitable[web.Response]]


def describe(delivery: Delivery, types: Mapping[str, str]) -> dict[str, Any]:
    """As it is printed. The id is a text: programs that read numbers as floats would spoil it."""
    return {
        "id": str(delivery.id),
        "channel": delivery.channel,
        "type": types.get(delivery.channel, ""),
        "state": delivery.state,
        "group": delivery.group,
        "alerts": delivery.alerts,
        "reason": delivery.reason,
        "detail": delivery.detail,
        "attempts": delivery.attempts,
        "since": to_iso(delivery.since),
    }


def describe_contents(contents: Contents, types: Mapping[str, str]) -> dict[str, Any]:
    """The same, with what it is about."""
    return {
        **describe(contents.delivery, types),
        "alertmanager": contents.alertmanager,
        "group_labels": dict(contents.group_labels),
        "names": list(contents.names),
        "open": contents.open,
        "shown": contents.shown,
        "opened_at": to_iso(contents.opened_at),
        "due_at": to_iso(contents.due_at),
    }


class Deliveries:
    """Lists, shows, tries again, lets be. `types`: channel -> its type; `resume` ends a channel's pause."""

    def __init__(
        self,
        database: Database,
        credentials: Credentials,
        clock: Clock,
        types: Mapping[str, str],
        resume: Callable[[str], None],
    ) -> None:
        self._database = database
        self._credentials = credentials
        self._clock = clock
        self._types = types
        self._resume = resume
        self._log = logs.get("deliveries")

    def routes(self) -> list[web.RouteDef]:
        one = r"/api/deliveries/{id:\d{1,19}}"
        return [
            web.get("/api/deliveries", self._guarded(self.get_list)),
            web.get(one, self._guarded(self.get_one)),
            web.post(f"{one}/retry", self._guarded(self.post_retry, changes=True)),
            web.post(f"{one}/discard", self._guarded(self.post_discard, changes=True)),
        ]

    async def get_list(self, request: web.Request) -> web.Response:
        state = request.query.get("state")
        if state is not None and state not in get_args(State):
            return web.json_response({"error": "state is pending or dead"}, status=400)
        found = await self._database.read(list_deliveries, state)
        return web.json_response({"deliveries": [describe(one, self._types) for one in found]})

    async def get_one(self, request: web.Request) -> web.Response:
        found = await self._database.read(show_delivery, _id(request))
        return web.json_response(describe_contents(found, self._types)) if found is not None else _unknown()

    async def post_retry(self, request: web.Request) -> web.Response:
        found = await self._database.write(retry_delivery, _id(request), self._clock())
        if found is not None:
            self._resume(found.channel)
        return self._done("retried", found)

    async def post_discard(self, request: web.Request) -> web.Response:
        return self._done("discarded", await self._database.write(discard_delivery, _id(request)))

    def _done(self, what: str, found: Delivery | None) -> web.Response:
        if found is None:
            return _unknown()
        self._log.info(what, post=found.id, channel=found.channel, group=found.group, reason=found.reason)
        return web.json_response({"status": what, "delivery": describe(found, self._types)})

    def _guarded(self, answer: Answer, *, changes: bool = False) -> Answer:
        async def guarded(request: web.Request) -> web.Response:
            header = request.headers.get("Authorization")
            if not self._credentials.allow(header):
                headers = {"WWW-Authenticate": self._credentials.challenge}
                return web.json_response({"error": "no or wrong credentials"}, status=401, headers=headers)
            if changes and not self._credentials.prove(header) and not _is_local(request):
                error = "with allow_anonymous only this machine may change deliveries, or who has a token"
                return web.json_response({"error": error}, status=403)
            try:
                return await answer(request)
            except StoreUnavailable:
                return web.json_response({"error": "the store is away, ask again"}, status=503)

        return guarded


def _id(request: web.Request) -> int:
    return min(int(request.match_info["id"]), LARGEST_ID)


def _is_local(request: web.Request) -> bool:
    """Whether a program of this machine asks for itself.

    Any web page that is open here may post to loopback, and one whose name its owner has made lead to loopback may even
    read the answer. Such a name is in `Host`.
    """
    if request.remote not in _LOOPBACK or not _LOCAL_HOST.fullmatch(request.host):
        return False
    return not any(header in request.headers for header in _ON_BEHALF)


def _unknown() -> web.Response:
    return web.json_response({"error": "there is no such delivery, or it has arrived meanwhile"}, status=404)
