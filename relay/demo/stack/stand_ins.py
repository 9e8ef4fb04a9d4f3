"""The stand-ins of all platforms for the stack, and what the page shows of them: one chat, one channel, one mailbox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

from relay.demo.mail import FakeMail
from relay.demo.picture import Item, channel_items, chat_items, mail_items
from relay.demo.players.server import SYSTEMS, Players
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates
from relay.demo.sms import FakeSms, Sms
from relay.demo.stack.shipped import Platforms
from relay.demo.stack.tale import Tale
from relay.demo.telegram import FakeTelegram, Toast

CHAT = -1001234567890
ANNA = 1001
CHANNEL = "alerts"
_BOT_WITHIN = 120.0


def every_alert() -> Sequence[tuple[str, str]]:
    """(service, alertname) of all incidents, a system at a time in turn, so that a tour meets all systems early."""
    columns = itertools.zip_longest(*([(one.name, alert) for alert in one.incidents] for one in SYSTEMS))
    return [alert for row in columns for alert in row if alert is not None]


class StandIns:
    """All of them, and the page's stage. `patience` is how long an incident may take until somebody is told."""

    def __init__(self, players: Players, *, patience: float) -> None:
        self._players = players
        # The paces of the real platforms would make a storm last for minutes; their other rules all hold.
        self.telegram = FakeTelegram(limits=False, username="relay_demo_bot")
        swift = Rates(post_burst=200, posts_per_second=50, update_burst=500, updates_per_second=50)
        self.slack = FakeSlack(channels=(CHANNEL,), rates=swift)
        self.mail = FakeMail()
        self.sms = FakeSms()
        self.ready = False
        self._me = self.telegram.add_user(ANNA, "Anna", "anna")
        self._chat = self.telegram.add_chat(CHAT, title="On-call")
        self._tale = Tale(players, self.telegram, CHAT, ANNA, patience=patience)
        self._telling: asyncio.Task[None] | None = None
        self._tour = itertools.cycle(every_alert())
        self._parts = AsyncExitStack()

    async def start(self) -> None:
        for part in (self.telegram, self.slack, self.mail, self.sms):
            await part.start()
            self._parts.push_async_callback(part.stop)

    async def stop(self) -> None:
        await self._stop_telling()
        await self._parts.aclose()

    @property
    def platforms(self) -> Platforms:
        """What the relay's config says of them, once they are started."""
        return Platforms(
            telegram=self.telegram.url, slack=self.slack.url, mail_host=self.mail.host, mail_port=self.mail.port
        )

    @property
    def secrets(self) -> Mapping[str, str]:
        """The variables that the example config names."""
        return {
            "TELEGRAM_BOT_TOKEN": self.telegram.token,
            "SLACK_BOT_TOKEN": self.slack.token,
            "SMS_URL": self.sms.url,
            "SMS_TOKEN": self.sms.token,
        }

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
        await self.telegram.until(lambda: self.telegram.updates.polled, within=_BOT_WITHIN)
        self.ready = True

    # The page's stage

    def status(self) -> Mapping[str, Any]:
        return {
            "ready": self.ready,
            "story": asdict(self._tale.progress),
            "alertmanager": "A real Prometheus and a real Alertmanager; what they watch is played.",
            "chat": self._chat.title,
            "channel": CHANNEL,
        }

    def items(self) -> Mapping[str, Item]:
        return {
            **chat_items(self._chat, self.telegram.bot, self._me),
            **channel_items(self.slack.channel(CHANNEL)),
            **mail_items(self.mail),
            **{f"sms-{number}": _sms_item(number, sms) for number, sms in enumerate(self.sms.outbox)},
        }

    async def press(self, message_id: int, data: str) -> Toast:
        return await self.telegram.user_presses(CHAT, message_id, data, user_id=ANNA)

    def say(self, text: str) -> None:
        self.telegram.user_sends(CHAT, ANNA, text)

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
        yield from (message.text for message in self._chat.messages)
        yield from (message.text for message in self.slack.channel(CHANNEL).messages)
        yield from (mail.subject + mail.text for mail in self.mail.mailbox)
        yield from (sms.text for sms in self.sms.outbox)

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
