"""The Slack channel against its stand-in: what arrives, and what each refusal, nonsense and silence is taken for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from relay.channels.slack import SlackChannel
from relay.channels.slack_options import SlackConfig, SlackOptions
from relay.checked import KNOWN
from relay.demo import slack_rules as rules
from relay.demo.slack import WEBHOOK_SECRET, FakeSlack
from relay.demo.slack_state import Conversation, Rates
from relay.notification import Changes, DeliveryError, Kind, Notice
from relay.rendering import Renderer
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts

TOKEN = "xoxb-secret-marker"
RATES = Rates(post_burst=1000, update_burst=1000)
Open = Callable[..., SlackChannel]


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    fake = FakeSlack(token=TOKEN, rates=RATES)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer()


@pytest.fixture
async def open_channel(slack: FakeSlack, renderer: Renderer) -> AsyncIterator[Open]:
    opened: list[SlackChannel] = []

    def open_one(timeout: float = 10.0, token: str = TOKEN, **options: Any) -> SlackChannel:
        given = {"channel": "#alerts"} if "webhook_url" not in options else {}
        config = SlackConfig.model_validate({"bot_token": token, "api_url": slack.url})
        settings = SlackOptions.model_validate({"type": "slack", **given, **options})
        opened.append(SlackChannel("team", settings, config=config, renderer=renderer, timeout=timeout))
        return opened[-1]

    yield open_one
    for channel in opened:
        await channel.close()


@pytest.fixture
def bot(open_channel: Open) -> SlackChannel:
    return open_channel()


@pytest.fixture
def hook(open_channel: Open, slack: FakeSlack) -> SlackChannel:
    return open_channel(webhook_url=slack.webhook_url("alerts"))


async def send(channel: SlackChannel, notice: Notice) -> Any:
    return (await channel.send(channel.render(notice))).remote


async def failure(channel: SlackChannel, notice: Notice) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, notice)
    error = caught.value
    shown = f"{error} {error!r} {error.detail} {error.__cause__} {error.__context__}"
    assert TOKEN not in shown
    assert WEBHOOK_SECRET not in shown
    return error


def summary(error: DeliveryError) -> tuple[str, str, bool]:
    return error.reason, error.scope, error.permanent


# what arrives


async def test_an_incident_is_one_message_that_is_edited(slack: FakeSlack, bot: SlackChannel) -> None:
    remote = await send(bot, make_notice())
    assert remote == {"channel": slack.channel("alerts").id, "ts": slack.channel("alerts").messages[0].ts}
    acked = make_incident_view(make_alert_view(acked_by="anna"))
    assert await send(bot, make_notice(acked, Kind.EDIT, remote=remote)) == remote
    (message,) = slack.channel("alerts").messages
    assert len(message.edits) == 1
    assert "Acked by anna" in message.shown
    assert message.text.startswith("🔴 Critical: DiskFull")


async def test_a_reply_rings_in_the_channel_and_a_silent_one_only_in_the_thread(
    slack: FakeSlack, bot: SlackChannel
) -> None:
    remote = await send(bot, make_notice())
    more = make_alert_view(labels={"instance": "db-4"})
    notice = make_notice(kind=Kind.REPLY, remote=remote, changes=Changes(fired=(more,)))
    assert await send(bot, notice) == remote
    await send(bot, replace(notice, silent=True))
    _, loud, quiet = slack.channel("alerts").messages
    assert (loud.thread_ts, loud.broadcast) == (remote["ts"], True)
    assert (quiet.thread_ts, quiet.broadcast) == (remote["ts"], False)
    assert "new, critical: *DiskFull* · node · db-4" in loud.shown


async def test_a_farewell_is_the_last_edit(slack: FakeSlack, bot: SlackChannel) -> None:
    remote = await send(bot, make_notice())
    view = replace(make_incident_view(), alerts=())
    await send(bot, make_notice(view, Kind.FAREWELL, remote=remote))
    assert "No longer shown here." in slack.channel("alerts").messages[0].shown


async def test_a_list_too_long_for_a_message_follows_as_a_file_in_the_thread(
    slack: FakeSlack, bot: SlackChannel
) -> None:
    view = make_incident_view(*many_alerts(5000))
    assert bot.overflows(view)
    assert not bot.overflows(make_incident_view(*many_alerts(10)))
    remote = await send(bot, make_notice(view))
    assert await send(bot, make_notice(view, Kind.ATTACH, remote=remote)) == remote
    (reply,) = slack.channel("alerts").thread(remote["ts"])
    (file,) = reply.files
    assert file.content is not None
    listed = file.content.decode()
    assert all(f"instance=db-{number}:9100 " in listed for number in range(5000))
    assert not reply.broadcast
    assert "and 4990 more" in slack.channel("alerts").messages[0].shown


async def test_a_plain_message_has_no_blocks_and_an_edit_removes_them(slack: FakeSlack, bot: SlackChannel) -> None:
    remote = await send(bot, make_notice())
    await send(bot, make_notice(kind=Kind.EDIT, remote=remote, plain=True))
    (message,) = slack.channel("alerts").messages
    assert message.blocks == []
    assert "DiskFull" in message.text
    assert "<" not in message.text
    assert "*" not in message.text


async def test_a_webhook_only_appends(slack: FakeSlack, hook: SlackChannel) -> None:
    assert not hook.capabilities.editable
    assert not hook.capabilities.attachable
    remote = await send(hook, make_notice())
    more = make_alert_view(labels={"instance": "db-4"})
    again = make_notice(make_incident_view(make_alert_view(), more), remote=remote, changes=Changes(fired=(more,)))
    await send(hook, again)
    first, second = slack.channel("alerts").messages
    assert first.blocks
    assert "new, critical: *DiskFull* · node · db-4" in second.shown
    assert summary(await failure(hook, make_notice(kind=Kind.EDIT, remote=remote))) == ("gone", "post", True)


async def test_a_message_of_before_the_webhook_became_a_bot_counts_as_gone(bot: SlackChannel) -> None:
    notice = make_notice(kind=Kind.EDIT, remote={"webhook": True})
    assert summary(await failure(bot, notice)) == ("gone", "post", True)


async def test_edits_go_to_the_channel_of_the_message_whatever_the_config_says_now(
    slack: FakeSlack, bot: SlackChannel, open_channel: Open
) -> None:
    remote = await send(bot, make_notice())
    moved = open_channel(channel="#oncall")
    await send(moved, make_notice())
    await send(moved, make_notice(kind=Kind.EDIT, remote=remote))
    assert len(slack.channel("alerts").messages[0].edits) == 1


async def test_a_message_in_a_former_channel_is_known_as_such_once_the_present_one_has_an_id(
    bot: SlackChannel, open_channel: Open
) -> None:
    remote = await send(bot, make_notice())
    moved = open_channel(channel="#oncall")
    assert not moved.is_elsewhere(remote)  # a name says nothing of an id
    await send(moved, make_notice())
    assert (moved.is_elsewhere(remote), bot.is_elsewhere(remote)) == (True, False)
    assert not moved.is_elsewhere({"webhook": True})


async def test_a_channel_that_answers_with_another_id_than_the_configs_is_no_other_channel(
    slack: FakeSlack, open_channel: Open
) -> None:
    shared = open_channel(channel="C000000009")
    slack.script.answer(200, b'{"ok": true, "channel": "C000000077", "ts": "1.1"}', "application/json")
    remote = await send(shared, make_notice())
    assert remote["channel"] == "C000000077"
    for channel in (shared, open_channel(channel="C000000009")):  # before and after a restart
        assert not channel.is_elsewhere(remote)
    assert open_channel(channel="C000000010").is_elsewhere(remote)


async def test_a_former_channel_that_is_gone_does_not_stop_the_present_one(
    slack: FakeSlack, bot: SlackChannel, open_channel: Open
) -> None:
    remote = await send(bot, make_notice())
    moved = open_channel(channel="#oncall")
    await send(moved, make_notice())
    slack.channel("alerts").archived = True
    notice = make_notice(kind=Kind.REPLY, remote=remote, changes=Changes(repeat=True))
    assert summary(await failure(moved, notice)) == ("gone", "post", True)
    assert summary(await failure(bot, notice)) == ("not_found", "destination", True)


# refusals

REFUSALS = [
    ("channel_not_found", ("not_found", "destination", True)),
    ("is_archived", ("not_found", "destination", True)),
    ("not_in_channel", ("forbidden", "destination", True)),
    ("restricted_action", ("forbidden", "destination", True)),
    ("restricted_action_read_only_channel", ("forbidden", "destination", True)),
    ("missing_scope", ("forbidden", "destination", True)),
    ("invalid_auth", ("unauthorized", "destination", True)),
    ("not_authed", ("unauthorized", "destination", True)),
    ("account_inactive", ("unauthorized", "destination", True)),
    ("token_revoked", ("unauthorized", "destination", True)),
    ("token_expired", ("unauthorized", "destination", True)),
    ("message_not_found", ("gone", "post", True)),
    ("cant_update_message", ("gone", "post", True)),
    ("edit_window_closed", ("gone", "post", True)),
    ("messages_tab_disabled", ("forbidden", "destination", True)),
    ("thread_not_found", ("gone", "post", True)),
    ("msg_too_long", ("too_large", "post", True)),
    ("msg_blocks_too_long", ("too_large", "post", True)),
    ("invalid_blocks", ("unparsable", "post", True)),
    ("no_text", ("unparsable", "post", True)),
    ("ratelimited", ("rate_limited", "destination", False)),
    ("internal_error", ("server_error", "destination", False)),
    ("fatal_error", ("server_error", "destination", False)),
    ("service_unavailable", ("server_error", "destination", False)),
    ("an_error_of_next_year", ("rejected", "post", True)),
    (f"no word at all {TOKEN}", ("server_error", "destination", False)),
]


@pytest.mark.parametrize(("error", "expected"), REFUSALS)
@pytest.mark.parametrize("kind", [Kind.NEW, Kind.EDIT, Kind.REPLY])
async def test_each_refusal_says_whose_failure_it_is(
    slack: FakeSlack, bot: SlackChannel, error: str, expected: tuple[str, str, bool], kind: Kind
) -> None:
    remote = None if kind is Kind.NEW else {"channel": "C000000001", "ts": "1.1"}
    slack.script.refuse(error)
    assert summary(await failure(bot, make_notice(kind=kind, remote=remote))) == expected


async def test_a_refused_plain_text_is_not_sent_plain_again(slack: FakeSlack, bot: SlackChannel) -> None:
    slack.script.refuse("invalid_blocks")
    assert summary(await failure(bot, make_notice(plain=True))) == ("rejected", "post", True)


WEBHOOK_REFUSALS = [
    (400, "invalid_payload", ("unparsable", "post", True)),
    (400, "no_text", ("unparsable", "post", True)),
    (400, "invalid_blocks", ("unparsable", "post", True)),
    (400, "too_many_attachments", ("too_large", "post", True)),
    (400, "something_else", ("rejected", "post", True)),
    (403, "invalid_token", ("unauthorized", "destination", True)),
    (403, "action_prohibited", ("forbidden", "destination", True)),
    (404, "no_service", ("not_found", "destination", True)),
    (404, "no_team", ("not_found", "destination", True)),
    (404, "channel_not_found", ("not_found", "destination", True)),
    (410, "no_service", ("not_found", "destination", True)),
    (410, "channel_is_archived", ("not_found", "destination", True)),
    (500, "rollup_error", ("server_error", "destination", False)),
    (302, "", ("server_error", "destination", False)),
    (200, "<html>sign in</html>", ("server_error", "destination", False)),
]


@pytest.mark.parametrize(("status", "text", "expected"), WEBHOOK_REFUSALS)
async def test_each_refusal_of_a_webhook_says_whose_failure_it_is(
    slack: FakeSlack, hook: SlackChannel, status: int, text: str, expected: tuple[str, str, bool]
) -> None:
    slack.script.answer(status, text.encode(), "text/plain", headers={"Location": "/"} if status == 302 else {})
    assert summary(await failure(hook, make_notice())) == expected


async def test_who_waits_is_told_how_long(slack: FakeSlack, bot: SlackChannel, hook: SlackChannel) -> None:
    slack.script.too_fast(7, times=2)
    for channel in (bot, hook):
        error = await failure(channel, make_notice())
        assert (*summary(error), error.retry_after) == ("rate_limited", "destination", False, 7.0)


@pytest.mark.parametrize(("header", "seconds"), [("soon", None), ("-1", None), ("nan", None), ("1e9", 3600.0)])
async def test_a_strange_retry_after_is_no_reason_to_wait_for_ever(
    slack: FakeSlack, bot: SlackChannel, header: str, seconds: float | None
) -> None:
    slack.script.answer(429, b"slow down", "text/plain", headers={"Retry-After": header})
    error = await failure(bot, make_notice())
    assert (error.reason, error.retry_after) == ("rate_limited", seconds)


# every status, nonsense, silence


def expected_of(status: int) -> tuple[str, ...]:
    """Reasons that make sense for a status without a word of Slack."""
    by_status = {401: "unauthorized", 403: "forbidden", 404: "not_found", 410: "not_found", 413: "too_large"}
    if status == 429:
        return ("rate_limited",)
    if status >= 500 or status < 400 or status == 408:
        return ("server_error",)
    return (by_status.get(status, "rejected"),)


STATUSES = [status for status in range(200, 600) if status not in (204, 205, 304)]


@pytest.mark.parametrize("which", ["bot", "hook"])
async def test_every_status_becomes_a_delivery_error(
    slack: FakeSlack, bot: SlackChannel, hook: SlackChannel, which: str
) -> None:
    channel = bot if which == "bot" else hook
    content = channel.render(make_notice())
    for status in STATUSES:
        slack.script.answer(status, b"<html>no</html>")
        with pytest.raises(DeliveryError) as caught:
            await channel.send(content)
        assert caught.value.reason in expected_of(status), status
    assert slack.script.faults == []


GARBAGE = [
    (b"", "application/json"),
    (b"", "text/html"),
    (b"<html>Bad gateway</html>", "text/html"),
    (b"<html>", "application/json"),
    (b'{"ok": true, "chan', "application/json"),
    (b"[1, 2]", "application/json"),
    (b"null", "application/json"),
    (b'"ok"', "application/json"),
    (b"17", "application/json"),
    (b"{}", "application/json"),
    (b'{"ok": "maybe"}', "application/json"),
    (b'{"ok": true}', "application/json"),
    (b'{"ok": true, "channel": 5, "ts": []}', "application/json"),
    (b'{"ok": false}', "application/json"),
    (b'{"ok": false, "error": {"a": 1}}', "application/json"),
    (b"\xff\xfe\x00", "application/json; charset=utf-8"),
    (b"{}", "application/json; charset=no-such-charset"),
    (b"plain words", "text/plain"),
    (b"\xff\xff", "text/plain; charset=utf-8"),
    (b"\x1f\x8b", "application/gzip"),
]


@pytest.mark.parametrize(("body", "content_type"), GARBAGE)
async def test_nonsense_is_a_failure_of_the_server(
    slack: FakeSlack, bot: SlackChannel, body: bytes, content_type: str
) -> None:
    slack.script.answer(200, body, content_type)
    assert summary(await failure(bot, make_notice())) == ("server_error", "destination", False)


@pytest.mark.parametrize("which", ["bot", "hook"])
@pytest.mark.parametrize(
    ("fault", "reason"), [("reset", "connection"), ("half", "connection"), ("hang", "timeout"), ("down", "connection")]
)
async def test_a_network_that_fails_is_told_apart(
    slack: FakeSlack, open_channel: Open, which: str, fault: str, reason: str
) -> None:
    options = {"webhook_url": slack.webhook_url("alerts")} if which == "hook" else {}
    channel = open_channel(timeout=0.3, **options)
    if fault == "down":
        await slack.down()
    else:
        getattr(slack.script, fault)()
    assert summary(await failure(channel, make_notice())) == (reason, "destination", False)


async def test_a_call_that_is_cancelled_stays_cancelled(slack: FakeSlack, bot: SlackChannel) -> None:
    slack.script.hang()
    call = asyncio.ensure_future(send(bot, make_notice()))
    await slack.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await send(bot, make_notice())


async def test_after_an_outage_the_same_channel_goes_on(slack: FakeSlack, bot: SlackChannel) -> None:
    await slack.down()
    await failure(bot, make_notice())
    await slack.up()
    assert await send(bot, make_notice())


async def test_nothing_is_sent_twice(slack: FakeSlack, bot: SlackChannel) -> None:
    slack.script.reset(after=True)
    slack.script.refuse("internal_error")
    await failure(bot, make_notice())
    await failure(bot, make_notice())
    assert len(slack.journal) == 2


# the document


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"])
async def test_an_upload_fails_as_one_call(slack: FakeSlack, bot: SlackChannel, method: str) -> None:
    remote = await send(bot, make_notice())
    notice = make_notice(kind=Kind.ATTACH, remote=remote)
    slack.script.answer(503, method=method)
    assert summary(await failure(bot, notice)) == ("server_error", "destination", False)
    slack.script.too_fast(3, method=method)
    assert (await failure(bot, notice)).retry_after == 3.0
    slack.script.reset(method=method)
    assert (await failure(bot, notice)).reason == "connection"
    await send(bot, notice)
    assert len(slack.channel("alerts").thread(remote["ts"])) == 1


async def test_a_bot_that_may_not_upload_goes_on_without_lists(slack: FakeSlack, bot: SlackChannel) -> None:
    view = make_incident_view(*many_alerts(20))
    remote = await send(bot, make_notice(view))
    slack.workspace.scopes.discard("files:write")
    error = await failure(bot, make_notice(view, Kind.ATTACH, remote=remote))
    assert summary(error) == ("forbidden", "post", True)
    assert "files:write" in error.detail
    assert not bot.overflows(view)


async def test_an_upload_address_that_is_none_is_nonsense(slack: FakeSlack, bot: SlackChannel) -> None:
    slack.script.answer(
        200, b'{"ok": true, "upload_url": "file:///etc"}', "application/json", method="files.getUploadURLExternal"
    )
    notice = make_notice(kind=Kind.ATTACH, remote={"channel": "C1", "ts": "1.1"})
    assert (await failure(bot, notice)).reason == "server_error"


# secrets, addresses, limits


async def test_no_secret_is_shown_anywhere(
    slack: FakeSlack, bot: SlackChannel, hook: SlackChannel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for channel in (bot, hook):
        slack.script.answer(500, f"{TOKEN} {WEBHOOK_SECRET}".encode())
        await failure(channel, make_notice())
        await send(channel, make_notice())
        shown = " ".join(
            [repr(channel), channel.destination, channel.account, str(channel.render(make_notice()).files)]
        )
        assert TOKEN not in shown
        assert WEBHOOK_SECRET not in shown
    ours = [record.getMessage() for record in caplog.records if not record.name.startswith("asyncio")]
    assert TOKEN not in str(ours)
    assert WEBHOOK_SECRET not in str(ours)


async def test_proxies_of_the_environment_are_not_used(
    slack: FakeSlack, open_channel: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert await send(open_channel(), make_notice())
    assert await send(open_channel(webhook_url=slack.webhook_url("alerts")), make_notice())


def test_destinations_are_told_apart(open_channel: Open, slack: FakeSlack) -> None:
    named, plain, other = (open_channel(channel=name) for name in ("#alerts", "alerts", "#oncall"))
    assert named.destination == plain.destination != other.destination
    assert named.account == other.account
    hooks = [open_channel(webhook_url=slack.webhook_url(name)) for name in ("alerts", "oncall")]
    assert hooks[0].destination != hooks[1].destination


def test_limits_are_slacks_own_unless_the_config_has_others(open_channel: Open, hook: SlackChannel) -> None:
    limits = open_channel().limits
    assert (limits.destination, limits.account) == (((1, 1.0),), ((50, 60.0),))
    slower = open_channel(limits={"per_second": 0.5, "per_minute": 10}).limits
    assert slower.destination == ((1, 2.0), (10, 60.0))
    assert hook.limits.account == ()


def test_a_channel_without_any_way_to_post_is_refused() -> None:
    options = SlackOptions(type="slack", channel="#alerts")
    with pytest.raises(ValueError, match="bot_token"):
        SlackChannel("team", options, config=SlackConfig(), renderer=Renderer())


# check


async def test_check_names_bot_workspace_and_channel(slack: FakeSlack, open_channel: Open) -> None:
    by_id = open_channel(channel=slack.channel("oncall").id)
    assert (await by_id.check()).said == f"@relay of Relay Demo writes to #oncall ({slack.channel('oncall').id})"
    assert "#alerts" in (sure := await open_channel().check()).said
    assert sure.rules_out == KNOWN | {"forbidden", "not_found"}
    assert slack.channel("oncall").messages == []


@pytest.mark.parametrize(
    ("field", "reason", "advice"), [("archived", "not_found", "archived"), ("member", "forbidden", "/invite")]
)
async def test_check_finds_channels_that_cannot_be_written_to(
    slack: FakeSlack, bot: SlackChannel, field: str, reason: str, advice: str
) -> None:
    setattr(slack.channel("alerts"), field, field == "archived")
    with pytest.raises(DeliveryError, match=advice) as caught:
        await bot.check()
    assert caught.value.reason == reason


async def test_direct_messages_with_a_person_need_no_invitation(slack: FakeSlack, open_channel: Open) -> None:
    slack.workspace.channels["anna"] = Conversation(id="D0ANNA0001", name="anna", member=False, person="U0ANNA0001")
    said = (await open_channel(channel="D0ANNA0001").check()).said
    assert said == "@relay of Relay Demo writes to a person (D0ANNA0001)"


async def test_check_says_what_it_could_not_see(slack: FakeSlack, open_channel: Open) -> None:
    assert "private or does not exist" in (await open_channel(channel="#secret").check()).said
    slack.workspace.scopes.discard("channels:read")
    assert "channels:read" in (unsure := await open_channel().check()).said
    assert unsure.rules_out == KNOWN  # whether it may write there is not known


async def test_check_fails_with_a_wrong_token(open_channel: Open) -> None:
    with pytest.raises(DeliveryError) as caught:
        await open_channel(token="xoxb-wrong").check()
    assert summary(caught.value) == ("unauthorized", "destination", True)


async def test_check_tries_a_webhook_without_posting(slack: FakeSlack, hook: SlackChannel, open_channel: Open) -> None:
    assert "answers" in (await hook.check()).said
    assert slack.channel("alerts").messages == []
    with pytest.raises(DeliveryError) as caught:
        await open_channel(webhook_url=f"{slack.webhook_url('alerts')}x").check()
    assert caught.value.reason == "unauthorized"


# poisoned texts

POISON = [
    "<!channel> <!here> <@U0ANNA> <#C1> <!subteam^S1>",
    "*bold* _it_ ~no~ `code` ```block```",
    "&lt;!channel&gt; &amp; & < >",
    "a\nb\r\n# headline\n^ small\n--\n---\n[x](https://evil.example/)",
    "\x00\x07\u202e\u2028 end",
    "<https://evil.example/|click> <!date^1^{date}|x>",
    '"\\' * 3000,
    "&" * 20_000,
    "😀" * 20_000,
    "😀&<" * 7000,
    "> quote",
    " ",
    "",
]


@pytest.mark.parametrize("poison", POISON)
@pytest.mark.parametrize("kind", list(Kind))
async def test_a_poisoned_text_is_shown_as_text(
    slack: FakeSlack, bot: SlackChannel, hook: SlackChannel, poison: str, kind: Kind
) -> None:
    alerts = [
        make_alert_view(
            labels={"alertname": poison, "instance": f"{number}{poison}", poison[:50] or "x": poison, "job": poison},
            annotations={
                "summary": poison,
                "description": poison + "!",
                "runbook_url": poison,
                "dashboard_url": poison,
            },
            generator_url=poison,
            acked_by=poison,
            ack_note=poison,
        )
        for number in range(15)
    ]
    view = make_incident_view(*alerts, alertmanager=poison, external_url=poison, group_labels={poison: poison})
    view = replace(view, several_alertmanagers=True, truncated=3)
    changes = Changes(
        fired=view.alerts, raised=view.alerts, resolved=view.alerts, acked=True, silenced=True, repeat=True
    )
    remote = None if kind is Kind.NEW else await send(bot, make_notice())
    notice = make_notice(view, kind, remote=remote, changes=changes)
    for variant in (notice, replace(notice, plain=True), replace(notice, silent=True)):
        await send(bot, variant)
        for message in slack.channel("alerts").messages:
            assert message.mentions == []
            texts = [message.text, *rules.mrkdwn_texts(message.blocks)]
            assert [found for text in texts for found in rules.markup_problems(text)] == []
            assert not any("<https://evil" in text for text in texts)
    if kind is Kind.NEW:
        await send(hook, notice)
