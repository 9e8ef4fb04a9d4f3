"""One Alertmanager cluster through its API v2: what fires, what is silenced, and making, prolonging and ending silences.

Asks one peer per operation and the others only when it fails. Every answer's shape after 0.25 is optional.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

import aiohttp
from pydantic import ValidationError

from relay.alertmanager.answers import (
    AlertReader,
    ListedAlert,
    Listing,
    Odd,
    Silence,
    SilenceState,
    Status,
    needs_utf8,
    read_receiver,
    read_silence,
    read_status,
)
from relay.alertmanager.decoding import decode_list
from relay.alertmanager.errors import (
    AlertmanagerError,
    AlertmanagerRefused,
    AlertmanagerUnreachable,
    PeerFailed,
    SilenceNotFound,
)
from relay.alertmanager.peers import TIMEOUT, Answer, Call, OnRequest, Peers
from relay.alerts import parse_time, storable
from relay.clock import Clock, Millis, to_datetime
from relay.clusters import AlertmanagerConfig
from relay.matchers import Matcher

Item = TypeVar("Item")

_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
_LIVE: frozenset[SilenceState] = frozenset({"active", "pending"})


class Alertmanager:
    """All methods raise `AlertmanagerUnreachable` or `AlertmanagerRefused`; no text of theirs holds a credential."""

    def __init__(
        self,
        config: AlertmanagerConfig,
        session: aiohttp.ClientSession,
        on_request: OnRequest,
        clock: Clock,
        *,
        timeout: aiohttp.ClientTimeout = TIMEOUT,
    ) -> None:
        self.config = config
        self._peers = Peers(config, session, on_request, timeout=timeout)
        self._clock = clock
        self.latest: Listing | None = None
        """The last whole list, whoever asked for it: what is known while the next one is on its way."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def urls(self) -> tuple[str, ...]:
        return self._peers.urls

    async def status(self, *, peer: str | None = None) -> Status:
        """The status of the peer in use, or of that one alone (an entry of `urls`)."""
        answer = await self._peers.read(Call("status", "status"), only=peer)
        return self._understand(answer, lambda said: read_status(said, answer.peer))

    async def receivers(self) -> tuple[str, ...]:
        answer = await self._peers.read(Call("receivers", "receivers"))
        return await self._list(answer, read_receiver)

    async def alerts(
        self, filters: Iterable[Matcher] = (), *, active: bool = True, silenced: bool = True, inhibited: bool = True
    ) -> Listing:
        """What fires now and fulfils all filters. Without `active` only silenced and inhibited alerts are listed."""
        listing = await self._listed(tuple(filters), active=active, silenced=silenced, inhibited=inhibited)
        try:  # after the list, see Listing
            status = await self.status(peer=listing.peer)
        except AlertmanagerError:
            status = None
        return replace(listing, status=status)

    async def alerts_matching(self, matchers: Iterable[Matcher]) -> tuple[ListedAlert, ...]:
        """The alerts that a silence of these matchers would mute now, those that are muted already too."""
        return (await self._listed(tuple(matchers), active=True, silenced=True, inhibited=True)).alerts

    async def silences(
        self, filters: Iterable[Matcher] = (), *, states: Collection[SilenceState] = _LIVE
    ) -> tuple[Silence, ...]:
        """Silences in these states that hold each of `filters` word for word (as the API's own filter means it)."""
        wanted = tuple(filters)
        answer = await self._peers.read(Call("silences", "silences"))
        return tuple(
            silence
            for silence in await self._list(answer, read_silence)
            if silence.state in states and all(matcher in silence.matchers for matcher in wanted)
        )

    async def silence(self, silence_id: str) -> Silence:
        """One silence; raises `SilenceNotFound`."""
        answer = await self._one_silence("GET", silence_id)
        return self._understand(answer, read_silence)

    async def create_silence(
        self,
        matchers: Iterable[Matcher],
        starts: Millis,
        ends: Millis,
        created_by: str,
        comment: str,
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Makes a silence and returns its id. Annotations are kept from 0.32 on (`Status.features`), else ignored."""
        body: dict[str, Any] = {
            "matchers": [
                {"name": one.name, "value": one.value, "isRegex": one.is_regex, "isEqual": one.is_equal}
                for one in matchers
            ],
            "startsAt": _rfc3339(starts),
            "endsAt": _rfc3339(ends),
            "createdBy": storable(created_by),
            "comment": storable(comment),
        }
        if annotations:
            body["annotations"] = {storable(name): storable(value) for name, value in annotations.items()}
        return await self._store(body, None)

    async def extend(self, silence_id: str, ends: Millis) -> str:
        """Moves the end of a silence, all else as it is; returns its id, a new one if it had expired.

        Raises `SilenceNotFound`. An end in the past is refused here: up to 0.27 Alertmanager refuses it too, but ends
        the silence while at it.
        """
        if ends <= self._clock():
            raise AlertmanagerRefused(self.name, 400, "the end of a silence must lie in the future")
        answer = await self._one_silence("GET", silence_id)
        self._understand(answer, read_silence)
        # The rest goes back as it came, fields unknown to us too: a POST replaces the whole silence, and another start,
        # other matchers or another order of them would end it and make a new one (`silence/silence.go` canUpdate).
        body = {name: said for name, said in json.loads(answer.body).items() if name not in {"status", "updatedAt"}}
        return await self._store({**body, "endsAt": _rfc3339(ends)}, answer.peer)

    async def expire(self, silence_id: str) -> None:
        """Ends a silence; one that has ended already is fine. Raises `SilenceNotFound`."""
        await self._one_silence("DELETE", silence_id)

    async def _one_silence(self, method: Literal["GET", "DELETE"], silence_id: str) -> Answer:
        if not _ID.fullmatch(silence_id):  # it is typed by people, and becomes part of a path
            raise SilenceNotFound(self.name, 404, "no silence has such an id")
        try:
            return await self._peers.read(Call("silence", f"silence/{silence_id}", method))
        except AlertmanagerRefused as refused:
            # 422: no UUID at all. 0.25 answers a DELETE of an unknown one with 500.
            if refused.status in {404, 422} or (refused.status == 500 and refused.message == "silence not found"):
                raise SilenceNotFound(self.name, refused.status, refused.message) from None
            raise

    async def _store(self, body: Mapping[str, Any], prefer: str | None) -> str:
        """Posts a silence; after a failure that leaves doubt only once a look has shown that it is not there."""
        call = Call("silences", "silences", "POST", body=body)
        order = self._peers.order(prefer)
        failures: dict[str, PeerFailed] = {}
        for peer in [*order, order[0]]:
            if peer in failures and failures[peer].unsent:
                continue
            try:
                answer = await self._peers.send(peer, call)
            except PeerFailed as failure:
                failures[peer] = failure
            else:
                return self._understand(answer, lambda said: str(said["silenceID"]))
            if not failures[peer].unsent and (stored := await self._find(body, peer, failures)):
                return stored
        raise self._peers.given_up(failures.values())

    async def _find(self, body: Mapping[str, Any], peer: str, failures: Mapping[str, PeerFailed]) -> str | None:
        """The id of a live silence with this very content, asked first of the peer that may have stored it."""
        try:
            answer = await self._peers.read(Call("silences", "silences"), prefer=peer)
            stored = await self._list(answer, _identity)
        except AlertmanagerError:
            raise self._peers.given_up(failures.values(), uncertain=True) from None
        wanted = _content(body)
        return next((found for found, state, content in stored if state in _LIVE and content == wanted), None)

    async def _listed(self, filters: tuple[Matcher, ...], *, active: bool, silenced: bool, inhibited: bool) -> Listing:
        """Filters there what it can, here what it cannot: quoted names are refused before 0.27 and in classic mode."""
        asked_at = self._clock()
        flags = [("active", active), ("silenced", silenced), ("inhibited", inhibited)]
        params = [(name, "true" if on else "false") for name, on in flags]
        plain = [one for one in filters if not needs_utf8(one)]
        try:
            answer = await self._peers.read(Call("alerts", "alerts", params=_with(params, filters)))
        except AlertmanagerRefused as refused:
            if refused.status != 400 or len(plain) == len(filters):
                raise
            answer = await self._peers.read(Call("alerts", "alerts", params=_with(params, plain)))
        quoted = [one for one in filters if needs_utf8(one)]
        alerts = await self._list(answer, AlertReader(self.latest or ()))
        if quoted:
            alerts = tuple(alert for alert in alerts if all(one.matches(alert.labels) for one in quoted))
        listing = Listing(alerts, answer.peer, asked_at, None)
        if not filters and active and silenced and inhibited:
            self._keep(listing)
        return listing

    def _keep(self, listing: Listing) -> None:
        if self.latest is None or self.latest.asked_at <= listing.asked_at:
            self.latest = listing

    async def _list(self, answer: Answer, read: Callable[[Any], Item]) -> tuple[Item, ...]:
        try:
            return await decode_list(answer.body, read)
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise self._not_understood(answer, error) from None

    def _understand(self, answer: Answer, read: Callable[[Any], Item]) -> Item:
        try:
            return read(json.loads(answer.body))
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            raise self._not_understood(answer, error) from None

    def _not_understood(self, answer: Answer, error: Exception) -> AlertmanagerUnreachable:
        what = f"it answered with {answer.content_type or 'nothing'} that is not what an Alertmanager says"
        if isinstance(error, ValidationError):
            place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            what = f"{what} ({place}: {error.errors(include_input=False)[0]['msg']})"
        elif isinstance(error, Odd):
            what = f"{what} ({error})"
        return AlertmanagerUnreachable(self.name, answer.peer, f"{answer.peer}: {what}")


def _rfc3339(at: Millis) -> str:
    return to_datetime(at).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _with(params: list[tuple[str, str]], filters: Iterable[Matcher]) -> list[tuple[str, str]]:
    """One `filter` per matcher, no braces: `a=b,c=d` in one would silently be a single matcher."""
    return [*params, *(("filter", str(matcher)) for matcher in filters)]


def _identity(silence: Mapping[str, Any]) -> tuple[str, str, tuple[object, ...]]:
    return silence["id"], silence["status"]["state"], _content(silence)


def _content(silence: Mapping[str, Any]) -> tuple[object, ...]:
    """What makes two silences the same; the start is left out, Alertmanager sets one in the past to its own now."""
    matchers = [(one["name"], one["value"], one["isRegex"], one.get("isEqual", True)) for one in silence["matchers"]]
    return matchers, parse_time(silence["endsAt"]), silence["createdBy"], silence["comment"]
