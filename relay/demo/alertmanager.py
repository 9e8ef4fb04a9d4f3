"""A small stand-in of Alertmanager's API v2 for where no real one is installed: alerts, silences, status, receivers.

It checks what Alertmanager 0.33 checks and says it in the same words, but routes, groups and sends nothing. `script` makes
it fail. Rules: `api/v2/api.go`, `silence/silence.go`; the client's tests run against it and against real ones alike.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import re2
from aiohttp import web

from relay.alerts import fingerprint_of, parse_time
from relay.clock import Clock, Millis, system_clock
from relay.demo.alertmanager_faults import Script
from relay.demo.alertmanager_rules import (
    RESOLVE_TIMEOUT,
    Alert,
    Refused,
    StoredSilence,
    as_posted,
    checked_silence,
    rank,
    rfc3339,
)
from relay.matchers import Matcher, parse_matcher

VERSION = "0.33.1+stand-in"
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})  # what Go reads as true; all else is false, without an error


class FakeAlertmanager:
    """The server. `alerts` and `silences` are its state, `journal` each request as (method, path with query)."""

    def __init__(self, *, port: int = 0, clock: Clock = system_clock, receiver: str = "relay") -> None:
        self.host = "127.0.0.1"
        self.port = port
        self.receiver = receiver
        self.script = Script()
        self.journal: list[tuple[str, str]] = []
        self.alerts: dict[str, Alert] = {}
        self.silences: dict[str, StoredSilence] = {}
        self._clock = clock
        self._started_at = clock()
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        """Listens; with port 0 a free one is chosen."""
        app = web.Application(client_max_size=64 * 1024**2, middlewares=[self._door])
        self._stopping = asyncio.Event()
        self._started_at = self._clock()
        app.router.add_get("/api/v2/status", self._status)
        app.router.add_get("/api/v2/receivers", self._receivers)
        app.router.add_get("/api/v2/alerts", self._list_alerts)
        app.router.add_post("/api/v2/alerts", self._post_alerts)
        app.router.add_get("/api/v2/silences", self._list_silences)
        app.router.add_post("/api/v2/silences", self._post_silence)
        app.router.add_get("/api/v2/silence/{id}", self._get_silence)
        app.router.add_delete("/api/v2/silence/{id}", self._delete_silence)
        for path in ("/-/healthy", "/-/ready"):
            app.router.add_get(path, _ready)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stops listening and breaks every open connection; what was said stays."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def put_alert(
        self,
        labels: Mapping[str, str],
        annotations: Mapping[str, str] | None = None,
        *,
        starts_at: Millis | None = None,
        ends_at: Millis | None = None,
        generator_url: str = "",
    ) -> str:
        """An alert as Prometheus would post it; returns its fingerprint."""
        now = self._clock()
        kept = {name: value for name, value in labels.items() if value}
        fingerprint = fingerprint_of(kept)
        before = self.alerts.get(fingerprint)
        overlaps = before is not None and (before.ends_at is None or before.ends_at > now)
        starts = min(before.starts_at, starts_at or now) if before and overlaps else starts_at or now
        self.alerts[fingerprint] = Alert(kept, dict(annotations or {}), starts, ends_at, now, generator_url)
        return fingerprint

    def end_alert(self, labels: Mapping[str, str]) -> None:
        """It resolves now; one that is not there is fine."""
        alert = self.alerts.get(fingerprint_of({name: value for name, value in labels.items() if value}))
        if alert is not None:
            alert.ends_at = self._clock()

    @web.middleware
    async def _door(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        self.journal.append((request.method, request.path_qs))
        await request.read()
        fault = self.script.take(request.method, request.path.removeprefix("/api/v2/"))
        if fault is not None and fault.kind == "hold" and await self._until(fault.released):
            fault = None
        if fault is None or fault.after:
            response = await _answered(request, handler)
            if fault is None:
                return response
        if fault.kind == "answer":
            headers = {"Content-Type": fault.content_type, **fault.headers}
            return web.Response(status=fault.status, body=fault.body, headers=headers)
        if fault.kind == "hang":
            await self._stopping.wait()
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _until(self, released: asyncio.Event) -> bool:
        """False if the server stops first."""
        waiting = [asyncio.create_task(event.wait()) for event in (released, self._stopping)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        return released.is_set()

    async def _status(self, _request: web.Request) -> web.Response:
        said = {
            "cluster": {"peers": [], "status": "disabled"},
            "config": {"original": ""},
            "uptime": rfc3339(self._started_at),
            "versionInfo": {"version": VERSION},
        }
        return web.json_response(said)

    async def _receivers(self, _request: web.Request) -> web.Response:
        return web.json_response([{"name": self.receiver, "labels": {"name": self.receiver}}])

    async def _list_alerts(self, request: web.Request) -> web.Response:
        matchers = _filters(request)
        wanted = _receiver_pattern(request)
        shown = {name: request.query.get(name, "true") in _TRUE for name in ("active", "silenced")}
        now = self._clock()
        listed = []
        for fingerprint in sorted(self.alerts):
            alert = self.alerts[fingerprint]
            silenced_by = [
                one.id for one in self.silences.values() if one.state(now) == "active" and one.mutes(alert.labels)
            ]
            over = alert.ends_at is not None and alert.ends_at <= now
            if over or not shown["silenced" if silenced_by else "active"] or not wanted.search(self.receiver):
                continue
            if all(matcher.matches(alert.labels) for matcher in matchers):
                listed.append(alert.said(fingerprint, self.receiver, sorted(silenced_by), now))
        return web.json_response(listed)

    async def _post_alerts(self, request: web.Request) -> web.Response:
        posted = await _body(request, "alerts", list)
        now = self._clock()
        for one in posted:
            if not isinstance(one, dict) or "labels" not in one:
                raise Refused(422, {"code": 602, "message": "labels in body is required"})
            if not any(one["labels"].values()):
                raise Refused(400, "at least one label pair required")
        for one in posted:
            self.put_alert(
                one["labels"],
                one.get("annotations"),
                starts_at=parse_time(one.get("startsAt")),
                ends_at=parse_time(one.get("endsAt")) or now + RESOLVE_TIMEOUT,
                generator_url=one.get("generatorURL", ""),
            )
        return web.Response()

    async def _list_silences(self, request: web.Request) -> web.Response:
        wanted = [as_posted(matcher) for matcher in _filters(request)]
        now = self._clock()
        found = [one for one in self.silences.values() if all(matcher in one.matchers for matcher in wanted)]
        found.sort(key=lambda one: rank(one, now))
        return web.json_response([one.said(now) for one in found])

    async def _post_silence(self, request: web.Request) -> web.Response:
        posted = checked_silence(await _body(request, "silence", dict), self._clock())
        before = self.silences.get(posted.id)
        if posted.id and before is None:
            raise Refused(404, "silence not found")
        now = self._clock()
        if before is not None and before.state(now) != "expired":
            same = posted.matchers == before.matchers and posted.starts_at // 1000 == before.starts_at // 1000
            moved = before.state(now) == "pending" and posted.starts_at >= now and posted.matchers == before.matchers
            if same or moved:
                posted.starts_at = before.starts_at if same else posted.starts_at
                self.silences[posted.id] = posted
                return web.json_response({"silenceID": posted.id})
            before.ends_at = before.updated_at = now
        posted.id = str(uuid4())
        posted.starts_at = max(posted.starts_at, now)
        self.silences[posted.id] = posted
        return web.json_response({"silenceID": posted.id})

    async def _get_silence(self, request: web.Request) -> web.Response:
        return web.json_response(self._silence_of(request).said(self._clock()))

    async def _delete_silence(self, request: web.Request) -> web.Response:
        silence, now = self._silence_of(request), self._clock()
        if silence.ends_at > now:
            silence.ends_at = silence.updated_at = now
        return web.Response()

    def _silence_of(self, request: web.Request) -> StoredSilence:
        given = request.match_info["id"]
        try:
            UUID(given)
        except ValueError:
            raise Refused(422, {"code": 601, "message": f'silenceID in path must be of type uuid: "{given}"'}) from None
        if given not in self.silences:
            raise Refused(404, None)
        return self.silences[given]


async def _ready(_request: web.Request) -> web.Response:
    return web.Response(text="OK")


async def _answered(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as refused:
        if refused.said is None:
            return web.Response(status=refused.status)
        return web.json_response(refused.said, status=refused.status)
    except web.HTTPNotFound:
        if not request.path.startswith("/api/v2/"):
            return web.Response(status=404, text="404 page not found\n")
        return web.json_response({"code": 404, "message": f"path {request.path} was not found"}, status=404)
    except web.HTTPMethodNotAllowed as wrong:
        allowed = ",".join(sorted(wrong.allowed_methods - {"HEAD"}))
        said = {"code": 405, "message": f"method {request.method} is not allowed, but [{allowed}] are"}
        return web.json_response(said, status=405)
    return response


async def _body(request: web.Request, what: str, shape: type) -> Any:
    if request.content_type != "application/json":
        said = f'unsupported media type "{request.content_type}", only [application/json] are allowed'
        raise Refused(415, {"code": 415, "message": said})
    try:
        said = json.loads(await request.read())
    except ValueError as error:
        raise Refused(400, {"code": 400, "message": f'parsing {what} body from "" failed, because {error}'}) from None
    if not isinstance(said, shape):
        raise Refused(
            400, {"code": 400, "message": f'parsing {what} body from "" failed, because json: cannot unmarshal'}
        )
    return said


def _filters(request: web.Request) -> list[Matcher]:
    try:
        return [parse_matcher(text) for text in request.query.getall("filter", [])]
    except ValueError as error:
        raise Refused(400, f"bad matcher format: {error}") from None


def _receiver_pattern(request: web.Request) -> Any:
    pattern = request.query.get("receiver", ".*")
    try:
        return re2.compile(f"^(?:{pattern})$")
    except re2.error as error:
        raise Refused(400, f"failed to parse receiver param: {error}") from None
