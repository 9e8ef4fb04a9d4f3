"""The stand-in for the Bot API is as strict as the real one, judged by two clients of other people."""

import asyncio
import functools
from collections.abc import AsyncIterator
from typing import Any

import pytest
import telegram
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.exceptions import (
    ClientDecodeError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MessageEntity,
    ReplyParameters,
)
from aiohttp import ClientSession, web
from telegram.ext import ExtBot
from telegram.request import HTTPXRequest

from relay.channels.telegram.channel import open_bot
from relay.channels.telegram_options import TelegramConfig
from relay.demo.telegram import TOKEN, FakeTelegram

GROUP, FORUM, PRIVATE, CHANNEL, ANNA = -1001, -1002, 1001, -1003, 1001


class Hands:
    """A monotonic clock that a test sets by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def fake(clock: Hands) -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(clock=clock) as server:
        server.add_user(ANNA, "Anna")
        server.add_chat(GROUP, "supergroup", "On-call", members={ANNA: "member"})
        server.add_chat(FORUM, "supergroup", "Topics", topics={7: "Disks", 9: "Old"})
        server.chat(FORUM).topics[9].closed = True
        server.add_chat(PRIVATE, "private", "Anna")
        server.add_chat(CHANNEL, "channel", "Board", username="board", bot_status="administrator")
        yield server


@pytest.fixture
async def bot(fake: FakeTelegram) -> AsyncIterator[Bot]:
    bot = open_bot(TelegramConfig.model_validate({"bot_token": TOKEN, "api_url": fake.url}))
    yield bot
    assert isinstance(bot.session, AiohttpSession)
    await (await bot.session.create_session()).close()  # aiogram's own close sleeps for a quarter of a second


def rows(*buttons: tuple[str, str]) -> InlineKeyboardMarkup:
    made = [InlineKeyboardButton(text=text, callback_data=data) for text, data in buttons]
    return InlineKeyboardMarkup(inline_keyboard=[made])


async def call(fake: FakeTelegram, method: str, **params: Any) -> Any:
    """The bare answer to a call that no careful client would make."""
    async with ClientSession() as session, session.post(f"{fake.url}/bot{TOKEN}/{method}", json=params) as answer:
        body = await answer.json()
        assert answer.status == body.get("error_code", 200)
        return body


async def test_a_message_is_seen_as_it_was_sent(fake: FakeTelegram, bot: Bot) -> None:
    entities = [MessageEntity(type="bold", offset=0, length=2)]
    sent = await bot.send_message(
        GROUP, "🔥 down", entities=entities, disable_notification=True, reply_markup=rows(("Ack", "a"))
    )
    (message,) = fake.chat(GROUP).messages
    assert (sent.message_id, sent.chat.id, sent.text) == (message.id, GROUP, "🔥 down")
    assert message.entities == [{"type": "bold", "offset": 0, "length": 2}]
    assert message.buttons == [[{"text": "Ack", "callback_data": "a"}]]
    assert message.silent
    assert fake.calls("sendMessage")[0].status == 200


async def test_a_second_client_understands_every_answer(fake: FakeTelegram) -> None:
    request = HTTPXRequest(httpx_kwargs={"trust_env": False})
    async with ExtBot(TOKEN, base_url=f"{fake.url}/bot", request=request, get_updates_request=request) as client:
        assert (await client.get_me()).username == "relay_bot"
        keyboard = telegram.InlineKeyboardMarkup([[telegram.InlineKeyboardButton("Ack", callback_data="ack")]])
        sent = await client.send_message(GROUP, "<b>down</b>", parse_mode="HTML", reply_markup=keyboard)
        assert sent.entities[0].type == "bold"
        edited = await client.edit_message_text("up", GROUP, sent.message_id)
        assert isinstance(edited, telegram.Message)
        assert edited.text == "up"
        assert edited.reply_markup is None  # left out means removed
        file = await client.send_document(GROUP, b"all of them", filename="alerts.txt", reply_to_message_id=None)
        assert file.document is not None
        assert file.document.file_name == "alerts.txt"
        assert (await client.get_chat("@board")).id == CHANNEL
        assert (await client.get_chat_member(GROUP, ANNA)).status == "member"
        fake.user_sends(PRIVATE, ANNA, "/start")
        (update,) = await client.get_updates(timeout=1)
        assert update.message is not None
        assert update.message.text == "/start"
        with pytest.raises(telegram.error.BadRequest, match="not modified"):
            await client.edit_message_text("up", GROUP, sent.message_id)


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("x" * 4097, []),
        ("🔥" * 2049, []),
        ("", []),
        (" \n ", []),
        ("abc", [{"type": "bold", "offset": 1, "length": 3}]),
        ("🔥", [{"type": "bold", "offset": 0, "length": 1}]),
        ("abc", [{"type": "bold", "offset": -1, "length": 1}]),
        ("abc", [{"type": "bold", "offset": 0, "length": 0}]),
        ("abc", [{"type": "colour", "offset": 0, "length": 1}]),
        ("abc", [{"type": "bold", "offset": 0, "length": 2}, {"type": "code", "offset": 1, "length": 1}]),
        ("abc", [{"type": "bold", "offset": 0, "length": 2}, {"type": "italic", "offset": 1, "length": 2}]),
    ],
)
async def test_a_faulty_text_is_refused(fake: FakeTelegram, text: str, entities: list[dict[str, Any]]) -> None:
    answer = await call(fake, "sendMessage", chat_id=GROUP, text=text, entities=entities)
    assert answer["error_code"] == 400
    assert not fake.chat(GROUP).messages


async def test_length_counts_after_parsing(fake: FakeTelegram) -> None:
    source = "<b>" + "&amp;" * 4096 + "</b>"
    assert (await call(fake, "sendMessage", chat_id=GROUP, text=source, parse_mode="HTML"))["ok"]
    assert fake.chat(GROUP).messages[0].text == "&" * 4096


@pytest.mark.parametrize("source", ["<b>x", "x</b>", "<b><i>x</b></i>", "<h1>x</h1>", "a < b", "<p>x</p>"])
async def test_html_that_is_not_well_formed_is_refused(fake: FakeTelegram, source: str) -> None:
    answer = await call(fake, "sendMessage", chat_id=GROUP, text=source, parse_mode="HTML")
    assert answer["description"].startswith("Bad Request: can't parse entities")


async def test_entities_beside_a_parse_mode_are_refused(fake: FakeTelegram) -> None:
    bold = [{"type": "bold", "offset": 0, "length": 1}]
    answer = await call(fake, "sendMessage", chat_id=GROUP, text="x", parse_mode="HTML", entities=bold)
    assert answer["error_code"] == 400


@pytest.mark.parametrize(
    "button",
    [
        {"text": "x", "callback_data": "я" * 33},
        {"text": "x", "callback_data": ""},
        {"text": "", "callback_data": "x"},
        {"text": "x"},
        {"text": "x", "callback_data": "x", "url": "https://example.org"},
        {"text": "x", "url": "http://localhost:9090/"},
        {"text": "x", "url": "http://prometheus/graph"},
        {"text": "x", "url": "javascript:alert(1)"},
    ],
)
async def test_a_faulty_button_is_refused(fake: FakeTelegram, button: dict[str, str]) -> None:
    markup = {"inline_keyboard": [[button]]}
    assert (await call(fake, "sendMessage", chat_id=GROUP, text="x", reply_markup=markup))["error_code"] == 400


async def test_what_the_server_strips_moves_the_entities(fake: FakeTelegram) -> None:
    bold = [{"type": "bold", "offset": 6, "length": 3}]
    assert (await call(fake, "sendMessage", chat_id=GROUP, text=" \r\n\0🔥bc  ", entities=bold))["ok"]
    (message,) = fake.chat(GROUP).messages
    assert (message.text, message.entities) == ("🔥bc", [{"type": "bold", "offset": 2, "length": 2}])


async def test_an_edit_keeps_the_history_and_a_same_one_is_refused(fake: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "one", reply_markup=rows(("Ack", "a")))
    edit = functools.partial(bot.edit_message_text, chat_id=GROUP, message_id=sent.message_id)
    await edit("two", reply_markup=rows(("Ack", "a")))
    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await edit("two", reply_markup=rows(("Ack", "a")))
    await edit("two")
    (message,) = fake.chat(GROUP).messages
    assert [version.text for version in message.edits] == ["one", "two"]
    assert message.buttons == []


async def test_edits_of_other_messages_are_refused(fake: FakeTelegram, bot: Bot) -> None:
    theirs = fake.user_sends(GROUP, ANNA, "hello")
    with pytest.raises(TelegramBadRequest, match="can't be edited"):
        await bot.edit_message_text("x", chat_id=GROUP, message_id=theirs.id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=GROUP, message_id=99)


async def test_a_deleted_message_is_gone(fake: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "one")
    old = await bot.send_message(GROUP, "old")
    fake.chat(GROUP).messages[1].date -= 49 * 3600
    await bot.delete_message(GROUP, sent.message_id)
    with pytest.raises(TelegramBadRequest, match="can't be deleted"):
        await bot.delete_message(GROUP, old.message_id)
    with pytest.raises(TelegramBadRequest, match="message to edit not found"):
        await bot.edit_message_text("x", chat_id=GROUP, message_id=sent.message_id)
    assert [message.text for message in fake.chat(GROUP).deleted] == ["one"]


async def test_a_reply_needs_its_target_unless_told_otherwise(fake: FakeTelegram, bot: Bot) -> None:
    target = await bot.send_message(FORUM, "first", message_thread_id=7)
    reply = await bot.send_message(FORUM, "second", reply_parameters=ReplyParameters(message_id=target.message_id))
    assert (reply.message_thread_id, fake.chat(FORUM).messages[1].reply_to) == (7, target.message_id)
    with pytest.raises(TelegramBadRequest, match="message to be replied not found"):
        await bot.send_message(FORUM, "x", reply_parameters=ReplyParameters(message_id=99))
    lenient = ReplyParameters(message_id=99, allow_sending_without_reply=True)
    assert (await bot.send_message(FORUM, "x", reply_parameters=lenient)).reply_to_message is None


@pytest.mark.parametrize(
    ("chat_id", "thread", "error"),
    [
        (FORUM, 1, "thread not found"),
        (FORUM, 8, "thread not found"),
        (FORUM, 9, "TOPIC_CLOSED"),
        (GROUP, 7, "thread not"),
    ],
)
async def test_a_topic_must_exist_and_general_has_no_number(
    fake: FakeTelegram, bot: Bot, chat_id: int, thread: int, error: str
) -> None:
    with pytest.raises(TelegramBadRequest, match=error):
        await bot.send_message(chat_id, "x", message_thread_id=thread)
    await bot.send_message(FORUM, "x")  # General


async def test_a_chat_may_refuse_the_bot(fake: FakeTelegram, bot: Bot) -> None:
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await bot.send_message(-5, "x")
    fake.chat(GROUP).bot_status = "kicked"
    with pytest.raises(TelegramForbiddenError, match="kicked from the supergroup"):
        await bot.send_message(GROUP, "x")
    fake.chat(PRIVATE).bot_status = "kicked"
    with pytest.raises(TelegramForbiddenError, match="blocked by the user"):
        await bot.send_message(PRIVATE, "x")
    fake.chat(CHANNEL).bot_status = "member"
    with pytest.raises(TelegramBadRequest, match="need administrator rights"):
        await bot.send_message(CHANNEL, "x")
    fake.chat(FORUM).can_send_documents = False
    with pytest.raises(TelegramBadRequest, match="not enough rights to send documents"):
        await bot.send_document(FORUM, BufferedInputFile(b"x", "x.txt"))
    await bot.send_message(FORUM, "text is allowed")


async def test_an_upgraded_group_names_its_new_number(fake: FakeTelegram, bot: Bot) -> None:
    fake.add_chat(-77, "group", "Small")
    fake.migrate(-77, -1000077)
    with pytest.raises(TelegramMigrateToChat) as caught:
        await bot.send_message(-77, "x")
    assert caught.value.migrate_to_chat_id == -1000077
    await bot.send_message(-1000077, "x")


async def test_a_chat_takes_one_message_a_second_after_a_burst(fake: FakeTelegram, bot: Bot, clock: Hands) -> None:
    for number in range(3):
        await bot.send_message(PRIVATE, str(number))
    with pytest.raises(TelegramRetryAfter) as caught:
        await bot.send_message(PRIVATE, "too many")
    assert caught.value.retry_after == 1
    clock.now += 1
    await bot.send_message(PRIVATE, "now")
    assert fake.floods.refused == 1


async def test_a_group_takes_twenty_messages_a_minute(fake: FakeTelegram, bot: Bot, clock: Hands) -> None:
    for number in range(20):
        await bot.send_message(GROUP, str(number))
        clock.now += 1
    with pytest.raises(TelegramRetryAfter) as caught:
        await bot.send_message(GROUP, "too many")
    assert caught.value.retry_after == 40
    clock.now += 40
    await bot.send_message(GROUP, "now")


async def test_a_bot_sends_thirty_messages_a_second(fake: FakeTelegram, bot: Bot, clock: Hands) -> None:
    for number in range(31):
        fake.add_chat(-2000 - number, "supergroup", "One of many")
    for number in range(30):
        await bot.send_message(-2000 - number, "x")
    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(-2030, "x")


async def test_a_press_reaches_the_bot_and_its_answer_the_person(fake: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "down", reply_markup=rows(("Ack", "ack:1")))
    press = asyncio.create_task(fake.user_presses(GROUP, sent.message_id, "Ack"))
    (update,) = await bot.get_updates(timeout=5)
    assert update.callback_query is not None
    assert (update.callback_query.data, update.callback_query.from_user.id) == ("ack:1", ANNA)
    await bot.answer_callback_query(update.callback_query.id, "Acked")
    assert (await press).text == "Acked"


async def test_a_press_answered_late_is_refused(fake: FakeTelegram, bot: Bot, clock: Hands) -> None:
    sent = await bot.send_message(GROUP, "down", reply_markup=rows(("Ack", "ack:1")))
    press = asyncio.create_task(fake.user_presses(GROUP, sent.message_id, "ack:1"))
    (update,) = await bot.get_updates(timeout=5)
    assert update.callback_query is not None
    clock.now += 16
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_callback_query(update.callback_query.id)
    press.cancel()


async def test_a_long_poll_waits_and_an_offset_confirms(fake: FakeTelegram, bot: Bot) -> None:
    poll = asyncio.create_task(bot.get_updates(timeout=10))
    await fake.until(lambda: fake.updates.polled)
    assert not poll.done()
    fake.user_sends(PRIVATE, ANNA, "/alerts")
    (update,) = await poll
    assert [one.update_id for one in await bot.get_updates()] == [update.update_id]
    assert await bot.get_updates(offset=update.update_id + 1) == []


async def test_a_second_poller_ends_the_first(fake: FakeTelegram, bot: Bot) -> None:
    first = asyncio.create_task(bot.get_updates(timeout=10))
    await fake.until(lambda: fake.updates.polled)
    assert await bot.get_updates() == []
    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates"):
        await first


async def test_privacy_mode_hides_what_is_not_for_the_bot(fake: FakeTelegram, bot: Bot) -> None:
    sent = await bot.send_message(GROUP, "down")
    for text in ("hello", "/ack", "/ack@relay_bot x", "/ack@another_bot", "hi @relay_bot"):
        fake.user_sends(GROUP, ANNA, text)
    fake.user_sends(GROUP, ANNA, "2h", reply_to=sent.message_id)
    heard = [update.message.text for update in await bot.get_updates() if update.message]
    assert heard == ["/ack", "/ack@relay_bot x", "hi @relay_bot", "2h"]


async def test_a_webhook_gets_the_updates_with_its_secret_until_it_takes_them(bot: Bot, fake: FakeTelegram) -> None:
    with pytest.raises(TelegramBadRequest, match="HTTPS URL"):
        await bot.set_webhook("http://example.org/")
    got: asyncio.Queue[tuple[str | None, str]] = asyncio.Queue()
    statuses = iter((500, 200))

    async def receive(request: web.Request) -> web.Response:
        update = await request.json()
        await got.put((request.headers.get("X-Telegram-Bot-Api-Secret-Token"), update["message"]["text"]))
        answer = {"method": "sendMessage", "chat_id": PRIVATE, "text": "by the webhook"}
        return web.json_response(answer, status=next(statuses))

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with FakeTelegram(local=True, username="relay_bot") as own:
        own.add_user(ANNA, "Anna")
        own.add_chat(PRIVATE, "private", "Anna")
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        assert (await call(own, "setWebhook", url=url, secret_token="s3cret"))["ok"]
        assert (await call(own, "getUpdates"))["error_code"] == 409
        own.user_sends(PRIVATE, ANNA, "/status")
        assert [await got.get(), await got.get()] == [("s3cret", "/status")] * 2
        await own.until(lambda: len(own.chat(PRIVATE).messages) == 2)
        assert own.chat(PRIVATE).messages[1].text == "by the webhook"
        assert (await call(own, "deleteWebhook"))["ok"]
        assert (await call(own, "getUpdates"))["result"] == []
    await runner.cleanup()


async def test_failures_come_as_scripted(fake: FakeTelegram, bot: Bot) -> None:
    fake.fail_next(status=502, body="<html>Bad Gateway</html>")
    with pytest.raises(ClientDecodeError):
        await bot.get_me()
    fake.fail_next("sendMessage", reset=True, after=True)
    with pytest.raises(TelegramNetworkError):
        await bot.send_message(GROUP, "sent, but nobody knows")
    assert [message.text for message in fake.chat(GROUP).messages] == ["sent, but nobody knows"]
    fake.fail_next("getMe", half=True)
    with pytest.raises(TelegramNetworkError):
        await bot.get_me()
    fake.fail_next("getMe", hang=60)
    with pytest.raises(TelegramNetworkError):
        await bot.get_me(request_timeout=1)
    fake.down()
    with pytest.raises(TelegramNetworkError):
        await bot.get_me()
    fake.up()
    assert (await bot.get_me()).username == "relay_bot"
    assert not fake.faults


async def test_another_token_is_unauthorized(fake: FakeTelegram) -> None:
    stranger = open_bot(TelegramConfig.model_validate({"bot_token": "1:other", "api_url": fake.url}))
    with pytest.raises(TelegramUnauthorizedError):
        await stranger.get_me()
    await stranger.session.close()


async def test_commands_are_kept_by_scope(fake: FakeTelegram, bot: Bot) -> None:
    await bot.set_my_commands([BotCommand(command="alerts", description="What fires")])
    assert fake.commands["default:"] == [{"command": "alerts", "description": "What fires"}]
    with pytest.raises(TelegramBadRequest, match="BOT_COMMAND_INVALID"):
        await bot.set_my_commands([BotCommand(command="Alerts!", description="x")])


async def test_parameters_may_come_as_form_query_or_json(fake: FakeTelegram) -> None:
    url = f"{fake.url}/bot{TOKEN}/sendMessage"
    async with ClientSession() as session:
        await session.post(url, params={"chat_id": str(GROUP), "text": "query"})
        await session.post(url, data={"chat_id": str(GROUP), "text": "form"})
        await session.post(url, json={"chat_id": GROUP, "text": "json"})
    assert [message.text for message in fake.chat(GROUP).messages] == ["query", "form", "json"]
