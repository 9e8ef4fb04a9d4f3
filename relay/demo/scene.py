"""What the page of a demo shows: one Telegram chat, one Slack channel, one mailbox, and Anna, who presses and types."""

from __future__ import annotations

from collections.abc import Mapping

from relay.demo.mail import FakeMail
from relay.demo.picture import Item, channel_items, chat_items, mail_items
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates
from relay.demo.telegram import FakeTelegram, Toast

CHAT = -1001234567890
ANNA = 1001
CHANNEL = "alerts"
_SWIFT = Rates(post_burst=200, posts_per_second=50, update_burst=500, updates_per_second=50)


class Scene:
    """The stand-ins of the three platforms; whoever owns the scene starts and stops them. `language` is Anna's.

    `paced`: they refuse what comes faster than the real ones take it, as they refuse all else that those refuse.
    """

    def __init__(self, language: str = "en", *, paced: bool) -> None:
        self.telegram = FakeTelegram(limits=paced, username="relay_demo_bot")
        self.slack = FakeSlack(channels=(CHANNEL,), rates=Rates() if paced else _SWIFT)
        self.mail = FakeMail()
        self.chat = self.telegram.add_chat(CHAT, title="On-call")
        self.channel = self.slack.channel(CHANNEL)
        self._anna = self.telegram.add_user(ANNA, "Anna", "anna", language)

    def titles(self) -> Mapping[str, str]:
        return {"chat": self.chat.title, "channel": CHANNEL}

    def items(self) -> Mapping[str, Item]:
        chat = chat_items(self.chat, self.telegram.bot, self._anna)
        return {**chat, **channel_items(self.channel), **mail_items(self.mail)}

    async def press(self, message_id: int, data: str) -> Toast:
        """What the bot answers; `TimeoutError` if it does not, `LookupError` if the button is gone."""
        return await self.telegram.user_presses(CHAT, message_id, data, user_id=ANNA)

    def say(self, text: str) -> None:
        self.telegram.user_sends(CHAT, ANNA, text)
