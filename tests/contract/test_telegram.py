"""The Telegram channel against a strict Bot API: what it sends, and what it makes of every way to fail."""

import asyncio
import json
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.methods import SendMessage
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup, MessageEntity
from aiohttp import ClientSession
from pydantic import ValidationError
from teremok.validation import validate_method

from relay.channels.telegram.channel import TelegramChannel, open_bot
from relay.channels.telegram.content import MAX_DOCUMENT, buttonable
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.demo.telegram import TOKEN, FakeTelegram
from relay.notification import AlertView, DeliveryError, IncidentView, Kind, Notice, Sent
from relay.rendering import Renderer
from relay.text import utf16_len
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts

CHAT, FORUM, TOPIC = -1001, -1002, 7
SECRET = TOKEN.partition(":")[2]
KINDS = tuple(Kind)

MESSAGE = """<b>{{ view.severity.label }}</b> {{ options.title }}
{% for alert in alerts[:options.listed] %}<code>{{ alert.code }}</code> {{ alert.name }} {{ alert.annotations.summary }}
{% for name, value in alert.labels|dictsort %}{{ name }}=<i>{{ value }}</i>
{% endfor %}{% endfor %}"""
TEMPLATES = {
    "message.html.j2": MESSAGE,
    "reply.html.j2": "<b>new</b> " + MESSAGE,
    "farewell.html.j2": "no longer shown here\n" + MESSAGE,
    "list.txt.j2": "{% for alert in alerts %}{{ alert.code }} {{ alert.name }} {{ alert.labels.instance }}\n{% endfor %}",
}


@pytest.fixture
async def fake() -> AsyncIterator[FakeTelegram]:
    async with FakeTelegram(limits=False) as server:
        server.add_chat(CHAT, "supergroup", "On-call")
        server.add_chat(FORUM, "supergroup", "Topics", topics={TOPIC: "Disks", 8: "Nets"})
        server.add_chat(1001, "private", "Anna")
        yield server


async def open_session(bot: Bot) -> ClientSession:
    assert isinstance(bot.session, AiohttpSession)
    return await bot.session.create_session()


@pytest.fixture
async def bot(fake: FakeTelegram) -> AsyncIterator[Bot]:
    bot = open_bot(TelegramConfig.model_validate({"bot_token": TOKEN, "api_url": fake.url}))
    yield bot
    await (await open_session(bot)).close()  # aiogram's own close sleeps for a quarter of a second


@pytest.fixture
def own_templates(tmp_path: Path) -> Renderer:
    folder = tmp_path / "telegram"
    folder.mkdir()
    for name, source in TEMPLATES.items():
        (folder / name).write_text(source)
    return Renderer(tmp_path)


Open = Callable[..., TelegramChannel]


@pytest.fixture
def channel_of(bot: Bot, own_templates: Renderer) -> Open:
    def build(renderer: Renderer | None = None, keyboard: Any = None, **options: Any) -> TelegramChannel:
        chosen = TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT} | options)
        return TelegramChannel("oncall", chosen, bot=bot, renderer=renderer or own_templates, keyboard=keyboard)

    return build


@pytest.fixture
def channel(channel_of: Open) -> TelegramChannel:
    return channel_of()


def view_of(*alerts: AlertView, **values: Any) -> IncidentView:
    return make_incident_view(*alerts, **values)


async def shown(channel: TelegramChannel, notice: Notice | None = None) -> Sent:
    return await channel.send(channel.render(notice or make_notice()))


async def failure(channel: TelegramChannel, notice: Notice | None = None) -> DeliveryError:
    """The error of one send, proven to hold no secret wherever a log could look."""
    with pytest.raises(DeliveryError) as caught:
        await shown(channel, notice)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    told = "".join([*traceback.format_exception(error), repr(error), error.detail, repr(vars(error))])
    assert SECRET not in told
    assert TOKEN not in told
    return error


# What is sent


async def test_an_incident_is_one_message_that_is_edited(fake: FakeTelegram, channel: TelegramChannel) -> None:
    view = view_of()
    sent = await shown(channel, make_notice(view))
    assert sent.remote == {"chat_id": CHAT, "message_id": 1, "thread_id": None}
    again = await shown(channel, make_notice(view, Kind.EDIT, remote=sent.remote))
    assert again.remote == sent.remote  # nothing changed: that is no failure
    more = view_of(make_alert_view(), make_alert_view("Slow", labels={"severity": "warning"}))
    await shown(channel, make_notice(more, Kind.EDIT, remote=sent.remote))
    (message,) = fake.chat(CHAT).messages
    assert "Slow" in message.text
    assert len(message.edits) == 1
    assert not message.preview
    assert all("parse_mode" not in call.params for call in fake.journal)


async def test_a_reply_answers_the_message_and_leaves_its_address(fake: FakeTelegram, channel: TelegramChannel) -> None:
    sent = await shown(channel)
    reply = await shown(channel, make_notice(kind=Kind.REPLY, remote=sent.remote, silent=True))
    assert reply.remote == sent.remote
    assert [(one.reply_to, one.silent) for one in fake.chat(CHAT).messages] == [(None, False), (1, True)]


async def test_a_reply_arrives_although_its_message_was_deleted(fake: FakeTelegram, channel: TelegramChannel) -> None:
    await shown(channel, make_notice(kind=Kind.REPLY, remote={"chat_id": CHAT, "message_id": 55, "thread_id": None}))
    assert len(fake.chat(CHAT).messages) == 1


async def test_the_full_list_comes_as_a_document(fake: FakeTelegram, channel: TelegramChannel) -> None:
    view = view_of(*many_alerts(5000))
    sent = await shown(channel, make_notice(view))
    await shown(channel, make_notice(view, Kind.ATTACH, remote=sent.remote))
    attached = fake.chat(CHAT).messages[-1]
    assert attached.document is not None
    assert (attached.document.name, attached.reply_to, attached.silent) == (f"alerts-{view.code}.txt", 1, True)
    lines = attached.document.body.decode().splitlines()
    assert len(lines) == 5000
    assert {alert.labels["instance"] for alert in view.alerts} == {line.split()[-1] for line in lines}
    assert "5000" in attached.text
    assert len(attached.document.body) <= MAX_DOCUMENT


async def test_a_document_without_end_is_cut_at_a_line(channel: TelegramChannel) -> None:
    view = view_of(*(make_alert_view(labels={"instance": "ы" * 400}) for _ in range(2000)))
    (name, body), *_ = channel.render(make_notice(view, Kind.ATTACH)).files.items()
    assert name.endswith(".txt")
    assert len(body) <= MAX_DOCUMENT
    assert body.decode().endswith("ы\n…\n")


async def test_topics_are_kept_and_general_has_no_number(fake: FakeTelegram, channel_of: Open) -> None:
    sent = await shown(channel_of(chat_id=FORUM, topic_id=TOPIC))
    assert sent.remote["thread_id"] == TOPIC
    general = await shown(channel_of(chat_id=FORUM, topic_id=1))
    assert general.remote["thread_id"] is None
    # The config moved to another topic; what lives in the old one stays there.
    moved = channel_of(chat_id=FORUM, topic_id=8)
    await shown(moved, make_notice(kind=Kind.REPLY, remote=sent.remote))
    assert [message.thread_id for message in fake.chat(FORUM).messages] == [TOPIC, None, TOPIC]


async def test_edits_go_where_the_message_lives_whatever_the_config_says(fake: FakeTelegram, channel_of: Open) -> None:
    sent = await shown(channel_of())
    await shown(channel_of(chat_id=FORUM), make_notice(view_of(*many_alerts(2)), Kind.EDIT, remote=sent.remote))
    assert len(fake.chat(CHAT).messages[0].edits) == 1
    assert not fake.chat(FORUM).messages


async def test_buttons_are_the_bots_and_then_the_links(fake: FakeTelegram, channel_of: Open) -> None:
    channel = channel_of(keyboard=lambda _notice: [[("Ack", "a:1"), ("Silence", "s:1")], [("too long", "x" * 65)]])
    sent = await shown(channel)
    view = view_of(make_alert_view(annotations={"dashboard": "https://grafana.example.org/d/1"}))
    await shown(channel, make_notice(view, Kind.EDIT, remote=sent.remote))
    first, second = fake.chat(CHAT).messages[0].buttons
    assert [button["callback_data"] for button in first] == ["a:1", "s:1"]
    assert [button["url"] for button in second] == [
        "https://runbooks.example.org/disk",
        "https://grafana.example.org/d/1",
        "http://prometheus.example.org/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    ]
    assert [button["text"] for button in second] == ["Runbook", "Dashboard", "Source"]
    await shown(channel, make_notice(view, Kind.FAREWELL, remote=sent.remote))
    assert len(fake.chat(CHAT).messages[0].buttons) == 1  # a message we left behind asks for nothing


async def test_a_link_that_no_button_may_hold_stands_in_the_text(fake: FakeTelegram, channel: TelegramChannel) -> None:
    alert = make_alert_view(
        annotations={"runbook_url": "http://wiki/disk", "summary": "x" * 5000}, generator_url="http://prometheus:9090/g"
    )
    await shown(channel, make_notice(view_of(alert)))
    (message,) = fake.chat(CHAT).messages
    assert message.buttons == []
    assert message.text.endswith("…\n\nRunbook: http://wiki/disk\nSource: http://prometheus:9090/g")
    assert utf16_len(message.text) <= 4096
    assert message.entities[-1]["type"] == "expandable_blockquote"


def test_long_texts_cost_alerts_from_the_end_and_leave_the_others_whole(channel_of: Open) -> None:
    alerts = [make_alert_view(f"Alert{n}", annotations={"summary": "x" * 390}, starts_at=n) for n in range(10)]
    view = view_of(*alerts)
    text = channel_of(renderer=Renderer()).render(make_notice(view)).text
    assert utf16_len(text) <= 4096
    assert view.code in text
    wordy = [make_alert_view(f"Alert{n}", labels={"note": "x" * 700}, starts_at=n) for n in range(10)]
    view = view_of(*wordy)
    text = channel_of().render(make_notice(view)).text
    listed = [alert for alert in view.alerts if alert.code in text]
    assert listed == list(view.alerts[:3])
    assert "…" not in text


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("https://example.org/x", True),
        ("http://10.1.2.3:9090/graph", True),
        ("http://[2001:db8::1]/", True),
        ("http://localhost:9090/", False),
        ("http://prometheus-0:9090/", False),
        ("http://prometheus./", False),
        ("http://.example/", False),
        ("ftp://example.org/", False),
        ("mailto:ops@example.org", False),
        ("nonsense", False),
    ],
)
async def test_a_button_opens_only_what_telegram_takes(fake: FakeTelegram, bot: Bot, url: str, answer: bool) -> None:
    assert buttonable(url) is answer
    if answer:
        button = InlineKeyboardButton(text="x", url=url)
        await bot.send_message(CHAT, "x", reply_markup=InlineKeyboardMarkup(inline_keyboard=[[button]]))


async def test_a_plain_notice_is_text_alone(fake: FakeTelegram, channel_of: Open) -> None:
    channel = channel_of(keyboard=lambda _notice: [[("Ack", "a:1")]])
    await shown(channel, make_notice(plain=True))
    (message,) = fake.chat(CHAT).messages
    assert message.entities == []
    assert message.buttons == [[{"text": "Ack", "callback_data": "a:1"}]]
    assert "https://runbooks.example.org/disk" in message.text


async def test_a_template_that_renders_nothing_still_names_the_alert(
    fake: FakeTelegram, channel_of: Open, tmp_path: Path
) -> None:
    folder = tmp_path / "empty" / "telegram"
    folder.mkdir(parents=True)
    (folder / "message.html.j2").write_text("  <b> </b> ")
    await shown(channel_of(renderer=Renderer(tmp_path / "empty")))
    assert fake.chat(CHAT).messages[0].text == "critical: DiskFull"


async def test_the_title_of_the_config_reaches_the_template(fake: FakeTelegram, channel_of: Open) -> None:
    await shown(channel_of(title="<{{ labels.job }}>"))
    assert fake.chat(CHAT).messages[0].text.startswith("critical <node>\n")


def test_a_message_overflows_with_more_alerts_or_text_than_it_holds(channel: TelegramChannel) -> None:
    assert not channel.overflows(view_of(*many_alerts(10)))
    assert channel.overflows(view_of(*many_alerts(11)))
    assert channel.overflows(view_of(make_alert_view(annotations={"summary": "x" * 5000})))


def test_contents_with_one_fingerprint_look_the_same(channel: TelegramChannel) -> None:
    one, two = make_notice(), make_notice(kind=Kind.EDIT, silent=True)
    other = make_notice(view_of(make_alert_view("Other")))
    assert channel.render(one).fingerprint == channel.render(two).fingerprint
    assert channel.render(one).fingerprint != channel.render(other).fingerprint


def test_the_files_are_what_is_sent(channel: TelegramChannel) -> None:
    content = channel.render(make_notice())
    names = list(content.files)
    assert names == ["message.txt", "message.json"]
    assert json.loads(content.files["message.json"])["text"] == content.files["message.txt"].decode() == content.text


LABELS = {f"label_{number}": "v" * 60 for number in range(60)}
POISON = {
    "html": "<b>bold</b> <a href='https://evil.example'>x</a> </code> &lt;i&gt; <script>alert(1)</script>",
    "markdown": "*b* _i_ [x](https://evil.example) `c` ~s~ ||p|| > # + - = | { } . !",
    "control": "a\r\nb\rc\td\0e\x07f\x1bg\u2028h",
    "long": "x" * 5000,
    "emoji": "🔥👩‍🚒🇩🇪" * 900,
    "rtl": "\u202eevil\u202c \u2067שלום\u2069 \u200f",
    "blank": " \n\t ",
    "surrogate": "a\ufffdb\U0010ffff",
    "combining": "e\u0301" * 3000,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("built_in", [True, False])
async def test_a_poisoned_text_is_shown_as_text(
    fake: FakeTelegram, channel_of: Open, kind: Kind, poison: str, built_in: bool
) -> None:
    text = POISON[poison]
    renderer = Renderer() if built_in else None
    channel = channel_of(renderer=renderer, keyboard=lambda _notice: [[("Ack", "a:1")]])
    sent = await shown(channel)
    alert = make_alert_view(
        f"Evil {text}",
        labels=LABELS | {"evil": text},
        annotations={"summary": text, "runbook_url": text, "dashboard": f"https://example.org/{text}"},
        generator_url=f"http://prometheus/{text}",
    )
    await shown(channel, make_notice(view_of(alert), kind, remote=None if kind is Kind.NEW else sent.remote))
    for message in fake.chat(CHAT).messages:
        assert not [entity for entity in message.entities if "evil" in entity.get("url", "")]
    if poison == "html" and kind is Kind.NEW:
        assert "<b>bold</b>" in fake.chat(CHAT).messages[-1].text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 50, 5000])
async def test_the_built_in_texts_are_accepted_whatever_the_size(
    fake: FakeTelegram, channel_of: Open, kind: Kind, count: int
) -> None:
    for language in ("en", "ru"):
        channel = channel_of(renderer=Renderer(), language=language)
        sent = await shown(channel)
        await shown(channel, make_notice(view_of(*many_alerts(count)), kind, remote=sent.remote))
        document = fake.chat(CHAT).messages[-1].document
        assert document is None or f"db-{count - 1}:9100" in document.body.decode()


def test_another_judge_accepts_the_message_too(channel_of: Open, bot: Bot) -> None:
    content = channel_of(renderer=Renderer()).render(make_notice(view_of(*many_alerts(10))))
    entities = [
        MessageEntity(type=one.type, offset=one.offset, length=one.length, url=one.url) for one in content.entities
    ]
    validate_method(bot, SendMessage(chat_id=CHAT, text=content.text, entities=entities))


# What goes wrong


@pytest.mark.parametrize("method", ["sendMessage", "editMessageText", "sendDocument"])
async def test_every_status_code_is_told_apart(fake: FakeTelegram, channel: TelegramChannel, method: str) -> None:
    kind = {"sendMessage": Kind.NEW, "editMessageText": Kind.EDIT, "sendDocument": Kind.ATTACH}[method]
    notice = make_notice(kind=kind, remote={"chat_id": CHAT, "message_id": 1, "thread_id": None})
    expected = {
        400: ("rejected", "post", True),
        401: ("unauthorized", "destination", True),
        403: ("forbidden", "destination", True),
        404: ("unauthorized", "destination", True),
        413: ("too_large", "post", True),
        429: ("rate_limited", "destination", False),
    }
    if method == "sendDocument":  # aiohttp cannot send an upload a second time
        expected |= dict.fromkeys((307, 308), ("connection", "destination", False))
    for status in range(200, 600):
        fake.fail_next(method, status=status)
        error = await failure(channel, notice)
        found = (error.reason, error.scope, error.permanent)
        assert found == expected.get(status, ("server_error", "destination", False)), status


@pytest.mark.parametrize("status", [100, 101, 102, 103])
async def test_an_interim_status_is_no_answer(
    fake: FakeTelegram, channel: TelegramChannel, bot: Bot, status: int
) -> None:
    bot.session.timeout = 0.5
    fake.fail_next("sendMessage", status=status)
    error = await failure(channel)
    assert error.reason in {"timeout", "connection", "server_error"}
    assert (error.scope, error.permanent) == ("destination", False)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, ""),
        (200, "{}"),
        (200, "null"),
        (200, "[]"),
        (200, '{"ok":true}'),
        (200, '{"ok":true,"result":"what"}'),
        (200, '{"ok":false}'),
        (200, "<html>login</html>"),
        (200, b"\xff\xfe\x00"),
        (500, "{}"),
        (500, '{"ok":false,"error_code":500}'),
        (502, "<html>Bad Gateway</html>"),
        (504, ""),
        (403, "<html>Forbidden by the proxy</html>"),
        (401, "<html>Who are you?</html>"),
        (500, "x" * 100_000),
    ],
)
async def test_garbage_is_the_destinations_failure_and_passes(
    fake: FakeTelegram, channel: TelegramChannel, status: int, body: str | bytes
) -> None:
    fake.fail_next("sendMessage", status=status, body=body)
    error = await failure(channel)
    assert (error.reason, error.scope, error.permanent) == ("server_error", "destination", False)


@pytest.mark.parametrize(
    ("description", "reason", "scope"),
    [
        ("chat not found", "not_found", "destination"),
        ("message thread not found", "not_found", "destination"),
        ("TOPIC_CLOSED", "not_found", "destination"),
        ("TOPIC_DELETED", "not_found", "destination"),
        ("PEER_ID_INVALID", "not_found", "destination"),
        ("not enough rights to send text messages to the chat", "forbidden", "destination"),
        ("need administrator rights in the channel chat", "forbidden", "destination"),
        ("CHAT_WRITE_FORBIDDEN", "forbidden", "destination"),
        ("not enough rights to send documents to the chat", "rejected", "post"),
        ("message to edit not found", "gone", "post"),
        ("message can't be edited", "gone", "post"),
        ("MESSAGE_ID_INVALID", "gone", "post"),
        ("can't parse entities: Unsupported start tag", "unparsable", "post"),
        ("BUTTON_URL_INVALID", "unparsable", "post"),
        ("BUTTON_DATA_INVALID", "unparsable", "post"),
        ("ENTITY_BOUNDS_INVALID", "unparsable", "post"),
        ("entity beginning at UTF-16 offset 3 ends after the end of the text", "unparsable", "post"),
        ("inline keyboard button URL 'x' is invalid: Wrong HTTP URL", "unparsable", "post"),
        ("message is too long", "too_large", "post"),
        ("MESSAGE_TOO_LONG", "too_large", "post"),
        ("MEDIA_CAPTION_TOO_LONG", "too_large", "post"),
        ("message text is empty", "rejected", "post"),
    ],
)
async def test_every_known_refusal_has_its_reason(
    fake: FakeTelegram, channel: TelegramChannel, description: str, reason: str, scope: str
) -> None:
    body = {"ok": False, "error_code": 400, "description": f"Bad Request: {description}"}
    fake.fail_next("sendMessage", status=400, body=body)
    error = await failure(channel)
    assert (error.reason, error.scope, error.permanent) == (reason, scope, True)
    assert description.split(":", maxsplit=1)[0] in error.detail


async def test_a_plain_text_that_is_refused_is_not_sent_plain_again(
    fake: FakeTelegram, channel: TelegramChannel
) -> None:
    body = {"ok": False, "error_code": 400, "description": "Bad Request: BUTTON_DATA_INVALID"}
    fake.fail_next("sendMessage", status=400, body=body)
    assert (await failure(channel, make_notice(plain=True))).reason == "rejected"


async def test_a_flood_wait_is_handed_on(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.floods.enabled = True
    fake.floods.burst = 1
    await shown(channel)
    error = await failure(channel)
    assert (error.reason, error.scope, error.permanent, error.retry_after) == (
        "rate_limited",
        "destination",
        False,
        1.0,
    )


async def test_a_broken_connection_is_told_from_a_silent_one(
    fake: FakeTelegram, channel: TelegramChannel, bot: Bot
) -> None:
    fake.fail_next("sendMessage", reset=True)
    assert (await failure(channel)).reason == "connection"
    fake.fail_next("sendMessage", half=True)
    assert (await failure(channel)).reason == "connection"
    fake.down()
    assert (await failure(channel)).reason == "connection"
    fake.up()
    bot.session.timeout = 0.5
    fake.fail_next("sendMessage", hang=60)
    assert (await failure(channel)).reason == "timeout"


async def test_nobody_listening_is_a_failed_connection(fake: FakeTelegram, channel: TelegramChannel) -> None:
    await fake.stop()
    error = await failure(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_a_dead_proxy_is_a_failed_connection_and_keeps_its_password(own_templates: Renderer, scheme: str) -> None:
    config = TelegramConfig.model_validate({"bot_token": TOKEN, "proxy": f"{scheme}://me:pa55@127.0.0.1:1"})
    bot = open_bot(config)
    options = TelegramOptions.model_validate({"type": "telegram", "chat_id": CHAT})
    error = await failure(TelegramChannel("x", options, bot=bot, renderer=own_templates))
    assert error.reason == "connection"
    assert "pa55" not in error.detail
    await bot.session.close()


async def test_a_cancelled_send_is_cancelled(fake: FakeTelegram, channel: TelegramChannel) -> None:
    fake.fail_next("sendMessage", hang=60)
    task = asyncio.create_task(shown(channel))
    await fake.until(lambda: fake.calls("sendMessage"))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_upgraded_group_is_followed(fake: FakeTelegram, channel_of: Open) -> None:
    fake.add_chat(-77, "group", "Small")
    channel = channel_of(chat_id=-77)
    sent = await shown(channel)
    fake.migrate(-77, -1000077)
    error = await failure(channel)
    assert (error.reason, error.scope, error.moved_to) == ("moved", "destination", {"chat_id": -1000077})
    assert error.moved_to is not None
    channel.follow(error.moved_to)
    assert channel.destination == "telegram:-1000077"
    assert (await shown(channel)).remote["chat_id"] == -1000077
    gone = await failure(channel, make_notice(view_of(*many_alerts(2)), Kind.EDIT, remote=sent.remote))
    assert (gone.reason, gone.scope) == ("gone", "post")


async def test_a_former_chat_that_refuses_us_stops_no_other_post(fake: FakeTelegram, channel_of: Open) -> None:
    sent = await shown(channel_of())
    fake.chat(CHAT).bot_status = "kicked"
    notice = make_notice(kind=Kind.FAREWELL, remote=sent.remote)
    error = await failure(channel_of(chat_id=FORUM), notice)
    assert (error.reason, error.scope) == ("gone", "post")
    assert (await failure(channel_of(), notice)).scope == "destination"


async def test_a_message_deleted_by_hand_is_gone(fake: FakeTelegram, channel: TelegramChannel) -> None:
    sent = await shown(channel)
    fake.chat(CHAT).messages.clear()
    for kind in (Kind.EDIT, Kind.FAREWELL):
        error = await failure(channel, make_notice(kind=kind, remote=sent.remote))
        assert (error.reason, error.scope) == ("gone", "post")
    assert (await failure(channel, make_notice(kind=Kind.EDIT, remote=None))).reason == "gone"


# What it says of itself


async def test_a_check_says_who_writes_where(fake: FakeTelegram, channel_of: Open) -> None:
    assert (await channel_of().check()).said == "@relay_bot writes to On-call (supergroup -1001)"
    assert (await channel_of(chat_id=1001).check()).said == "@relay_bot writes to Anna (private 1001)"
    topic = channel_of(chat_id=FORUM, topic_id=TOPIC)
    assert (await topic.check()).said == "@relay_bot writes to Topics (supergroup -1002), topic 7"
    fake.chat(CHAT).bot_status = "left"
    for options, reason in (
        ({}, "forbidden"),
        ({"chat_id": -5}, "not_found"),
        ({"chat_id": 1001, "topic_id": 7}, "not_found"),
    ):
        with pytest.raises(DeliveryError) as caught:
            await channel_of(**options).check()
        assert (caught.value.reason, caught.value.permanent) == (reason, True)


async def test_a_check_finds_out_that_the_bot_may_not_write(fake: FakeTelegram, channel_of: Open) -> None:
    fake.chat(CHAT).can_send_text = False
    fake.add_chat(-1009, kind="channel", title="News")
    for chat, told in ((CHAT, "may not write to On-call"), (-1009, "is no administrator of News")):
        channel = channel_of(chat_id=chat)
        with pytest.raises(DeliveryError, match=told) as caught:
            await channel.check()
        assert (caught.value.reason, caught.value.permanent) == ("forbidden", True)
        assert (await failure(channel)).reason == "forbidden"  # a message says the same
    fake.chat(-1009).bot_status = "administrator"
    assert "forbidden" in (await channel_of(chat_id=-1009).check()).rules_out


async def test_a_check_rules_out_only_what_it_would_have_met(channel_of: Open) -> None:
    group, person = (await channel_of().check()).rules_out, (await channel_of(chat_id=1001).check()).rules_out
    topic = (await channel_of(chat_id=FORUM, topic_id=TOPIC).check()).rules_out
    assert {"connection", "unauthorized", "forbidden", "not_found"} <= group
    assert group - person == {"forbidden"}  # a person who has blocked the bot is still found
    assert group - topic == {"not_found"}  # a topic that is gone is not asked for


def test_limits_are_the_platforms_unless_the_config_says_otherwise(channel_of: Open) -> None:
    group, person = channel_of().limits, channel_of(chat_id=1001).limits
    assert (group.destination, group.account, group.reserved) == (((1, 1.0), (20, 60.0)), ((30, 1.0),), 3)
    assert (person.destination, person.reserved) == (((1, 1.0),), 0)
    own = channel_of(limits={"per_second": 0.5, "per_minute": 5}).limits
    assert own.destination == ((1, 2.0), (5, 60.0))
    assert channel_of(limits={"per_second": 5}).limits.destination[0] == (5, 1.0)


def test_destination_and_account_hold_no_secret(channel_of: Open) -> None:
    channel = channel_of(chat_id=FORUM, topic_id=TOPIC)
    assert (channel.destination, channel.account) == ("telegram:-1002", "telegram:424242")
    assert channel_of(chat_id="@oncall").destination == "telegram:@oncall"


@pytest.mark.parametrize("chat", [0, True, "", "oncall", "@x", "12a", 1.5])
def test_a_chat_is_a_number_or_a_public_name(chat: object) -> None:
    with pytest.raises(ValidationError):
        TelegramOptions.model_validate({"type": "telegram", "chat_id": chat})
    assert TelegramOptions.model_validate({"type": "telegram", "chat_id": "-100123"}).chat_id == -100123


@pytest.mark.parametrize(
    "wrong",
    [
        {"bot_token": "S3CRET"},
        {"bot_token": "1:S3CRET 2"},
        {"api_url": "S3CRET"},
        {"proxy": "ftp://me:S3CRET@example.org:21"},
        {"mode": "webhook"},
        {"mode": "webhook", "webhook_url": "http://example.org", "secret_token": "S3CRET"},
        {"secret_token": "S3CRET!"},
        {"token": "x"},
    ],
)
def test_a_faulty_section_is_refused_without_telling_its_secrets(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        TelegramConfig.model_validate({"bot_token": TOKEN} | wrong)
    assert "S3CRET" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_webhook_section_is_complete(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("abc\n")
    webhook = {"mode": "webhook", "webhook_url": "https://relay.example.org:8443/telegram"}
    config = TelegramConfig.model_validate({"bot_token": TOKEN, **webhook, "secret_token_file": tmp_path / "secret"})
    assert config.secret_token is not None
    assert config.secret_token.get_secret_value() == "abc"
    assert SECRET not in repr(config)
