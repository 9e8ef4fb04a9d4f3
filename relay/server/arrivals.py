"""`GET /api/posts?group=CODE`: whether the messages of a group arrived, for whoever may post webhooks (`relay send-test`)."""

from __future__ import annotations

from dataclasses import asdict

from aiohttp import web

from relay.server.credentials import Credentials
from relay.store.arrivals import arrivals
from relay.store.database import Database, StoreUnavailable


class Arrivals:
    """Answers the poster of a webhook, who knows the group's code from the answer to it."""

    def __init__(self, database: Database, credentials: Credentials) -> None:
        self._database = database
        self._credentials = credentials

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/api/posts", self.get_posts)]

    async def get_posts(self, request: web.Request) -> web.Response:
        if not self._credentials.allow(request.headers.get("Authorization")):
            headers = {"WWW-Authenticate": self._credentials.challenge}
            return web.json_response({"error": "no or wrong credentials"}, status=401, headers=headers)
        group = request.query.get("group", "")
        if not group:
            return web.json_response({"error": "say which: ?group=CODE"}, status=400)
        try:
            found = await self._database.read(arrivals, group)
        except StoreUnavailable:
            return web.json_response({"error": "the store is away, ask again"}, status=503)
        return web.json_response({"group": group, "posts": [asdict(one) for one in found]})
