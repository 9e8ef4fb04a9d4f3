"""One tap in Telegram, seen everywhere: its own message and Slack's are edited, and a short mail goes out; unack too."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.demo.mail import FakeMail, Mail
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Message as SlackMessage
from relay.planning import TELL_ONCE_IN
from tests.bot_relay import BORIS, CHAT, BotRelay, captions, open_bot_relay

QUICK = {"per_second": 50, "per_minute": 3000}


class Everywhere:
    """A relay that shows each alert in a chat, in a Slack channel and by mail."""

    def __init__(self, bot: BotRelay, slack: FakeSlack, mail: FakeMail) -> None:
        self.bot = bot
        self._slack = slack
        self._mail = mail

    @property
    def slack(self) -> list[SlackMessage]:
        return self._slack.channel("alerts").messages

    @property
    def mails(self) -> list[Mail]:
        return self._mail.mailbox

    async def until_mails(self, count: int) -> Mail:
        """The last of so many mails."""
        await self.bot.telegram.until(lambda: len(self.mails) >= count)
        assert len(self.mails) == count
        return self.mails[-1]


@pytest.fixture
async def everywhere(tmp_path: Path) -> AsyncIterator[Everywhere]:
    slack, mail = FakeSlack(), FakeMail()
    await slack.start()
    await mail.start()
    sections: dict[str, Any] = {
        "slack": {"bot_token": slack.token, "api_url": slack.url},
        "smtp": {"host": mail.host, "port": mail.port, "from": "Alerts <alerts@example.org>", "tls": "none"},
        "channels": {
            "chat": {"type": "telegram", "chat_id": CHAT, "limits": QUICK},
            "team": {"type": "slack", "channel": "#alerts", "limits": QUICK},
            "ops": {"type": "email", "to": ["ops@example.org"], "limits": QUICK},
        },
        "routes": [{"channels": ["chat", "team", "ops"]}],
    }
    try:
        async with open_bot_relay(tmp_path, **sections) as bot:
            yield Everywhere(bot, slack, mail)
    finally:
        await mail.stop()
        await slack.stop()


async def test_an_ack_by_tap_and_its_end_are_seen_in_telegram_slack_and_mail(everywhere: Everywhere) -> None:
    bot, slack = everywhere.bot, everywhere.slack
    message = await bot.fire(summary="91 % full")
    first = await everywhere.until_mails(1)
    await bot.telegram.until(lambda: slack)

    assert (await bot.press(message, "Ack")).text == "You have it: DiskFull"
    await bot.telegram.until(lambda: "Acked by anna" in message.text)
    assert captions(message)[0] == "Unack"
    await bot.telegram.until(lambda: "anna" in slack[0].shown)
    told = await everywhere.until_mails(2)
    assert told.text.splitlines().count("Acked by anna") == 1
    assert "New: " not in told.text
    assert told.subject.removeprefix("Re: ") == first.subject.removeprefix("Re: ")
    assert told.message["In-Reply-To"] or told.message["References"]

    bot.clock.by += TELL_ONCE_IN  # a mail about acks is written once in so long
    assert (await bot.press(message, "Unack", BORIS)).text == "Given back: DiskFull"
    await bot.telegram.until(lambda: "anna" not in message.text)
    await bot.telegram.until(lambda: "anna" not in slack[0].shown)
    assert "No longer acked" in (await everywhere.until_mails(3)).text

    assert len(bot.messages) == 1  # nothing rang: both were edited
    assert len(slack) == 1
    assert message.edits
    assert slack[0].edits
