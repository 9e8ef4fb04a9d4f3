"""The stand-ins of all platforms for the stack, and what the page shows of them: one chat, one channel, one mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from relay.demo.picture import Item
from relay.demo.players.server import SYSTEMS, Players
from relay.demo.scene import ANNA, CHANNEL, CHAT, Scene
from relay.demo.sms import Sms
from relay.demo.stack.far_side import FarSide
from relay.demo.stack.tale import Tale

_BOT_WITHIN = 120.0


def every_alert() -> Sequence[tuple[str, str]]:
    """(service, alertname) of all incidents, a system at a time in turn, so that a tour meets all systems early."""
    columns = itertools.zip_longest(*([(one.name, alert) for alert in one.incidents] for one in SYSTEMS))
    return [alert for row in columns for alert in row if alert is not None]


class StandIns:
    """All of them, and the page's stage. `patience` is how long an incident may take until somebody is told."""

    def __init__(self, players: Players, *, patience: float) -> None:
        self._players = players
        self.scene = Scene(paced=False)
        self.far_side = FarSide(self.scene.telegram, self.scene.slack, self.scene.mail)
        self.ready = False
        self._tale = Tale(players, self.scene.telegram, CHAT, ANNA, patience=patience)
        self._telling: asyncio.Task[None] | None = None
        self._tour = itertools.cycle(every_alert())

    async def start(self) -> None:
        await self.far_side.start()

    async def stop(self) -> None:
        await self._stop_telling()
        await self.far_side.stop()

    def gather(self, channels: Mapping[str, dict[str, Any]]) -> None:
        """Sends what is for many chats and Slack channels to the one of each that the page shows."""
        for channel in channels.values():
            if channel["type"] == "telegram":
                channel["chat_id"] = CHAT
                channel.pop("topic_id", None)
            elif channel["type"] == "slack":
                channel["channel"] = f"#{CHANNEL}"

    async def wait_for_bot(self) -> None:
        """Returns when the bot listens: then everything may be tried."""
        telegram = self.scene.telegram
        await telegram.until(lambda: telegram.updates.polled, within=_BOT_WITHIN)
        self.ready = True

    # The page's stage

    def status(self) -> Mapping[str, Any]:
        return {
            "ready": self.ready,
            "story": asdict(self._tale.progress),
            "alertmanager": "A real Prometheus and a real Alertmanager; what they watch is played.",
            **self.scene.titles(),
        }

    def items(self) -> Mapping[str, Item]:
        sms = {f"sms-{number}": _sms_item(number, sms) for number, sms in enumerate(self.far_side.sms.outbox)}
        return {**self.scene.items(), **sms}

    def play(self) -> None:
        """Tells the next incident of the tour, unless one is being told."""
        self.tell(*next(self._tour))

    def tell(self, service: str, alert: str) -> None:
        """Tells this incident, unless one is being told."""
        if self.ready and (self._telling is None or self._telling.done()):
            seen = self._tale.tell(service, alert, lambda: self._naming(alert))
            self._telling = asyncio.create_task(seen, name="tale")

    async def fire(self) -> None:
        """Begins the next incident of the tour, which then stays."""
        self._players.begin(*next(self._tour))

    async def resolve(self) -> None:
        """Ends every incident."""
        await self._stop_telling()
        for service, alert in every_alert():
            self._players.end(service, alert)

    def _naming(self, alert: str) -> int:
        """How many messages of all platforms name the alert."""
        return sum(alert in text for text in self._texts())

    def _texts(self) -> Iterator[str]:
        yield from (message.text for message in self.scene.chat.messages)
        yield from (message.text for message in self.scene.channel.messages)
        yield from (mail.subject + mail.text for mail in self.scene.mail.mailbox)
        yield from (sms.text for sms in self.far_side.sms.outbox)

    async def _stop_telling(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._telling


def _sms_item(number: int, sms: Sms) -> Item:
    """The page has no pane for phones: an SMS lies among the mails."""
    return {
        "pane": "mail",
        "from": "SMS",
        "to": sms.to,
        "subject": f"SMS to {sms.to}",
        "snippet": sms.text,
        "html": "",
        "text": sms.text,
        "files": [],
        "thread": f"sms-{number}",
        "at": sms.at,
    }
