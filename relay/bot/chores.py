"""What the bot does unasked: mirrors acks and tells that a silence ends while its alerts fire."""

from __future__ import annotations

import asyncio
import contextlib

from relay import logs
from relay.alertmanager import AlertmanagerError, ListedAlert, Silence
from relay.bot.desk import Desk
from relay.bot.messenger import Messenger, Spot
from relay.bot.values import Button, Person, Place, Request, Seat
from relay.clock import DAY, MINUTE, SECOND, Millis
from relay.matchers import format_matchers
from relay.silencing import ACK_PREFIX, AckMirror, Standing
from relay.store.conversations import View, remember_told, save_view, was_told
from relay.store.database import StoreUnavailable
from relay.store.leases import LeaseKeeper

EVERY = 5.0
"""Seconds between two rounds."""
NOTES_EVERY: Millis = 30 * SECOND
NOTE_BEFORE: Millis = 15 * MINUTE
MADE = "silence"


class Chores:
    """One round for each cluster whose lease this process holds. `run` ends after `stopping` is set."""

    def __init__(self, desk: Desk, messenger: Messenger, keeper: LeaseKeeper) -> None:
        self._desk = desk
        self._messenger = messenger
        self._keeper = keeper
        self._mirrors = {name: AckMirror(client, desk.database, desk.clock) for name, client in desk.clusters.items()}
        self._noted_at: dict[str, Millis] = {}
        self._log = logs.get("bot")

    async def run(self, stopping: asyncio.Event) -> None:
        self._keeper.want([_lease(name) for name in self._mirrors])
        while not stopping.is_set():
            for name in self._mirrors:
                if self._keeper.get(_lease(name)) is not None:
                    await self._guarded(name)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY):
                    await stopping.wait()

    async def _guarded(self, name: str) -> None:
        try:
            await self.round(name)
        except (AlertmanagerError, StoreUnavailable) as error:
            self._log.warning("chores have to wait", alertmanager=name, error=str(error))
        except Exception:  # noqa: BLE001  the door of a round: a bug in one must not stop the next
            self._desk.metrics.errors.labels("bot").inc()
            self._log.exception("chores failed unexpectedly", alertmanager=name)

    async def round(self, name: str) -> None:
        """Raises `AlertmanagerError` and `StoreUnavailable`."""
        now = self._desk.clock()
        if self._desk.config.ack_silence and await self._mirrors[name].keep():
            await self._desk.refresh(name)
        if abs(now - self._noted_at.get(name, 0)) >= NOTES_EVERY:
            self._noted_at[name] = now
            await self._tell_endings(name, now)

    async def _tell_endings(self, name: str, now: Millis) -> None:
        client = self._desk.clusters[name]
        for silence in await client.silences(states={"active"}):
            if not _ends_soon(silence, now):
                continue
            firing = [one for one in await client.alerts_matching(silence.matchers) if silence.mutes(one.labels)]
            for seat in self._seats(name, firing):
                await self._tell(seat, name, silence, len(firing), now)

    def _seats(self, name: str, firing: list[ListedAlert]) -> list[Seat]:
        """Where these alerts would be shown, each chat and topic once."""
        channels = {channel for alert in firing for channel in self._desk.queries.channels_of(name, alert)}
        spots = {(seat.chat, seat.topic): seat for seat in self._desk.seats() if seat.name in channels}
        return [seat for seat in spots.values() if isinstance(seat.chat, int)]

    async def _tell(self, seat: Seat, name: str, silence: Silence, count: int, now: Millis) -> None:
        key = f"{seat.chat}/{seat.topic or 0} {name} {silence.id} {silence.ends_at}"
        if await self._desk.database.read(was_told, key):
            return
        request = _request(self._desk, seat, now)
        token = self._desk.new_token()
        state = {"alertmanager": name, "id": silence.id, "ends": silence.ends_at}
        view = View(token=token, chat=request.place.chat_id, kind=MADE, state=state, expires_at=now + 7 * DAY)
        await self._desk.database.write(save_view, view)
        one = Standing(alertmanager=name, silence=silence)
        answer = self._desk.pages.show(
            request,
            "silence_ends",
            rows=[[Button(caption=f"+{text}", data=f"v:{token}:e{text}") for text in ("1h", "4h")]],
            one=one,
            silence=silence,
            count=count,
            several=self._desk.several,
            matchers=format_matchers(silence.matchers),
        )
        topic = None if seat.topic == 1 else seat.topic
        if await self._messenger.deliver(Spot(request.place.chat_id, topic), answer, message_id=None):
            await self._desk.database.write(remember_told, key, now)


def _lease(name: str) -> str:
    return f"bot chores {name}"


def _ends_soon(silence: Silence, now: Millis) -> bool:
    """15 minutes before the end; of a short silence in its last third, else it would be told when it is made."""
    if silence.ends_at is None or silence.starts_at is None or silence.comment.startswith(ACK_PREFIX):
        return False
    length = silence.ends_at - silence.starts_at
    return 0 < silence.ends_at - now <= min(NOTE_BEFORE, length // 3)


def _request(desk: Desk, seat: Seat, now: Millis) -> Request:
    assert isinstance(seat.chat, int)
    here = frozenset([seat.name])
    place = Place(
        chat_id=seat.chat,
        private=seat.chat > 0,
        thread_id=seat.topic,
        channels=here,
        scope=here,
        language=seat.language,
        zone=seat.zone,
    )
    texts = desk.languages[seat.language]
    nobody = Person(id=0, name="", signature="", role=None, language=seat.language)
    return Request(person=nobody, place=place, texts=texts, own_texts=texts, now=now)
