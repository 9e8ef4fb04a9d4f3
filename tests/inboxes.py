"""What people were shown at every channel of the relay's example config: the stand-ins, read channel by channel."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from relay.demo import slack_rules
from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates
from relay.demo.stack.far_side import FarSide
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
        telegram = FakeTelegram(limits=False)
        for channel in channels.values():
            if channel["type"] == "telegram":
                topic = channel.get("topic_id")
                telegram.add_chat(channel["chat_id"], topics={topic: "Alerts"} if topic else {})
        names = [channel["channel"].removeprefix("#") for channel in channels.values() if channel["type"] == "slack"]
        self.far_side = FarSide(telegram, FakeSlack(channels=names, rates=ENDLESS), FakeMail())

    async def __aenter__(self) -> Self:
        await self.far_side.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.far_side.stop()

    def texts(self, name: str) -> Sequence[Shown]:
        """All that was shown at this channel; of a message that was edited every look of it."""
        channel = self._channels[name]
        readers = {"telegram": self._chat, "slack": self._workspace, "email": self._mailbox, "http": self._phone}
        return list(readers[channel["type"]](channel))

    def _chat(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for message in self.far_side.telegram.chat(channel["chat_id"]).messages:
            for text in (*(version.text for version in message.edits), message.text):
                yield Shown(text, message.silent)

    def _workspace(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for message in self.far_side.slack.channel(channel["channel"].removeprefix("#")).messages:
            for text, blocks in message.edits:
                yield Shown(slack_rules.shown({"text": text, "blocks": blocks}))
            yield Shown(message.shown)

    def _mailbox(self, channel: Mapping[str, Any]) -> Iterator[Shown]:
        for mail in self.far_side.mail.mailbox:
            if set(channel["to"]) & set(mail.recipients):
                yield Shown(f"{mail.subject}\n{mail.text}")

    def _phone(self, _channel: Mapping[str, Any]) -> Iterator[Shown]:
        for sms in self.far_side.sms.outbox:
            yield Shown(sms.text)
