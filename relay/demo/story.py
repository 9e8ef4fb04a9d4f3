"""The incident that the demo plays: a call centre's voice robot slows down, breaks, is taken by a person, and recovers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay import logs
from relay.demo.source import Alert, Source
from relay.demo.telegram import FakeTelegram, Message

STORM = 120
"""Groups of the storm: one for each telephone line of the call centre."""
TRUNK, ON_TRUNK = "sip-2", 100
"""What broke, and how many of the lines hang on it."""
_PATIENCE = 60.0
"""Seconds until a step goes on without what it waited for: a chat that had its 20 messages takes the next a minute later."""
_SERVICE = "voice-robot"
_LINKS = {
    "runbook_url": "https://runbooks.example.org/call-centre/voice-robot",
    "dashboard_url": "https://grafana.example.org/d/callcenter-realtime",
}
_STORMY = (
    (
        "CircuitBreakerOpen",
        "orders",
        "The circuit breaker of the order system is open",
        "Предохранитель системы заказов разомкнут",
    ),
    ("HighSTTLatency", "speech", "Speech recognition takes 2.4 s", "Распознавание речи занимает 2,4 с"),
    ("HighTTSLatency", "speech", "Speech synthesis takes 1.9 s", "Синтез речи занимает 1,9 с"),
    ("OperatorQueueOverflow", "operators", "9 callers wait for an operator", "9 звонящих ждут оператора"),
    ("HighTransferRate", "operators", "62 % of the calls go to an operator", "62 % звонков уходят оператору"),
)


def _alert(name: str, severity: str, summary: str, summary_ru: str, **more: str) -> Alert:
    annotations = {"summary": summary, "summary_ru": summary_ru, **_LINKS}
    labels = {"alertname": name, "severity": severity, "service": _SERVICE, **more}
    return Alert(
        labels=labels, annotations=annotations, source=f"http://prometheus.example.org/graph?g0.expr={name}&g0.tab=1"
    )


WARNING = _alert("HighResponseLatency", "warning", "3.4 s until the robot answers", "Робот отвечает через 3,4 с")
BROKEN = (
    _alert("PipelineErrorsHigh", "critical", "31 errors in 10 minutes", "31 ошибка за 10 минут", stage="llm"),
    _alert("PipelineErrorsHigh", "critical", "12 errors in 10 minutes", "12 ошибок за 10 минут", stage="stt"),
)


def storm(count: int = STORM) -> list[Alert]:
    """So many groups of one alert each; the first is critical."""
    alerts = []
    for number in range(count):
        name, service, summary, summary_ru = _STORMY[number % len(_STORMY)]
        where = {"service": service, "line": f"{number + 1:03}", "trunk": TRUNK if number < ON_TRUNK else "sip-1"}
        alerts.append(_alert(name, "warning" if number else "critical", summary, summary_ru, **where))
    return alerts


def extra(number: int) -> Alert:
    """One for people who want to try the buttons in their own time."""
    summary, summary_ru = (
        "Today's API costs are 2.3 times the daily average",
        "Сегодня API обходится в 2,3 раза дороже обычного",
    )
    return _alert("AbnormalAPISpend", "critical", summary, summary_ru, service=f"billing-{number}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the story is: the step, of how many, and what happens. `running` is False before and after."""

    step: int = 0
    steps: int = 8
    text: str = ""
    running: bool = False


class Story:
    """Tells the incident once. `pace` multiplies the time to look at each step; 0 leaves none."""

    def __init__(self, source: Source, telegram: FakeTelegram, chat: int, user: int, *, pace: float = 1.0) -> None:
        self._source = source
        self._telegram = telegram
        self._chat = chat
        self._user = user
        self._pace = pace
        self._log = logs.get("story")
        self.progress = Progress()

    async def tell(self) -> None:
        """All of it, about two minutes at a pace of 1. A failure is told as well, on the page and in the log."""
        try:
            await self._tell()
        except Exception as error:  # noqa: BLE001  the door of the story: page and servers live on
            self._log.exception("the story stopped")
            self._now(self.progress.step, f"The story stopped: {error}", running=False)

    async def _tell(self) -> None:
        everything = [WARNING, *BROKEN, *storm()]
        before = len(self._messages)
        self._now(0, "A call centre with a voice robot. All is quiet.")
        await self._look(4)
        self._now(1, "The robot becomes slow: one warning, in the chat and in Slack.")
        await self._source.fire([WARNING])
        await self._until(lambda: self._fresh(before, "HighResponseLatency"))
        await self._look(11)
        self._now(2, "It breaks: the same message turns critical, phones ring, a mail goes out.")
        await self._source.fire([WARNING, *BROKEN])
        await self._until(lambda: self._fresh(before, "PipelineErrorsHigh"))
        await self._look(16)
        self._now(3, "Anna takes it with the Ack button; everybody sees who has it.")
        await self._take(before)
        await self._look(11)
        self._now(4, "She asks the bot what fires.")
        await self._ask("/alerts")
        await self._look(8)
        self._now(5, f"A storm: {STORM} lines complain at once. One digest names each; what is critical rings.")
        await self._source.fire(storm())
        await self._until(lambda: any(_groups_in(one) >= STORM for one in self._digests()))
        digests = self._digests()
        await self._look(15)
        self._now(6, "She silences what most of them share: how long, what it hits, confirm.")
        await self._silence()
        await self._look(8)
        self._now(7, "The fix works: she ends the silence, and everything resolves where it stands.")
        await self._tap(r"v:.*:x", self._answers)
        await self._source.resolve(everything)
        await self._until(lambda: not self._burning(before))
        await self._until(lambda: all(_groups_in(one) < STORM for one in digests))
        await self._look(3)
        self._now(8, "Over. Write /help, fire an alert of your own, or play it again.", running=False)

    def _now(self, step: int, text: str, *, running: bool = True) -> None:
        self.progress = Progress(step, text=text, running=running)

    async def _look(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._pace)

    async def _until(self, condition: Callable[[], object]) -> bool:
        try:
            await self._telegram.until(condition, within=_PATIENCE)
        except TimeoutError:
            self._log.warning("the chat does not show it yet", step=self.progress.step)
            return False
        return True

    @property
    def _messages(self) -> list[Message]:
        return self._telegram.chat(self._chat).messages

    def _of_bot(self, since: int) -> Sequence[Message]:
        return [one for one in self._messages[since:] if one.sender is self._telegram.bot]

    def _fresh(self, since: int, word: str) -> bool:
        return any(word in one.text for one in self._of_bot(since))

    def _burning(self, since: int) -> Sequence[Message]:
        """Living messages that still show something red, orange or yellow; replies keep what they told."""
        living = [one for one in self._of_bot(since) if one.reply_to is None]
        return [one for one in living if one.text[:1] in "🔴🟠🟡🔵"]

    async def _take(self, since: int) -> None:
        """By the real button, as a person would."""
        await self._tap(r"a:\w+", lambda: [one for one in self._of_bot(since) if "PipelineErrorsHigh" in one.text])

    def _digests(self) -> Sequence[Message]:
        """The messages that speak for a whole storm, told by their buttons; the last is the one of now."""
        data = r"w[as]:.*"
        return [
            one
            for one in self._of_bot(0)
            if any(re.match(data, str(each.get("callback_data"))) for row in one.buttons for each in row)
        ]

    async def _silence(self) -> None:
        """Everything on the trunk that broke, from the digest's own button."""
        await self._tap(rf".*\btrunk={TRUNK}\b.*", self._digests)
        for button in (r"f:.*:d1h", r"f:.*:p", r"f:.*:c\w+"):
            await self._look(1.5)
            await self._tap(button, self._answers)

    def _answers(self) -> Sequence[Message]:
        """What the bot said last: the message in which a silence is made, changed and ended."""
        return [one for one in self._messages if one.sender is self._telegram.bot and one.reply_to is not None][-1:]

    async def _tap(self, button: str, among: Callable[[], Sequence[Message]]) -> None:
        """Presses the button whose data or caption fits, in the last of these messages, as soon as it is there."""

        def found() -> list[tuple[Message, str]]:
            pairs = [(one, each) for one in reversed(among()) for row in one.buttons for each in row]
            return [
                (one, each["callback_data"])
                for one, each in pairs
                if re.fullmatch(button, each.get("callback_data", "")) or re.fullmatch(button, each["text"])
            ]

        if not await self._until(found):
            return
        message, data = found()[0]
        try:
            await self._telegram.user_presses(self._chat, message.id, data, user_id=self._user)
        except TimeoutError:
            self._log.warning("the bot did not answer the button", button=data)

    async def _ask(self, text: str) -> None:
        sent = self._telegram.user_sends(self._chat, self._user, text)
        await self._until(lambda: any(one.reply_to == sent.id for one in self._messages))


def _groups_in(digest: Message) -> int:
    """Its first line says how many, until the storm is over: then it says from when until when it was."""
    found = re.search(r"\d+", digest.text)
    return int(found[0]) if found else 0
