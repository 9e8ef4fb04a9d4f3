"""The stand-ins of every platform that the example config names: started together, with their addresses and secrets."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.demo.sms import FakeSms
from relay.demo.stack.shipped import Platforms
from relay.demo.telegram import FakeTelegram


class FarSide:
    """Whoever looks at what was shown makes them as needed; the SMS gateway is always the same."""

    def __init__(self, telegram: FakeTelegram, slack: FakeSlack, mail: FakeMail) -> None:
        self.telegram = telegram
        self.slack = slack
        self.mail = mail
        self.sms = FakeSms()
        self._parts = AsyncExitStack()

    async def start(self) -> None:
        for part in (self.telegram, self.slack, self.mail, self.sms):
            await part.start()
            self._parts.push_async_callback(part.stop)

    async def stop(self) -> None:
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
