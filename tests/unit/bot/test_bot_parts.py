"""The bot's pure parts: button data, roles, filters, the door for Telegram's calls."""

from __future__ import annotations

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from aiogram import Bot
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from relay.access import ChatRole, Role, User
from relay.bot.keyboard import alert_keyboard, base36, from_base36, post_data
from relay.bot.messenger import Messenger, Spot
from relay.bot.pages import local_time
from relay.bot.people import ANONYMOUS_ADMIN, Account, People
from relay.bot.values import Answer
from relay.bot.webhook import HEADER, TelegramDoor
from relay.notification import AlertState
from relay.queries import Found, parse_filter
from relay.store.findings import Known
from tests.factories import NIGHT, make_alert_view, make_incident_view, make_notice

PEOPLE = People([User(name="anna", telegram_id=1, role=Role.VIEWER)], [ChatRole(chat_id=-5, role=Role.RESPONDER)])


@given(st.integers(min_value=0, max_value=(1 << 63) - 1))
def test_button_data_is_short_and_reads_back(post_id: int) -> None:
    data = post_data("a", post_id)
    assert len(data.encode()) <= 64
    assert from_base36(base36(post_id)) == post_id


@given(st.text(max_size=80))
def test_any_text_as_button_data_is_a_number_or_nothing(text: str) -> None:
    number = from_base36(text)
    assert number is None or 0 <= number < 1 << 63


@pytest.mark.parametrize(
    ("acked", "state", "captions"),
    [
        ([None, None], AlertState.FIRING, ["Ack", "Silence", "Details"]),
        (["anna", None], AlertState.FIRING, ["Ack", "Silence", "Details"]),
        (["anna", "boris"], AlertState.SILENCED, ["Unack", "Silence", "Details"]),
        ([None], AlertState.RESOLVED, ["Details"]),
    ],
)
def test_the_buttons_are_those_that_make_sense_now(acked: list[str | None], state: AlertState, captions: Any) -> None:
    alerts = [make_alert_view(labels={"instance": f"db-{n}"}, acked_by=who, state=state) for n, who in enumerate(acked)]
    notice = make_notice(make_incident_view(*alerts))
    [row] = alert_keyboard("en", silences=True)(notice)
    assert [caption for caption, _ in row] == captions


def test_without_an_alertmanager_there_is_nothing_to_silence_with() -> None:
    [row] = alert_keyboard("ru", silences=False)(make_notice())
    assert [caption for caption, _ in row] == ["Взять", "Подробнее"]


def test_the_higher_role_of_person_and_chat_holds() -> None:
    anna = Account(id=1, name="Anna", language="ru-RU")
    assert PEOPLE.meet(anna, -5).role is Role.RESPONDER
    assert PEOPLE.meet(anna, -6).role is Role.VIEWER
    assert PEOPLE.meet(Account(id=2, name="Eve"), -6).role is None
    assert PEOPLE.meet(anna, -5).language == "ru"


def test_names_are_the_configs_else_telegrams_with_the_id_on_one_line() -> None:
    assert PEOPLE.meet(Account(id=1, name="x"), 1).signature == "anna"
    stranger = PEOPLE.meet(Account(id=7, name="Eve\n\u202e<b>" + "x" * 200), 1)
    assert stranger.name.startswith("Eve <b>x")
    assert len(stranger.name) <= 64
    assert stranger.signature.endswith("(Telegram 7)")
    assert "\n" not in stranger.signature


@pytest.mark.parametrize(
    "account", [Account(id=None, as_chat=True), Account(id=ANONYMOUS_ADMIN), Account(id=1, as_chat=True)]
)
def test_whoever_hides_is_nobody_whatever_the_id_says(account: Account) -> None:
    person = PEOPLE.meet(account, -6)
    assert person.anonymous
    assert person.role is None


def found(**values: Any) -> Found:
    acked_by = values.pop("acked_by", "")
    known = Known(acked_by=acked_by, acked_at=None, ack_note="", silenced_by="", silenced_until=None, flapping=False)
    view = make_alert_view(**values)
    same = {name: getattr(view, name) for name in Found._fields if hasattr(view, name)}
    return Found(alertmanager="main", channels=frozenset(["chat"]), known=known, **same)


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("", True),
        ("critical", True),
        ("warning info", False),
        ("DB-3", True),
        ('instance=~"db-.*" job=node', True),
        ('instance!~"db-.*"', False),
        ("silenced", False),
        ("acked", False),
        ("unacked", True),
        ("mine", False),
        ("97 disk", True),
        ("all nowhere", False),
    ],
)
def test_filters_narrow_by_words_matchers_severity_and_state(text: str, takes: bool) -> None:
    assert parse_filter(text, who="anna", channels=frozenset()).takes(found()) is takes


def test_a_chat_sees_what_is_routed_there_unless_it_asks_for_all() -> None:
    other = frozenset(["other"])
    assert not parse_filter("", who="anna", channels=other).takes(found())
    assert parse_filter("all", who="anna", channels=other).takes(found())
    assert parse_filter("", who="anna", channels=frozenset(["chat"])).takes(found())


def test_muted_alerts_are_shown_when_asked_for() -> None:
    silenced = found(state=AlertState.SILENCED)
    assert not parse_filter("", who="anna", channels=frozenset()).takes(silenced)
    assert parse_filter("silenced", who="anna", channels=frozenset()).takes(silenced)
    mine = found(state=AlertState.SILENCED, acked_by="anna")
    assert parse_filter("mine", who="anna", channels=frozenset()).takes(mine)
    assert parse_filter("acked", who="boris", channels=frozenset()).takes(mine)  # its ack may be what silenced it


@pytest.mark.parametrize("text", ["alertname=“Disk full”", 'alertname="Disk full"', "„disk full“"])
def test_curly_quotes_of_a_phone_are_quotes(text: str) -> None:
    alert = found(labels={"alertname": "Disk full"})
    assert parse_filter(text, who="", channels=frozenset()).takes(alert)
    assert not parse_filter(text.replace("ull", "xx"), who="", channels=frozenset()).takes(alert)


@pytest.mark.parametrize("text", ['alertname="Disk', 'disk"', '"', 'a="b" "c'])
def test_a_quote_that_is_not_closed_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="double quote is not closed"):
        parse_filter(text, who="", channels=frozenset())


def test_another_days_time_says_the_day() -> None:
    zone = ZoneInfo("Europe/Moscow")
    assert local_time(NIGHT, NIGHT, zone) == "06:12"
    assert local_time(NIGHT, NIGHT + 86_400_000, zone) == "21.11. 06:12"


async def test_telegrams_calls_need_the_secret_and_wait_until_the_bot_is_ready() -> None:
    door = TelegramDoor("https://relay.example.org/telegram/hook", SecretStr("s3cret"))
    seen: list[dict[str, Any]] = []

    async def feed(update: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        seen.append(update)

    app = Application()
    app.add_routes(door.routes())
    async with TestClient(TestServer(app)) as client:

        async def call(secret: str, body: bytes = b'{"update_id": 1}') -> int:
            async with client.post("/telegram/hook", data=body, headers={HEADER: secret}) as answer:
                return answer.status

        assert await call("wrong") == 401
        assert await call("s3cr\u00e9t") == 401
        assert await call("s3cret") == 503
        door.open(feed)
        assert await call("s3cret") == 200
        assert await call("s3cret", b"[]") == 400
        assert await call("s3cret", b"no json") == 400
        door.close()
        assert await call("s3cret") == 503
    assert seen == [{"update_id": 1}]


@pytest.mark.parametrize("name", ["anna", "Anna", " ANNA "])
def test_nobody_can_take_the_name_of_a_user_of_the_config(name: str) -> None:
    assert PEOPLE.meet(Account(id=1, name="Annette"), -5).name == "anna"
    stranger = PEOPLE.meet(Account(id=7, name=name), -5)
    assert (stranger.name.casefold(), stranger.role) == ("anna (7)", Role.RESPONDER)
    assert PEOPLE.meet(Account(id=7, name="Boris"), -5).name == "Boris"


class Taken:
    """The budget of a chat in which others are always sooner."""

    def delay(self, now: float, *, urgent: bool = False) -> float:
        return 0.5

    def take(self, now: float) -> int:
        raise AssertionError("there is nothing to take")

    def settle(self, tickets: int, now: float) -> None: ...

    def pause(self, until: float) -> None: ...


@pytest.mark.looptime
async def test_an_answer_that_a_flood_overtakes_waits_for_a_minute_and_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Bot("42:token") as bot:
        loop = asyncio.get_running_loop()
        began = loop.time()
        messenger = Messenger(bot, lambda _: Taken(), loop.time)
        assert not await messenger.deliver(Spot(-1), Answer(text="hello"), message_id=None)
        assert 60 <= loop.time() - began < 61
    assert "answer not sent" in caplog.text
