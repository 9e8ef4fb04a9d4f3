"""A storm where it is not Telegram: a thread in Slack, few mails, one request with the counts."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.channels.email import EmailChannel, EmailOptions, MailServer, SmtpConfig
from relay.channels.http import HttpChannel
from relay.channels.http_options import HttpOptions
from relay.channels.slack import SlackChannel
from relay.channels.slack_options import SlackConfig, SlackOptions
from relay.clock import DAY
from relay.demo.mail import FakeMail
from relay.demo.slack import FakeSlack
from relay.rendering import Renderer
from relay.store.destinations import recent_calls
from relay.store.overview import overview
from tests.fakes.gateway import FakeGateway
from tests.simulation import Simulation, simulate
from tests.state import APPENDING, LIVING, START, State, open_state, sqlite_engine
from tests.storms import deliver, message


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[State]:
    async with open_state(sqlite_engine(tmp_path), capabilities={"chat": APPENDING}) as opened:
        yield opened


def fires(simulation: Simulation, numbers: Iterable[int], at: float) -> None:
    simulation.at(at, lambda: deliver(simulation.state, [message(number) for number in numbers]))


def resolves(simulation: Simulation, numbers: Iterable[int], at: float) -> None:
    ends = START + int(at * 1000)
    messages = [message(number, firing=False, ends=ends) for number in numbers]
    simulation.at(at, lambda: deliver(simulation.state, messages))


def said(message: Any) -> str:
    text: str = message.text
    return json.dumps(message.blocks, ensure_ascii=False) + text


@asynccontextmanager
async def slack_storm(state: State, *, webhook: bool = False) -> AsyncIterator[tuple[Simulation, FakeSlack]]:
    fake = FakeSlack(token="xoxb-1", clock=lambda: (state.clock() - START) / 1000)
    await fake.start()
    where = {"webhook_url": fake.webhook_url("alerts")} if webhook else {"channel": "#alerts"}
    channel = SlackChannel(
        "chat",
        SlackOptions.model_validate({"type": "slack", **where}),
        config=SlackConfig.model_validate({"bot_token": "xoxb-1", "api_url": fake.url}),
        renderer=Renderer(),
    )
    try:
        async with simulate(state, [channel]) as simulation:
            yield simulation, fake
    finally:
        await fake.stop()


async def test_in_slack_the_head_is_a_message_and_the_pages_are_its_thread(tmp_path: Path) -> None:
    numbers = range(600)
    async with open_state(sqlite_engine(tmp_path), capabilities={"chat": LIVING}) as state, slack_storm(state) as storm:
        simulation, fake = storm
        fires(simulation, numbers, at=1)
        await simulation.run(61)
        alerts = fake.channel("alerts")
        [head] = [one for one in alerts.main if "Alert storm" in said(one)]
        assert "600 groups" in said(head)
        assert len([one for one in alerts.main if "Critical: Alert" in said(one)]) == 5
        thread = [one for one in alerts.messages if one.thread_ts == head.ts]
        assert all(f"node-{number:04}" in "".join(map(said, [*alerts.main, *thread])) for number in numbers)
        resolves(simulation, numbers, at=100)
        await simulation.run(118)
        assert "600 resolved" in said(head)
        await simulation.run(190)
        assert not [one for one in alerts.messages if re.search("🟠|🟡", said(one))]
        await simulation.run(400)
        assert "The alert storm is over" in said(head)
        assert [one.files for one in alerts.messages if one.thread_ts == head.ts if one.files]
        labels = {"channel": "chat", "type": "slack", "reason": "rate_limited"}
        assert simulation.registry.get_sample_value("relay_notification_failures_total", labels) == 0


async def test_a_slack_webhook_is_posted_one_digest_a_minute_until_every_name_was_told(state: State) -> None:
    async with slack_storm(state, webhook=True) as (simulation, fake):
        fires(simulation, range(100, 700), at=1)
        await simulation.run(200)
        texts = "".join(said(one) for one in fake.channel("alerts").main)
        assert all(f"node-{number:04}" in texts for number in range(100, 700))
        assert len(fake.channel("alerts").main) <= 5
        await simulation.run(600)
        *earlier, last = map(said, fake.channel("alerts").main)
        assert "The alert storm is over" in last
        assert "600 groups" in last
        assert "600 firing" in last
        assert "thread" not in last
        assert not [text for text in earlier if "is over" in text]


@asynccontextmanager
async def mail_storm(state: State, *to: str) -> AsyncIterator[tuple[Simulation, FakeMail]]:
    fake = FakeMail()
    await fake.start()
    server = MailServer(SmtpConfig.model_validate(
        {"host": "127.0.0.1", "port": fake.port, "from": "alerts@example.org", "tls": "none"}
    ))  # fmt: skip
    options = EmailOptions.model_validate({"type": "email", "to": to or ("ops@example.org",)})
    channel = EmailChannel(name="chat", options=options, server=server, renderer=Renderer())
    try:
        async with simulate(state, [channel]) as simulation:
            yield simulation, fake
    finally:
        await fake.stop()


async def test_a_storm_is_one_mail_a_minute_at_most_and_the_first_names_every_group(state: State) -> None:
    async with mail_storm(state) as (simulation, fake):
        fires(simulation, range(100, 400), at=1)
        resolves(simulation, range(100, 350), at=30)
        await simulation.run(59)
        assert len(fake.mailbox) == 1
        [digest] = fake.mailbox
        assert "Alert storm" in digest.message["Subject"]
        [table] = [part for part in digest.message.walk() if part.get_filename()]
        names = table.get_payload(decode=True)
        assert isinstance(names, bytes)
        assert all(f"node-{number:04}" in names.decode() for number in range(100, 400))
        await simulation.run(125)
        assert len(fake.mailbox) == 2
        assert "50 firing, 250 resolved" in str(fake.mailbox[1].message.get_body(("plain",)))
        assert fake.mailbox[0].message["Message-ID"] != fake.mailbox[1].message["Message-ID"]
        await simulation.run(1000)
        [over] = fake.mailbox[2:]
        text = over.message.get_body(("plain",))
        assert text is not None
        assert text.get_content().splitlines()[:2] == [
            "The alert storm is over",
            "Error · 50 firing, 250 resolved · eu",
        ]
        assert len({one.message["Message-ID"] for one in fake.mailbox}) == 3
        assert {one.message["Subject"] for one in fake.mailbox} == {fake.mailbox[0].message["Subject"]}


async def test_who_is_refused_for_now_gets_the_mails_of_a_storm_later_and_nobody_misses_news(state: State) -> None:
    ops, dev = "ops@example.org", "dev@example.org"
    async with mail_storm(state, ops, dev) as (simulation, fake):
        fake.script.reply("RCPT", "451 4.3.0 come again", address=dev, times=3)
        fires(simulation, range(100, 140), at=1)
        fires(simulation, range(140, 150), at=4)  # before the second try
        await simulation.run(100)
        named = {who: "".join(one.text for one in fake.mailbox if who in one.recipients) for who in (ops, dev)}
        assert [who for who in named if "node-0149" not in named[who] or "node-0100" not in named[who]] == []
        fake.script.reply("RCPT", "451 4.3.0 come again", address=dev, times=3)
        told = len(fake.mailbox)
        await simulation.run(1000)
        last = fake.mailbox[told:]
        assert [one.recipients for one in last] == [(ops,), (dev,)]
        assert all("The alert storm is over" in one.text for one in last)


@pytest.mark.parametrize("groups", [1, 40])
async def test_who_is_refused_for_good_is_named_until_a_mail_reaches_all(state: State, groups: int) -> None:
    async def error() -> str:
        figures = (await state.database.read(overview)).channels["chat"]
        return figures.detail if figures.failing_since is not None else ""

    async with mail_storm(state, "ops@example.org", "dev@example.org") as (simulation, fake):
        fake.script.reply("RCPT", "550 5.1.1 no such user", address="dev", times=None)
        fires(simulation, range(100, 100 + groups), at=1)
        await simulation.run(30)
        assert await error() == "refused for good: dev@example.org: 550 5.1.1 no such user"
        assert [one.recipients for one in fake.mailbox] == [("ops@example.org",)]
        assert len(await state.database.read(recent_calls, ["chat"], state.clock())) == 1
        fake.script.answers.clear()
        resolves(simulation, range(100, 100 + groups), at=100)
        await simulation.run(300)
        assert await error() == ""


async def test_who_is_refused_for_a_day_is_not_waited_for_any_longer(state: State) -> None:
    async with mail_storm(state, "ops@example.org", "dev@example.org") as (simulation, fake):
        fires(simulation, range(100, 140), at=1)
        await simulation.run(30)
        fake.script.reply("RCPT", "452 4.2.2 mailbox full", address="dev", times=None)
        await simulation.run(1000)
        state.clock.advance(DAY)
        await simulation.run(DAY / 1000 + 2000)
        fake.script.answers.clear()
        await simulation.run(DAY / 1000 + 4000)
        assert [one.recipients for one in fake.mailbox[1:]] == [("ops@example.org",)]


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_storm_that_begins_right_after_another_waits_for_its_minute(state: State, *, restarts: bool) -> None:
    async with mail_storm(state) as (simulation, fake):
        fires(simulation, range(100, 140), at=1)
        while len(fake.mailbox) < 2:
            await simulation.run(simulation.monotonic() + 5)
        over = simulation.monotonic()
        if restarts:
            simulation.start()
        fires(simulation, range(200, 240), at=over + 10)
        await simulation.run(over + 50)
        assert len(fake.mailbox) == 2
        await simulation.run(over + 70)
        assert "40 firing" in fake.mailbox[2].text


async def test_an_http_channel_with_limits_gets_one_request_with_the_counts_and_one_when_it_is_over(
    state: State, gateway: FakeGateway
) -> None:
    options = {
        "type": "http",
        "url": gateway.url,
        "limits": {"per_minute": 10},
        "content_type": "text/plain",
        "body": "{{ words.name }}: {{ words.counts }}",
    }
    async with aiohttp.ClientSession() as session:
        channel = HttpChannel(
            name="chat", options=HttpOptions.model_validate(options), renderer=Renderer(), session=session
        )
        async with simulate(state, [channel]) as simulation:
            fires(simulation, range(100, 400), at=1)
            await simulation.run(55)
            assert [request.body.decode() for request in gateway.journal] == ["Alert storm: 300 firing"]
            await simulation.run(600)
    assert [request.body.decode() for request in gateway.journal[1:]] == ["The alert storm is over: 300 firing"]
    assert len({request.headers["idempotency-key"] for request in gateway.journal}) == 2


async def test_what_no_mail_would_tell_is_no_storm(state: State) -> None:
    def changes(at: float, **more: Any) -> None:
        changed = [message(number, **more) for number in range(100, 150)]
        simulation.at(at, lambda: deliver(state, changed))

    async with mail_storm(state) as (simulation, fake):
        fires(simulation, range(100, 150), at=1)
        await simulation.run(600)
        told = len(fake.mailbox)
        changes(700, notification_reason="repeat interval elapsed")
        changes(800, summary="It is still so")
        await simulation.run(900)
        assert len(fake.mailbox) == told
        resolves(simulation, range(100, 149), at=910)
        await simulation.run(1200)
        assert "49 resolved" in fake.mailbox[told].text


async def test_a_mail_of_a_storm_calls_new_what_nobody_was_told_of(state: State) -> None:
    async with mail_storm(state) as (simulation, fake):
        fires(simulation, range(100, 150), at=1)
        changed = [message(number, summary="It is still so") for number in range(100, 150)]
        simulation.at(20, lambda: deliver(state, changed))
        fires(simulation, [200], at=25)
        await simulation.run(100)
        [line] = [line for line in fake.mailbox[1].text.splitlines() if line.startswith("New:")]
        assert "node-0200" in line
        assert "node-01" not in line
