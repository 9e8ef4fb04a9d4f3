"""`POST /webhook`: the contract with Alertmanager, which retries 5xx only and takes any 2xx as delivered for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from aiohttp import web
from pydantic_core import to_json

from relay import logs
from relay.alerts import NotAWebhookMessage
from relay.ingest.accept import Accepted, Delivered, Source
from relay.metrics import UNKNOWN_ALERTMANAGER, Metrics
from relay.server.credentials import Credentials
from relay.server.reading import Read, read_message
from relay.server.sources import Sources, UnknownSource
from relay.store.database import Connection, Database, StoreUnavailable

RETRY_AFTER = {"Retry-After": "5"}

Accept = Callable[[Connection, Sequence[Delivered]], Sequence[Accepted]]


class Webhooks:
    """Answers posts. Every path out of here is counted, and 200 is only said after COMMIT."""

    def __init__(
        self,
        *,
        database: Database,
        accept: Accept,
        credentials: Credentials,
        sources: Sources,
        metrics: Metrics,
        on_change: Callable[[Iterable[str]], None],
    ) -> None:
        self._database = database
        self._accept = accept
        self._credentials = credentials
        self._sources = sources
        self._metrics = metrics
        self._on_change = on_change
        self._log = logs.get("webhook")
        self.stopping = False

    def routes(self) -> list[web.RouteDef]:
        paths = ("/webhook", "/webhook/", "/webhook/{alertmanager}", "/webhook/{alertmanager}/")
        return [web.post(path, self.post_webhook) for path in paths]

    async def post_webhook(self, request: web.Request) -> web.Response:
        started = time.perf_counter()
        try:
            return await self._answer(request)
        finally:
            self._metrics.webhook_seconds.observe(time.perf_counter() - started)

    async def _answer(self, request: web.Request) -> web.Response:
        if not self._credentials.allow(request.headers.get("Authorization")):
            self._refuse("unauthorized", "no or wrong credentials", request)
            headers = {"WWW-Authenticate": self._credentials.challenge}
            return web.json_response({"error": "no or wrong credentials"}, status=401, headers=headers)
        if self.stopping:
            return self._unavailable(UNKNOWN_ALERTMANAGER, "the relay is stopping")
        try:
            read = await read_message(await request.read())
            source = self._sources.find(request.match_info.get("alertmanager"), read.message.external_url)
        except web.HTTPRequestEntityTooLarge as error:
            self._refuse("invalid", f"body over {error.text or 'the limit'}", request)
            reason = "the body is larger than server.max_body allows: raise it, or set max_alerts in Alertmanager"
            return web.json_response({"error": reason}, status=413)
        except (web.RequestPayloadError, ConnectionError) as error:
            why = getattr(error.__cause__, "message", "") or "the connection ended before it did"
            reason = f"the body cannot be read: {why}"
            self._refuse("invalid", reason, request)
            return web.json_response({"error": reason}, status=400)
        except (NotAWebhookMessage, UnknownSource) as error:
            self._refuse("invalid", str(error), request)
            return web.json_response({"error": str(error)}, status=400)
        return await self._take(read, source)

    async def _take(self, read: Read, source: Source) -> web.Response:
        delivered = Delivered(source=source, message=read.message)
        try:
            say = await self._database.write_batched(self._accept, delivered, partial(self._prepare, read, source))
        except StoreUnavailable as error:
            return self._unavailable(source.name, str(error))
        except Exception:  # noqa: BLE001  the door of a request: a bug of ours must make Alertmanager come again
            self._metrics.errors.labels("webhook").inc()
            self._log.exception("webhook failed", alertmanager=source.name)
            return self._unavailable(source.name, "internal error")
        return say()

    def _prepare(self, read: Read, source: Source, accepted: Accepted) -> Callable[[], web.Response]:
        """What tells everybody that the message is kept, and gives the answer to it: called once that is true."""
        message = read.message
        outcome = "duplicate" if accepted.duplicate else "accepted"
        count = self._metrics.webhooks.labels(source.name, outcome)
        said = to_json({"status": outcome, "group": accepted.group, "channels": accepted.channels})
        response = web.Response(body=said, content_type="application/json")  # `json_response` costs three times that
        tell = self._log.prepared(
            outcome,
            alertmanager=source.name,
            receiver=message.receiver_name,
            group=accepted.group,
            alerts=len(message.alerts),
            firing=sum(alert.firing for alert in message.alerts),
            reason=message.notification_reason,
        )

        def say() -> web.Response:
            self._on_change(accepted.woken)
            tell()
            count.inc()
            self._warn(read, accepted)
            return response

        return say

    def _warn(self, read: Read, accepted: Accepted) -> None:
        if accepted.unrouted:
            self._metrics.errors.labels("routing").inc(accepted.unrouted)
            hint = "add a route without matchers at the end"
            self._log.warning("alerts match no route", group=accepted.group, alerts=accepted.unrouted, hint=hint)
        for problem in read.unreadable[:10]:
            self._log.warning("alert skipped, it cannot be read", group=accepted.group, problem=problem)
        if read.unreadable:
            self._metrics.errors.labels("webhook").inc(len(read.unreadable))

    def _refuse(self, outcome: str, reason: str, request: web.Request) -> None:
        self._metrics.webhooks.labels(UNKNOWN_ALERTMANAGER, outcome).inc()
        self._log.warning("refused", outcome=outcome, reason=reason, peer=request.remote)

    def _unavailable(self, alertmanager: str, reason: str) -> web.Response:
        self._metrics.webhooks.labels(alertmanager, "unavailable").inc()
        self._log.error("unavailable", alertmanager=alertmanager, reason=reason)
        return web.json_response({"error": "not stored, send it again"}, status=503, headers=RETRY_AFTER)
