"""One incident of any of the five systems as a tale on the page: it begins, people see it, Anna takes it, it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from relay import logs
from relay.demo.players.server import Players
from relay.demo.story import Progress
from relay.demo.telegram import FakeTelegram, Message

_STEPS = 4
_LOOK = 6.0
"""Seconds for people to read."""


class Tale:
    """Tells one alert. `seen` counts the messages of all platforms that name it; waits are up to `patience` seconds."""

    def __init__(
        self, players: Players, telegram: FakeTelegram, chat: int, user: int, *, patience: float, look: float = _LOOK
    ) -> None:
        self._players = players
        self._telegram = telegram
        self._chat = chat
        self._user = user
        self._patience = patience
        self._look = look
        self._log = logs.get("tale")
        self.progress = Progress(steps=_STEPS)

    async def tell(self, service: str, alert: str, seen: Callable[[], int]) -> None:
        """Raises `LookupError` for an alert that there is not. Whatever happens, the incident has ended afterwards."""
        before, messages = seen(), len(self._telegram.chat(self._chat).messages)
        self._players.begin(service, alert)
        try:
            self._now(1, f"{service}/{alert}: something goes wrong. Prometheus has to notice it.")
            await self._until(lambda: seen() > before)
            self._now(2, f"{service}/{alert}: the right people know.")
            await asyncio.sleep(self._look)
            if await self._take(alert, messages):
                self._now(3, f"{service}/{alert}: Anna takes it.")
                await asyncio.sleep(self._look)
        finally:
            self._players.end(service, alert)
        self._now(3, f"{service}/{alert}: all is well again. Prometheus has to notice that, too.")
        told = seen()
        await self._until(lambda: seen() > told or self._resolved(alert, messages))
        self._now(4, f"{service}/{alert} is over.", running=False)

    def _now(self, step: int, text: str, *, running: bool = True) -> None:
        self.progress = Progress(step, _STEPS, text, running)

    async def _until(self, condition: Callable[[], object]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                while not condition():  # noqa: ASYNC110  three platforms, and only one of them tells
                    await asyncio.sleep(0.2)
        except TimeoutError:
            self._log.warning("nobody was told", step=self.progress.step)

    def _living(self, alert: str, since: int) -> list[Message]:
        messages = self._telegram.chat(self._chat).messages[since:]
        return [one for one in messages if one.reply_to is None and alert in one.text]

    def _resolved(self, alert: str, since: int) -> bool:
        return any(one.text.startswith("🟢") for one in self._living(alert, since))

    async def _take(self, alert: str, since: int) -> bool:
        """By the real button, where the alert came to the chat at all."""
        for message in self._living(alert, since):
            for button in (button for row in message.buttons for button in row):
                data = str(button.get("callback_data", ""))
                if data.startswith("a:"):
                    try:
                        await self._telegram.user_presses(self._chat, message.id, data, user_id=self._user)
                    except TimeoutError:
                        self._log.warning("the bot did not answer the Ack button")
                        return False
                    return True
        return False
