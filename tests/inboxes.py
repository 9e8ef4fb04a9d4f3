"""What people were shown at every channel of the relay's example config: the stand-ins, read channel by channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Self

from relay.demo import slack_rules
from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates
from relay.demo.sms import FakeSms
from relay.demo.stack.shipped import Platforms
from relay.demo.telegram import FakeTelegram

ENDLESS = Rates(post_burst=1e6, posts_per_second=1e6, update_burst=1e6, updates_per_second=1e6)
_OVER = re.compile(r"🟢|\bresolved\b|\bрешён\b|\bрешено\b|\bрешены\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Shown:
    """One text that somebody could read: a message, or a message as it looked before an edit."""

    text: str
    silent: bool = False

    @property
    def over(self) -> bool:
        """Whether it says that the incident has ended."""
        return _OVER.search(self.text) is not None

    def names(self, alert: str) -> bool:
        return re.search(rf"\b{alert}\b", self.text) is not None


class Inboxes:
    """The stand-ins of all channels of a config, as a context; `texts(channel)` is what was shown there, oldest first."""

    def __init__(self, channels: Mapping[str, Mapping[str, Any]]) -> None:
        self._channels = channels
        self.telegram = FakeTelegram(limits=False)
        for channel in channels.values():
            if channel["type"] == "telegram":
                topic = channel.get("topic_id")
                self.telegram.add_chat(channel["chat_id"], topics={topic: "Alerts"} if topic else {})
        names = [channel["channel"].removeprefix("#") for channel in channels.values() if channel["type"] == "slack"]
        self.slack = FakeSlack(channels=names, rates=ENDLESS)
        self.mail = FakeMail()
        self.sms = FakeSms()
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for part in (self.telegram, self.slack, self.mail, self.sms):
            await part.start()
            self._parts.push_async_callback(part.stop)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.aclose()

    @property
    def platforms(self) -> Platforms:
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

    def texts(self, name: str) -> Sequence[Shown]:
        """All that was shown at this channel; of a message that was edited every look of it."""
        channel = self._channels[name]
        readers = {"telegram": self._chat, "slack": self._workspace, "email": self._mailbox, "http": self._phone}
        return list(readers[channel["type"]](channel))

    def _chat(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for message in self.telegram.chat(channel["chat_id"]).messages:
            for text in (*(version.text for version in message.edits), message.text):
                yield Shown(text, message.silent)

    def _workspace(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for message in self.slack.channel(channel["channel"].removeprefix("#")).messages:
            for text, blocks in message.edits:
                yield Shown(slack_rules.shown({"text": text, "blocks": blocks}))
            yield Shown(message.shown)

    def _mailbox(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for mail in self.mail.mailbox:
            if set(channel["to"]) & set(mail.recipients):
                yield Shown(f"{mail.subject}\n{mail.text}")

    def _phone(self, _channel: Mapping[str, Any]) -> Iterator[Shown]:
        for sms in self.sms.outbox:
            yield Shown(sms.text)
