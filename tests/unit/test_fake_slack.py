"""The stand-in for Slack is as strict as Slack, judged with slack_sdk and plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from relay.demo import slack_rules as rules
from relay.demo.slack import FakeSlack
from relay.demo.slack_state import Rates


class Ticks:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
async def slack(ticks: Ticks) -> AsyncIterator[FakeSlack]:
    fake = FakeSlack(clock=ticks, rates=Rates(post_burst=2))
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def web(slack: FakeSlack, session: aiohttp.ClientSession) -> AsyncWebClient:
    return AsyncWebClient(token=slack.token, base_url=slack.url, session=session, retry_handlers=[])


def section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


async def refused(call: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return str(caught.value.response["error"])


async def test_posts_edits_threads_and_broadcasts_as_people_would_see_them(
    slack: FakeSlack, web: AsyncWebClient
) -> None:
    posted = await web.chat_postMessage(channel="#alerts", text="one", blocks=[section("*one*")])
    assert posted["channel"] == slack.channel("alerts").id
    await web.chat_update(channel=posted["channel"], ts=posted["ts"], text="two", blocks=[section("two")])
    await web.chat_postMessage(channel="alerts", text="new", thread_ts=posted["ts"], reply_broadcast=True)
    first, reply = slack.channel("alerts").messages
    assert (first.text, first.shown, [text for text, _ in first.edits]) == ("two", "two", ["one"])
    assert reply.thread_ts == first.ts
    assert slack.channel("alerts").main == [first, reply]
    assert slack.channel("alerts").thread(first.ts) == [reply]
    assert [request.method for request in slack.journal] == ["chat.postMessage", "chat.update", "chat.postMessage"]


async def test_a_reply_without_broadcast_stays_in_its_thread(slack: FakeSlack, web: AsyncWebClient) -> None:
    posted = await web.chat_postMessage(channel="#alerts", text="one")
    await web.chat_postMessage(channel="#alerts", text="two", thread_ts=posted["ts"])
    assert [message.text for message in slack.channel("alerts").main] == ["one"]


async def test_an_edit_without_blocks_keeps_the_old_ones(slack: FakeSlack, web: AsyncWebClient) -> None:
    posted = await web.chat_postMessage(channel="#alerts", text="one", blocks=[section("old")])
    await web.api_call("chat.update", json={"channel": posted["channel"], "ts": posted["ts"], "text": "two"})
    assert slack.channel("alerts").messages[0].shown == "old"
    await web.api_call(
        "chat.update", json={"channel": posted["channel"], "ts": posted["ts"], "text": "two", "blocks": []}
    )
    assert slack.channel("alerts").messages[0].shown == "two"


async def test_only_own_messages_are_edited_and_only_by_the_channels_id(slack: FakeSlack, web: AsyncWebClient) -> None:
    posted = await web.chat_postMessage(channel="#alerts", text="one")
    written = slack.workspace.write("alerts", "hello")
    channel = posted["channel"]
    assert await refused(web.chat_update(channel="#alerts", ts=posted["ts"], text="x")) == "channel_not_found"
    assert await refused(web.chat_update(channel=channel, ts=written.ts, text="x")) == "cant_update_message"
    assert await refused(web.chat_update(channel=channel, ts="1.0", text="x")) == "message_not_found"
    slack.workspace.edits_closed = True
    assert await refused(web.chat_update(channel=channel, ts=posted["ts"], text="x")) == "edit_window_closed"
    slack.workspace.delete("alerts", posted["ts"])
    assert await refused(web.chat_update(channel=channel, ts=posted["ts"], text="x")) == "message_not_found"


async def test_a_channel_must_exist_be_open_and_have_the_bot(slack: FakeSlack, web: AsyncWebClient) -> None:
    assert await refused(web.chat_postMessage(channel="#nowhere", text="x")) == "channel_not_found"
    slack.channel("alerts").archived = True
    slack.channel("oncall").member = False
    assert await refused(web.chat_postMessage(channel="#alerts", text="x")) == "is_archived"
    assert await refused(web.chat_postMessage(channel="#oncall", text="x")) == "not_in_channel"


async def test_threads_hang_on_messages_and_not_on_replies(web: AsyncWebClient) -> None:
    assert await refused(web.chat_postMessage(channel="alerts", text="x", thread_ts="1.1")) == "thread_not_found"
    posted = await web.chat_postMessage(channel="oncall", text="one")
    reply = await web.chat_postMessage(channel="oncall", text="two", thread_ts=posted["ts"])
    answer = web.chat_postMessage(channel="alerts", text="x", thread_ts=reply["ts"])
    assert await refused(answer) == "thread_not_found"


async def test_tokens_and_scopes_are_checked(slack: FakeSlack, web: AsyncWebClient) -> None:
    assert (await web.auth_test())["team"] == "Relay Demo"
    slack.workspace.scopes.discard("channels:read")
    assert await refused(web.conversations_info(channel="C000000001")) == "missing_scope"
    web.token = "xoxb-wrong"
    assert await refused(web.auth_test()) == "invalid_auth"
    web.token = None
    assert await refused(web.auth_test()) == "not_authed"
    web.token = slack.token
    assert await refused(web.api_call("chat.unknown")) == "unknown_method"


async def test_channels_are_listed_in_pages(slack: FakeSlack, web: AsyncWebClient) -> None:
    first = await web.conversations_list(limit=1)
    cursor = first["response_metadata"]["next_cursor"]
    second = await web.conversations_list(limit=1, cursor=cursor)
    assert [page["channels"][0]["name"] for page in (first, second)] == ["alerts", "oncall"]
    assert second["response_metadata"]["next_cursor"] == ""
    assert (await web.conversations_info(channel=slack.channel("oncall").id))["channel"]["name"] == "oncall"


async def test_more_than_the_burst_is_too_fast_until_time_passes(
    slack: FakeSlack, web: AsyncWebClient, ticks: Ticks
) -> None:
    for text in ("one", "two"):
        await web.chat_postMessage(channel="#alerts", text=text)
    with pytest.raises(SlackApiError) as caught:
        await web.chat_postMessage(channel="#alerts", text="three")
    assert caught.value.response.status_code == 429
    assert caught.value.response.headers["Retry-After"] == "1"
    await web.chat_postMessage(channel="#oncall", text="another channel has its own budget")
    ticks.now += 1
    await web.chat_postMessage(channel="#alerts", text="three")
    assert len(slack.channel("alerts").messages) == 3


async def test_files_are_uploaded_in_three_steps(
    slack: FakeSlack, web: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    posted = await web.chat_postMessage(channel="#alerts", text="one")
    place = await web.files_getUploadURLExternal(filename="list.txt", length=5)
    files = [{"id": place["file_id"], "title": "list.txt"}]
    early = web.files_completeUploadExternal(files=files, channel_id=posted["channel"])
    assert await refused(early) == "file_not_found"
    async with session.post(place["upload_url"], data=b"too long") as answer:
        assert answer.status == 400
    async with session.post(place["upload_url"], data=b"12345") as answer:
        assert answer.status == 200
    named = web.files_completeUploadExternal(files=files, channel_id="#alerts", thread_ts=posted["ts"])
    assert await refused(named) == "channel_not_found"
    await web.files_completeUploadExternal(
        files=files, channel_id=posted["channel"], thread_ts=posted["ts"], initial_comment="all"
    )
    (reply,) = slack.channel("alerts").thread(posted["ts"])
    assert [(file.name, file.content) for file in reply.files] == [("list.txt", b"12345")]
    again = web.files_completeUploadExternal(files=files, channel_id=posted["channel"])
    assert await refused(again) == "file_not_found"


async def test_a_webhook_answers_in_plain_text(slack: FakeSlack, session: aiohttp.ClientSession, ticks: Ticks) -> None:
    async def post(url: str, wait: float = 1.0, **body: Any) -> tuple[int, str]:
        ticks.now += wait
        async with session.post(url, **body) as answer:
            return answer.status, await answer.text()

    url = slack.webhook_url("alerts")
    assert await post(url, json={"text": "one"}) == (200, "ok")
    assert await post(url, data={"payload": json.dumps({"text": "two"})}) == (200, "ok")
    assert await post(url, data=b"{", headers={"Content-Type": "application/json"}) == (400, "invalid_payload")
    assert await post(url, json={"text": ""}) == (400, "no_text")
    assert await post(url, json={"blocks": [{"type": "nonsense"}]}) == (400, "invalid_blocks")
    assert await post(url[:-1], json={"text": "x"}) == (403, "invalid_token")
    assert await post(url.replace("C0", "C9"), json={"text": "x"}) == (404, "no_service")
    assert await post(url, json={"text": "three"}) == (200, "ok")
    assert await post(url, json={"text": "four"}, wait=0) == (200, "ok")
    assert await post(url, json={"text": "five"}, wait=0) == (429, "rate_limited")
    slack.channel("alerts").archived = True
    assert await post(url, json={"text": "x"}) == (410, "channel_is_archived")
    assert [message.text for message in slack.channel("alerts").messages] == ["one", "two", "three", "four"]


async def test_json_that_cannot_be_read_is_refused(slack: FakeSlack, session: aiohttp.ClientSession) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {slack.token}"}
    async with session.post(f"{slack.url}chat.postMessage", data=b"[1]", headers=headers) as answer:
        assert await answer.json() == {"ok": False, "error": "invalid_json"}


async def test_forms_carry_blocks_as_json_text(slack: FakeSlack, session: aiohttp.ClientSession) -> None:
    form = {"token": slack.token, "channel": "#alerts", "text": "x", "blocks": json.dumps([section("from a form")])}
    async with session.post(f"{slack.url}chat.postMessage", data=form) as answer:
        assert (await answer.json())["ok"]
    assert slack.channel("alerts").messages[0].shown == "from a form"


async def test_the_script_fails_requests_in_order(slack: FakeSlack, web: AsyncWebClient) -> None:
    slack.script.refuse("internal_error", method="chat.postMessage")
    slack.script.too_fast(7)
    slack.script.reset(after=True)
    slack.script.half()
    assert (await refused(web.auth_test())) == "ratelimited"
    assert (await refused(web.chat_postMessage(channel="#alerts", text="x"))) == "internal_error"
    with pytest.raises(aiohttp.ClientConnectionError):
        await web.chat_postMessage(channel="#alerts", text="took effect, but who knows")
    with pytest.raises(aiohttp.ClientPayloadError):
        await web.auth_test()
    assert len(slack.channel("alerts").messages) == 1
    assert slack.script.faults == []


async def test_a_hanging_request_ends_when_the_server_stops(slack: FakeSlack, web: AsyncWebClient) -> None:
    slack.script.hang()
    call = asyncio.ensure_future(web.auth_test())
    await slack.arrived.wait()
    await slack.stop()
    with pytest.raises(aiohttp.ClientError):
        await call


async def test_down_refuses_connections_and_up_has_kept_everything(slack: FakeSlack, web: AsyncWebClient) -> None:
    await web.chat_postMessage(channel="#alerts", text="before")
    await slack.down()
    with pytest.raises(aiohttp.ClientConnectionError):
        await web.chat_postMessage(channel="#alerts", text="lost")
    await slack.up()
    await web.chat_postMessage(channel="#alerts", text="after")
    assert [message.text for message in slack.channel("alerts").messages] == ["before", "after"]


async def test_mentions_that_slip_through_are_visible(slack: FakeSlack, web: AsyncWebClient) -> None:
    await web.chat_postMessage(
        channel="#alerts", text="x <!here>", blocks=[section("<!channel> <@U1|a>"), header("<!x>")]
    )
    assert slack.channel("alerts").messages[0].mentions == ["!here", "!channel", "@U1|a"]


BUTTON: dict[str, Any] = {"type": "button", "text": {"type": "plain_text", "text": "go"}, "url": "https://a.example/"}
CASES: list[tuple[Any, str]] = [
    ([header("a" * 151)], "less than 151"),
    ([section("a" * 3001)], "less than 3001"),
    ([section("😀" * 1501)], "less than 3001"),
    ([section("")], "more than 0"),
    ([{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}], "must be one of"),
    ([{"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": True}}], "additional property: emoji"),
    ([{"type": "section"}], "text or fields"),
    ([{"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 11}], "no more than 10"),
    ([{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}], "less than 2001"),
    ([{"type": "section", "text": {"type": "mrkdwn", "text": "x"}, "colour": "red"}], "additional property: colour"),
    ([{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 11}], "no more than 10"),
    ([{"type": "context", "elements": []}], "at least one"),
    ([{"type": "context"}], "missing required field: elements"),
    ([{"type": "actions", "elements": [BUTTON] * 26}], "no more than 25"),
    ([{"type": "actions", "elements": [BUTTON | {"action_id": "a"}] * 2}], "already exists"),
    ([{"type": "actions", "elements": [BUTTON | {"url": "javascript:alert(1)"}]}], "invalid url"),
    ([{"type": "actions", "elements": [BUTTON | {"url": "https://a/" + "b" * 3000}]}], "less than 3001"),
    ([{"type": "actions", "elements": [BUTTON | {"style": "pink"}]}], "must be one of"),
    ([{"type": "actions", "elements": [{"type": "select"}]}], "unsupported type: select"),
    ([{"type": "divider", "block_id": "a"}] * 2, "unique"),
    ([{"type": "divider"}] * 51, "no more than 50"),
    ([{"type": "heading"}], "unsupported type: heading"),
    (["text"], "must be an object"),
    ({"type": "divider"}, "must be an array"),
]


@pytest.mark.parametrize(("blocks", "problem"), CASES)
def test_blocks_that_slack_refuses_have_a_problem(blocks: Any, problem: str) -> None:
    assert problem in " ".join(rules.block_problems(blocks))


def test_good_blocks_have_none() -> None:
    image = {"type": "image", "image_url": "https://a.example/b.png", "alt_text": "a graph"}
    blocks = [
        header("a" * 150),
        section("a" * 3000),
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}], "accessory": BUTTON},
        {"type": "context", "elements": [{"type": "plain_text", "text": "x", "emoji": False}, image]},
        {
            "type": "actions",
            "block_id": "links",
            "elements": [BUTTON | {"action_id": "a"}, BUTTON | {"action_id": "b"}],
        },
        {"type": "divider"},
        {"type": "image", "image_url": "https://a.example/b.png", "alt_text": "x", "title": header("t")["text"]},
        {"type": "markdown", "text": "# x"},
    ]
    assert rules.block_problems(blocks) == []


async def test_blocks_too_long_together_are_refused(web: AsyncWebClient) -> None:
    few = [section("a" * 2500)] * 5
    await web.chat_postMessage(channel="#alerts", text="x", blocks=few)
    more = web.chat_postMessage(channel="#alerts", text="x", blocks=[*few, section("a" * 500)])
    assert await refused(more) == "msg_blocks_too_long"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({}, "no_text"),
        ({"text": "a" * 40_001}, "msg_too_long"),
        ({"text": "x", "blocks": "nonsense"}, "invalid_blocks_format"),
        ({"text": "x", "blocks": [{"type": "nonsense"}]}, "invalid_blocks"),
        ({"text": "x", "colour": "red"}, "invalid_arguments"),
        ({"text": "x", "reply_broadcast": True}, "invalid_arguments"),
    ],
)
async def test_messages_that_break_rules_are_refused(web: AsyncWebClient, args: dict[str, Any], error: str) -> None:
    assert await refused(web.api_call("chat.postMessage", json={"channel": "#alerts", **args})) == error


@pytest.mark.parametrize("text", ["a < b", "a & b", "<b>", "<!date^1^x>", "<javascript:x|y>", "&quot;"])
def test_markup_that_was_not_escaped_is_found(text: str) -> None:
    assert rules.markup_problems(text) != []


@pytest.mark.parametrize("text", ["a &lt; b &amp;&amp; c", "<https://a.example/?a&amp;b|x>", "<!date^1^{date}|then>"])
def test_markup_that_was_escaped_is_fine(text: str) -> None:
    assert rules.markup_problems(text) == []
