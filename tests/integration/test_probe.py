"""A paused channel for which nothing waits: its platform is asked, and once it would take a message all is well again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.channels.email import EmailChannel, EmailOptions, MailServer, SmtpConfig
from relay.channels.http import HttpChannel
from relay.channels.http_options import HttpOptions
from relay.channels.telegram.channel import TelegramChannel, open_bot
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.checked import Checked
from relay.demo.mail import FakeMail
from relay.demo.telegram import FakeTelegram
from relay.notification import DeliveryError
from relay.rendering import Renderer
from relay.routing import RouteConfig
from relay.store.deliveries import discard_delivery, list_deliveries
from relay.store.overview import ChannelFigures, overview
from relay.watching.probe import Check, Prober
from tests import bot_relay
from tests.bot_relay import BotRelay, open_bot_relay
from tests.factories import make_notice
from tests.fakes.gateway import Answer, FakeGateway
from tests.state import postgres_engine, sqlite_engine, wire_alert
from tests.watching import KICKED, Plan, Watch, open_watch, watch_over

CHAT = -1001
TEAM = (RouteConfig(channels=["team"]),)
"""Reports and alerts go to a channel that always works."""


@dataclass
class Probing:
    """A watched relay whose failures come from sends that really failed, and the prober that ends them."""

    watch: Watch
    prober: Prober
    resumed: list[str]
    told: list[str] = field(default_factory=list)

    async def fails(self, channel: Any) -> None:
        """A message is refused, and then waits no longer."""
        with pytest.raises(DeliveryError) as caught:
            await channel.send(channel.render(make_notice()))
        assert caught.value.scope == "destination"
        await self.watch.fails(channel.name, caught.value)

    async def rounds(self, seconds: float) -> None:
        for _ in range(int(seconds / 10)):
            await self.watch.rounds(10, every=10)
            await self.prober.round()
            self.told += [line.split(" since")[0] for line in await self.watch.told()]

    async def figures(self, channel: str) -> ChannelFigures:
        """What `/health` and the metrics say."""
        return (await self.watch.state.database.read(overview)).channels[channel]


@asynccontextmanager
async def probing(folder: Path, checks: Mapping[str, Check]) -> AsyncIterator[Probing]:
    plan = Plan(routes=TEAM, fallbacks={"team": None, **dict.fromkeys(checks)})
    async with open_watch(sqlite_engine(folder), plan) as watch:
        resumed: list[str] = []
        yield Probing(watch, prober_of(watch, checks, resumed), resumed)


def prober_of(watch: Watch, checks: Mapping[str, Check], resumed: list[str]) -> Prober:
    watch.keeper.want(["probing"])
    return Prober(
        checks,
        resumed.append,
        database=watch.state.database,
        keeper=watch.keeper,
        metrics=watch.metrics,
        monotonic=lambda: watch.now,
    )


@pytest.fixture
async def telegram() -> AsyncIterator[FakeTelegram]:
    fake = FakeTelegram()
    await fake.start()
    fake.add_chat(CHAT)
    yield fake
    await fake.stop()


@pytest.fixture
async def chat(telegram: FakeTelegram) -> AsyncIterator[TelegramChannel]:
    bot = open_bot(TelegramConfig.model_validate({"bot_token": telegram.token, "api_url": telegram.url}))
    options = TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT})
    yield TelegramChannel("chat", options, bot=bot, renderer=Renderer())
    await bot.session.close()


async def test_a_bot_that_is_let_in_again_ends_the_pause_and_the_report_with_no_message_to_anybody(
    tmp_path: Path, telegram: FakeTelegram, chat: TelegramChannel
) -> None:
    async with probing(tmp_path, {"chat": chat.check}) as probed:
        await probed.rounds(10)
        telegram.chat(CHAT).bot_status = "kicked"
        await probed.fails(chat)
        await probed.rounds(20)
        assert probed.told == ["team new: chat refuses"]
        telegram.chat(CHAT).bot_status = "member"
        await probed.rounds(300)
        figures = await probed.figures("chat")
        assert (figures.paused_since, figures.failing_since, figures.reason) == (None, None, "")
        assert figures.last_success is None  # a check is no delivery
        assert probed.resumed == ["chat"]
        await probed.rounds(10)
        assert probed.told[1:] == ["team edit: chat refuses", "team reply: chat refuses"]  # resolved
        assert telegram.chat(CHAT).messages == []


async def test_a_probe_that_fails_changes_nothing_and_comes_again_after_five_minutes(
    tmp_path: Path, telegram: FakeTelegram, chat: TelegramChannel
) -> None:
    async with probing(tmp_path, {"chat": chat.check}) as probed:
        await probed.rounds(10)
        telegram.chat(CHAT).bot_status = "kicked"
        await probed.fails(chat)
        await probed.rounds(10)
        before = await probed.figures("chat")
        telegram.chat(CHAT).bot_status = "left"  # another refusal of the same kind
        for seconds, asked in ((290, 0), (10, 1), (290, 1), (10, 2)):
            await probed.rounds(seconds)
            assert len(telegram.calls("getMe")) == asked
        assert await probed.figures("chat") == before
        assert (probed.told, probed.resumed) == (["team new: chat refuses"], [])


async def test_a_start_asks_at_once(tmp_path: Path, telegram: FakeTelegram, chat: TelegramChannel) -> None:
    async with probing(tmp_path, {"chat": chat.check}) as probed:
        telegram.chat(CHAT).bot_status = "kicked"
        await probed.fails(chat)
        telegram.chat(CHAT).bot_status = "member"
        await probed.rounds(10)
        assert probed.resumed == ["chat"]


async def test_while_something_waits_the_message_is_the_probe(
    tmp_path: Path, telegram: FakeTelegram, chat: TelegramChannel
) -> None:
    async with probing(tmp_path, {"team": chat.check}) as probed:
        await probed.watch.fails("team")
        await probed.watch.state.post(wire_alert())
        for _ in range(70):
            await probed.watch.rounds(10, every=10)
            await probed.prober.round()
        assert telegram.calls("getMe") == []


async def test_a_topic_that_is_gone_is_not_taken_for_mended(
    tmp_path: Path, telegram: FakeTelegram, chat: TelegramChannel
) -> None:
    telegram.add_chat(-1002, topics={7: "Alerts"})
    options = TelegramOptions.model_validate({"type": "telegram", "chat_id": -1002, "topic_id": 7})
    topic = TelegramChannel("chat", options, bot=chat._bot, renderer=Renderer())
    async with probing(tmp_path, {"chat": topic.check}) as probed:
        del telegram.chat(-1002).topics[7]
        await probed.fails(topic)
        await probed.rounds(700)
        assert (await probed.figures("chat")).reason == "not_found"
        assert len(telegram.calls("getMe")) == 3


async def test_a_mail_server_that_is_back_ends_the_pause_with_no_mail(tmp_path: Path) -> None:
    async with AsyncExitStack() as parts:
        fake = FakeMail()
        await fake.start()
        parts.push_async_callback(fake.stop)
        smtp = {"host": "127.0.0.1", "port": fake.port, "from": "Alerts <alerts@example.org>", "tls": "none"}
        mail = EmailChannel(
            name="mail",
            options=EmailOptions.model_validate({"type": "email", "to": ["ops@example.org"]}),
            server=MailServer(SmtpConfig.model_validate(smtp), connect_seconds=2, answer_seconds=0.5),
            renderer=Renderer(),
        )
        parts.push_async_callback(mail.close)
        probed = await parts.enter_async_context(probing(tmp_path, {"mail": mail.check}))
        await probed.rounds(10)
        await fake.stop()
        await probed.fails(mail)
        await probed.rounds(320)
        assert probed.told == ["team new: mail cannot be reached"]
        await fake.start()
        await probed.rounds(300)
        assert ((await probed.figures("mail")).paused_since, probed.resumed) == (None, ["mail"])
        await probed.rounds(10)
        assert probed.told[1:] == ["team edit: mail cannot be reached", "team reply: mail cannot be reached"]
        assert fake.mailbox == []


@pytest.fixture
async def hook(gateway: FakeGateway) -> AsyncIterator[HttpChannel]:
    options = HttpOptions.model_validate({"type": "http", "url": f"{gateway.url}/hook"})
    async with aiohttp.ClientSession() as session:
        yield HttpChannel(name="hook", options=options, session=session, renderer=Renderer())


async def test_an_http_service_that_only_answers_is_not_taken_for_one_that_lets_us_in(
    tmp_path: Path, gateway: FakeGateway, hook: HttpChannel
) -> None:
    async with probing(tmp_path, {"hook": hook.check}) as probed:
        gateway.script.append(Answer(status=401))
        await probed.fails(hook)
        await probed.rounds(700)
        assert (await probed.figures("hook")).reason == "unauthorized"
        asked = len(gateway.journal)
        await gateway.stop()
        await probed.fails(hook)
        await probed.rounds(300)
        assert (await probed.figures("hook")).reason == "connection"
        await gateway.start()
        await probed.rounds(300)
        assert ((await probed.figures("hook")).paused_since, probed.resumed) == (None, ["hook"])
        assert len(gateway.journal) == asked


async def test_what_may_have_passed_is_forgotten_after_a_while_if_the_service_only_answers(
    tmp_path: Path, gateway: FakeGateway, hook: HttpChannel
) -> None:
    async with probing(tmp_path, {"hook": hook.check}) as probed:
        gateway.script.append(Answer(status=503))
        await probed.fails(hook)
        await probed.rounds(890)
        assert (await probed.figures("hook")).reason == "server_error"
        await probed.rounds(40)
        assert ((await probed.figures("hook")).paused_since, probed.resumed) == (None, ["hook"])


async def test_a_failure_that_comes_while_the_platform_is_asked_stays(tmp_path: Path) -> None:
    async def check() -> Checked:
        probed.watch.state.clock.advance(1)
        await probed.watch.fails("chat")  # a message came meanwhile
        return Checked("all is well", frozenset({KICKED.reason}))

    async with probing(tmp_path, {"chat": check}) as probed:
        await probed.watch.fails("chat")
        await probed.rounds(10)
        assert ((await probed.figures("chat")).paused_since is not None, probed.resumed) == (True, [])


async def test_a_relay_that_starts_after_its_channel_was_mended_says_that_all_is_well(tmp_path: Path) -> None:
    async with open_bot_relay(tmp_path) as running:
        chat = running.telegram.chat(bot_relay.CHAT)
        chat.bot_status = "kicked"
        await running.post(wire_alert())
        await until_paused(running, paused=True)
        [waiting] = await running.relay.database.read(list_deliveries, None)
        await running.relay.database.write(discard_delivery, waiting.id)
        chat.bot_status = "member"
        await running.restart()
        await until_paused(running, paused=False)
        assert (await running.health())["status"] == "ok"
        assert 'relay_channel_paused{channel="chat"} 0.0' in await running.metrics()
        assert chat.messages == []


async def until_paused(running: BotRelay, *, paused: bool) -> None:
    async with asyncio.timeout(30):
        while ((await running.health())["channels"]["chat"]["paused_since"] is not None) != paused:  # noqa: ASYNC110  asked over HTTP
            await asyncio.sleep(0.1)


async def test_of_several_replicas_one_asks(postgres_url: str) -> None:
    asked: list[str] = []

    def check_by(name: str) -> Any:
        async def check() -> Checked:
            asked.append(name)
            raise KICKED

        return check

    async with open_watch(postgres_engine(postgres_url), Plan(routes=TEAM)) as watch:
        await watch.fails("chat")
        one = prober_of(watch, {"chat": check_by("one")}, [])
        await watch.rounds()
        await one.round()
        other = watch_over(watch.state, Plan(routes=TEAM), "two")
        two = prober_of(other, {"chat": check_by("two")}, [])
        await other.keeper.renew()
        await two.round()
        assert asked == ["one"]
