"""Silences from the chat on real Alertmanagers: the whole flow by button and by command, read back from the API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.alerts import fingerprint_of
from relay.clock import HOUR
from relay.demo.telegram import Message
from tests.bot_relay import ANNA, BORIS, CHAT, EVE, VERA, BotRelay, captions, code_in, open_bot_relay
from tests.relay_process import fire
from tests.servers import AlertmanagerStarter
from tests.state import wire_alert

NOBODY = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"
ONE = {"alertname": "DiskFull", "severity": "critical", "instance": "db-1", "job": "node"}
TWO = {**ONE, "instance": "db-2"}


class Silences:
    """A relay with its bot, and the Alertmanagers it asks."""

    def __init__(self, bot: BotRelay, urls: list[str]) -> None:
        self.bot = bot
        self.urls = urls

    async def fire(self, *alerts: dict[str, str], cluster: int = 0) -> Message:
        """Alertmanager has them, and a webhook brought them; the message."""
        await fire(self.urls[cluster], *alerts)
        known = len(self.bot.messages)
        now = int(time.time() * 1000)
        wire = [
            {**wire_alert(starts=now), "labels": labels, "fingerprint": fingerprint_of(labels)} for labels in alerts
        ]
        path = "/webhook" if len(self.urls) == 1 else f"/webhook/am-{cluster}"
        await self.bot.post(*wire, path=path, key=str(known))
        await self.bot.telegram.until(lambda: len(self.bot.messages) > known)
        return self.bot.messages[known]

    async def listed(self, cluster: int = 0, state: str = "active") -> list[dict[str, Any]]:
        """What the API says."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.urls[cluster]}/api/v2/silences") as answer:
            return [one for one in await answer.json() if one["status"]["state"] == state]

    async def walk(self, message: Message, length: str = "1h", user: int = ANNA) -> Message:
        """From the alert's button to the labels."""
        known = len(self.bot.messages)
        await self.bot.press(message, "Silence", user)
        await self.bot.telegram.until(lambda: len(self.bot.messages) > known)
        draft = self.bot.messages[known]
        await self.bot.press(draft, length, user)
        await self.bot.telegram.until(lambda: "Preview" in captions(draft))
        return draft

    async def confirm(self, draft: Message, user: int = ANNA) -> None:
        await self.bot.press(draft, "Confirm", user)
        await self.bot.telegram.until(lambda: "Undo" in captions(draft))

    async def preview(self, draft: Message, user: int = ANNA) -> None:
        await self.bot.press(draft, "Preview", user)
        await self.bot.telegram.until(lambda: "Confirm" in captions(draft))


@asynccontextmanager
async def open_silences(folder: Path, urls: list[str], **sections: Any) -> AsyncIterator[Silences]:
    clusters = [{"name": f"am-{index}", "urls": [url], "poll": 0} for index, url in enumerate(urls)]
    async with open_bot_relay(folder, alertmanagers=clusters, **sections) as bot:
        yield Silences(bot, urls)


@pytest.fixture
async def chat(tmp_path: Path, start_alertmanager: AlertmanagerStarter) -> AsyncIterator[Silences]:
    async with open_silences(tmp_path, [start_alertmanager(NOBODY)]) as running:
        yield running


async def test_a_silence_is_made_in_three_taps_and_undone_in_one(chat: Silences) -> None:
    message = await chat.fire(ONE, TWO)
    draft = await chat.walk(message)
    assert '☑ alertname="DiskFull"' in captions(draft)
    assert '☐ instance=~"db-1|db-2"' in captions(draft)
    await chat.preview(draft)
    assert "This hits 2 firing alerts now." in draft.text
    assert '{alertname="DiskFull", job="node", severity="critical"}' in draft.text
    before = time.time()
    await chat.confirm(draft)
    [made] = await chat.listed()
    assert made["createdBy"] == "anna"
    assert made["comment"] == "Silenced from Telegram"
    assert [(one["name"], one["value"], one["isRegex"]) for one in made["matchers"]] == [
        ("alertname", "DiskFull", False),
        ("job", "node", False),
        ("severity", "critical", False),
    ]
    ends = time.mktime(time.strptime(made["endsAt"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
    assert 3590 < ends - before < 3620
    await chat.bot.telegram.until(lambda: "🔕" in message.text and "anna" in message.text)
    await chat.bot.press(draft, "Undo")
    await chat.bot.telegram.until(lambda: "Silence ended by anna" in draft.text)
    assert await chat.listed() == []
    await chat.bot.telegram.until(lambda: "🔕" not in message.text)


async def test_labels_are_switched_and_length_and_reason_are_written(chat: Silences) -> None:
    message = await chat.fire(ONE, TWO)
    known = len(chat.bot.messages)
    await chat.bot.press(message, "Silence")
    await chat.bot.telegram.until(lambda: len(chat.bot.messages) > known)
    draft = chat.bot.messages[known]
    await chat.bot.press(draft, "Other…")
    question = await chat.bot.answer_to(draft.id)
    labels = await chat.bot.ask(ANNA, "90m", reply_to=question.id)
    await chat.bot.press(labels, '☐ instance=~"db-1|db-2"')
    await chat.bot.telegram.until(lambda: '☑ instance=~"db-1|db-2"' in captions(labels))
    await chat.bot.press(labels, '☑ job="node"')
    await chat.bot.telegram.until(lambda: '☐ job="node"' in captions(labels))
    await chat.preview(labels)
    await chat.bot.press(labels, "Reason…")
    question = await chat.bot.answer_to(labels.id)
    preview = await chat.bot.ask(ANNA, "deploying <b>v2</b>", reply_to=question.id)
    assert "deploying <b>v2</b>" in preview.text
    await chat.confirm(preview)
    [made] = await chat.listed()
    assert made["comment"] == "deploying <b>v2</b>"
    names = {one["name"]: one for one in made["matchers"]}
    assert set(names) == {"alertname", "severity", "instance"}
    assert names["instance"]["isRegex"]


async def test_taps_that_follow_at_once_all_count_and_only_what_was_shown_is_made(chat: Silences) -> None:
    draft = await chat.walk(await chat.fire(ONE))
    toggles = [caption for caption in captions(draft) if caption.startswith("☑ ")]
    assert len(toggles) == 4
    await asyncio.gather(*(chat.bot.press(draft, caption) for caption in toggles[1:]))
    await chat.bot.telegram.until(lambda: sum(one.startswith("☐ ") for one in captions(draft)) == 3)
    await chat.preview(draft)
    confirm = next(button["callback_data"] for row in draft.buttons for button in row if button["text"] == "Confirm")
    assert '{alertname="DiskFull"}' in draft.text
    await chat.bot.press(draft, "Labels")
    await chat.bot.telegram.until(lambda: "Preview" in captions(draft))
    await chat.bot.press(draft, '☐ job="node"')
    draft.buttons.append([{"text": "Old", "callback_data": confirm}])
    await chat.bot.press(draft, "Old")
    await chat.bot.telegram.until(lambda: '{alertname="DiskFull", job="node"}' in draft.text)
    await chat.bot.telegram.until(lambda: "Confirm" in captions(draft))
    assert await chat.listed() == []
    await asyncio.gather(chat.bot.press(draft, "Confirm"), chat.bot.press(draft, "Confirm"))
    await chat.bot.telegram.until(lambda: "Undo" in captions(draft))
    assert len(await chat.listed()) == 1


async def test_a_draft_belongs_to_the_person_who_opened_it(chat: Silences) -> None:
    draft = await chat.walk(await chat.fire(ONE))
    assert "Somebody else" in (await chat.bot.press(draft, "Preview", BORIS)).text
    assert str(EVE) in (await chat.bot.press(draft, "Preview", EVE)).text
    await chat.bot.press(draft, "Cancel")
    await chat.bot.telegram.until(lambda: "nothing was silenced" in draft.text)
    assert await chat.listed() == []


async def test_a_restart_in_the_middle_loses_nothing(chat: Silences) -> None:
    draft = await chat.walk(await chat.fire(ONE))
    await chat.bot.restart()
    await chat.preview(draft)
    await chat.bot.restart()
    await chat.confirm(draft)
    assert len(await chat.listed()) == 1
    await chat.bot.restart()
    await chat.bot.press(draft, "+1h")
    await chat.bot.telegram.until(lambda: "End" in captions(draft))


async def test_a_command_shows_what_it_would_hit_and_makes_exactly_that(chat: Silences) -> None:
    await chat.fire(ONE, TWO)
    preview = await chat.bot.ask(ANNA, '/silence 2h instance=~"db-[1-5]" alertname!=Other severity=critical -- "why"')
    assert "This hits 2 firing alerts now." in preview.text
    await chat.confirm(preview)
    [made] = await chat.listed()
    assert [(one["name"], one["value"], one["isRegex"], one["isEqual"]) for one in made["matchers"]] == [
        ("instance", "db-[1-5]", True, True),
        ("alertname", "Other", False, False),
        ("severity", "critical", False, True),
    ]
    assert made["comment"] == '"why"'


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("/silence soon alertname=X", "no duration"),
        ("/silence 2h", "Say which alerts"),
        ("/silence 2h a=~(", "/silence 2h"),
        ("/silence 2h nonsense", "/silence 2h"),
        ("/silence 48h alertname=X", "24h"),
        ("/silence 5s alertname=X", "minute"),
        ("/unsilence nope", "/unsilence skzrpt"),
        ("/unsilence sabcde", "/silences"),
        ("/extend sabcde soon", "/silences"),
    ],
)
async def test_what_cannot_be_read_is_one_line_with_an_example(chat: Silences, text: str, part: str) -> None:
    answer = await chat.bot.ask(ANNA, text)
    assert part in answer.text.replace("1d", "24h")
    assert "\n" not in answer.text
    assert await chat.listed() == []


@pytest.mark.parametrize("matchers", ["alertname!=Other", 'alertname=~".+"', "a!=b c!=d"])
async def test_a_silence_of_nearly_everything_needs_a_second_confirmation(chat: Silences, matchers: str) -> None:
    await chat.fire(ONE, TWO)
    preview = await chat.bot.ask(BORIS, f"/silence 1h {matchers}")
    await chat.bot.press(preview, "Confirm", BORIS)
    await chat.bot.telegram.until(lambda: "Really?" in preview.text)
    assert await chat.listed() == []
    await chat.bot.press(preview, "Yes, silence 2 alerts", BORIS)
    await chat.bot.telegram.until(lambda: "Undo" in captions(preview))
    assert len(await chat.listed()) == 1


async def test_silences_are_listed_prolonged_and_ended_with_all_else_kept(chat: Silences) -> None:
    await chat.fire(ONE)
    preview = await chat.bot.ask(BORIS, "/silence 1h job=node alertname=DiskFull -- why")
    await chat.confirm(preview, BORIS)
    [made] = await chat.listed()
    listing = await chat.bot.ask(VERA, "/silences why")
    assert "1 silence" in listing.text
    assert "boris: why" in listing.text
    code = captions(listing)[0].split()[0]
    assert "responder" in (await chat.bot.press(listing, f"{code} End", VERA)).text
    answer = await chat.bot.ask(ANNA, f"/extend {code} 2h")
    assert "Silenced until" in answer.text
    [later] = await chat.listed()
    assert {**later, "endsAt": "", "updatedAt": ""} == {**made, "endsAt": "", "updatedAt": ""}
    assert later["endsAt"] > made["endsAt"]
    assert "24h" in (await chat.bot.ask(ANNA, f"/extend {code} 22h")).text.replace("1d", "24h")
    answer = await chat.bot.ask(ANNA, f"/unsilence {code}")
    assert "Silence ended by anna" in answer.text
    assert await chat.listed() == []
    await chat.bot.press(answer, "Silence again")
    await chat.bot.telegram.until(lambda: "Silenced until" in answer.text)
    [again] = await chat.listed()
    assert again["matchers"] == made["matchers"]
    assert again["id"] != made["id"]
    await chat.bot.press(answer, "+1h", BORIS)
    await chat.bot.telegram.until(lambda: len(answer.edits) >= 2)
    [followed] = await chat.listed()
    assert followed["id"] == again["id"]
    assert followed["endsAt"] > again["endsAt"]
    assert "boris: why" in (await chat.bot.ask(VERA, f"/alert {code_in(chat.bot.messages[0])}")).text


async def test_an_alertmanager_that_is_away_keeps_the_draft(
    chat: Silences, start_alertmanager: AlertmanagerStarter
) -> None:
    draft = await chat.walk(await chat.fire(ONE))
    await chat.preview(draft)
    start_alertmanager.stop(chat.urls[0])
    await chat.bot.press(draft, "Confirm")
    await chat.bot.telegram.until(lambda: "cannot be reached" in draft.text)
    last = await chat.bot.ask(VERA, "/alerts")
    await chat.bot.telegram.until(lambda: "cannot be reached" in last.text)
    assert "This is what was known at " in last.text
    assert "DiskFull" in last.text
    assert "cannot be reached" in (await chat.bot.ask(VERA, "/status")).text
    start_alertmanager(NOBODY, port=int(chat.urls[0].rpartition(":")[2]))
    await fire(chat.urls[0], ONE)
    await chat.bot.press(draft, "Try again")
    await chat.bot.telegram.until(lambda: "Confirm" in captions(draft))
    await chat.confirm(draft)
    assert len(await chat.listed()) == 1


async def test_a_written_answer_from_before_an_outage_is_asked_for_again(chat: Silences) -> None:
    message = await chat.fire(ONE)
    draft = await chat.walk(message)
    await chat.preview(draft)
    await chat.bot.press(draft, "Reason…")
    question = await chat.bot.answer_to(draft.id)
    chat.bot.clock.by = 301_000  # what is written now arrives five minutes later
    chat.bot.telegram.user_sends(CHAT, ANNA, "just a remark", reply_to=message.id)
    assert (await chat.bot.ask(ANNA, "deploying", reply_to=question.id)).text == "I was away, please send it again."
    assert [one.text for one in chat.bot.messages].count("I was away, please send it again.") == 1
    chat.bot.clock.by = 0
    assert "deploying" in (await chat.bot.ask(ANNA, "deploying", reply_to=question.id)).text


async def test_silence_alone_asks_which_alerts(chat: Silences) -> None:
    await chat.fire(ONE, TWO)
    question = await chat.bot.ask(ANNA, "/silence")
    await chat.bot.press(question, "DiskFull ×2")
    draft = await chat.bot.answer_to(question.id)
    assert "15m" in captions(draft)


async def test_an_alert_that_no_webhook_brought_can_be_taken(chat: Silences) -> None:
    await fire(chat.urls[0], {"alertname": "Quiet", "severity": "info"})
    listing = await chat.bot.ask(VERA, "/alerts")
    assert "Quiet" in listing.text
    code = listing.text.split("\n")[2].split()[-1]
    assert (await chat.bot.ask(ANNA, f"/ack {code} mine now")).text == "anna has it: Quiet"
    assert "anna" in (await chat.bot.ask(VERA, "/alerts acked")).text
    assert "mine now" in (await chat.bot.ask(VERA, f"/alert {code}")).text
    assert (await chat.bot.ask(BORIS, f"/unack {code}")).text == "Given back: Quiet"


async def test_alerts_of_other_chats_are_named_in_the_preview(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    channels = {
        "chat": {"type": "telegram", "chat_id": CHAT},
        "managers": {"type": "telegram", "chat_id": -1009999},
    }
    routes = [{"matchers": ['instance="db-2"'], "channels": ["managers"]}, {"channels": ["chat"]}]
    async with open_silences(tmp_path, [start_alertmanager(NOBODY)], channels=channels, routes=routes) as chat:
        await chat.fire(ONE, TWO)
        preview = await chat.bot.ask(ANNA, "/silence 1h alertname=DiskFull")
        assert "1 of them is not routed to this chat: DiskFull" in preview.text
        assert (await chat.bot.ask(VERA, "/alerts")).text.startswith("1 alert ")
        assert (await chat.bot.ask(VERA, "/alerts all")).text.startswith("2 alerts")


async def test_of_two_clusters_the_right_one_is_silenced(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    urls = [start_alertmanager(NOBODY), start_alertmanager(NOBODY)]
    async with open_silences(tmp_path, urls) as chat:
        await chat.fire(TWO, cluster=0)
        message = await chat.fire(ONE, cluster=1)
        draft = await chat.walk(message)
        await chat.preview(draft)
        assert "am-1" in draft.text
        await chat.confirm(draft)
        assert (len(await chat.listed(0)), len(await chat.listed(1))) == (0, 1)
        choice = await chat.bot.ask(ANNA, "/silence 1h alertname=DiskFull")
        assert captions(choice)[:2] == ["am-0 (1)", "am-1 (1)"]
        await chat.bot.press(choice, "am-0 (1)")
        await chat.bot.telegram.until(lambda: "Confirm" in captions(choice))
        await chat.confirm(choice)
        assert (len(await chat.listed(0)), len(await chat.listed(1))) == (1, 1)
        assert "2 silences" in (await chat.bot.ask(VERA, "/silences")).text


UTF8 = {"alertname": "Диск полон", "имя метки": "x y", "severity": "critical"}


async def test_label_names_in_quotes_are_silenced_where_alertmanager_knows_them(
    chat: Silences, start_alertmanager: AlertmanagerStarter
) -> None:
    command = '/silence 1h "имя метки"="x y" -- деплой'
    if start_alertmanager.program.version < (0, 27):
        answer = await chat.bot.ask(ANNA, command)
        assert "Alertmanager am-0 0.25.0" in answer.text
        assert "does not know label names like “имя метки”; 0.27 does." in answer.text
        assert "Confirm" not in captions(answer)
        return
    message = await chat.fire(UTF8)
    preview = await chat.bot.ask(ANNA, command)
    assert "This hits 1 firing alert now." in preview.text
    assert '{"имя метки"="x y"}' in preview.text
    await chat.confirm(preview)
    [made] = await chat.listed()
    assert [(one["name"], one["value"]) for one in made["matchers"]] == [("имя метки", "x y")]
    assert made["comment"] == "деплой"
    await chat.bot.telegram.until(lambda: "🔕" in message.text)
    assert "1 silence" in (await chat.bot.ask(VERA, '/silences "имя метки"="x y"')).text
    assert "1 alert " in (await chat.bot.ask(VERA, '/alerts silenced "имя метки"=~"x.*"')).text
    await chat.bot.press(preview, "Undo")
    await chat.bot.telegram.until(lambda: "🔕" not in message.text)
    draft = await chat.walk(message)
    assert '☑ "имя метки"="x y"' in captions(draft)
    await chat.preview(draft)
    await chat.confirm(draft)
    [made] = await chat.listed()
    assert {one["name"]: one["value"] for one in made["matchers"]} == UTF8


async def test_the_list_of_silences_is_narrowed_by_words_and_by_matchers(chat: Silences) -> None:
    for matchers, reason in (("alertname=DiskFull", "deploy"), ('alertname=~"Disk.*" job=node', "migration")):
        await chat.confirm(await chat.bot.ask(BORIS, f"/silence 1h {matchers} -- {reason}"), BORIS)

    async def reasons(words: str) -> set[str]:
        text = (await chat.bot.ask(VERA, f"/silences {words}")).text
        return {reason for reason in ("deploy", "migration") if f": {reason}" in text}

    assert await reasons("") == {"deploy", "migration"}
    assert await reasons("MIGRA") == {"migration"}
    assert await reasons("boris disk") == {"deploy", "migration"}
    assert await reasons("alertname=DiskFull") == {"deploy"}  # word for word: the pattern that fits is another matcher
    assert await reasons('job="node" alertname=~"Disk.*" boris') == {"migration"}
    assert await reasons("job!=node") == set()
    assert "character" in (await chat.bot.ask(VERA, "/silences a=~(")).text


async def test_what_people_do_to_a_silence_is_in_the_timeline_of_every_incident_that_it_hits(chat: Silences) -> None:
    first, second = await chat.fire(ONE), await chat.fire(TWO)
    other = await chat.fire({"alertname": "Other", "severity": "critical"})
    draft = await chat.walk(first)
    await chat.bot.press(draft, '☑ instance="db-1"')
    await chat.bot.telegram.until(lambda: '☐ instance="db-1"' in captions(draft))
    await chat.preview(draft)
    await chat.confirm(draft)
    await chat.bot.press(draft, "+1h", BORIS)
    await chat.bot.telegram.until(lambda: "End" in captions(draft))
    await chat.bot.press(draft, "End")
    await chat.bot.telegram.until(lambda: "Silence ended by anna" in draft.text)
    for message in (first, second):
        details = (await chat.bot.ask(VERA, f"/alert {code_in(message)}")).text
        events = [line.partition(" ")[2] for line in details.splitlines() if '{alertname="DiskFull"' in line]
        assert [event.partition(":")[0] for event in events] == [
            "silenced by anna",
            "silence prolonged by boris",
            "silence ended by anna",
        ]
    assert "silence" not in (await chat.bot.ask(VERA, f"/alert {code_in(other)}")).text


async def test_a_draft_that_nobody_touched_for_an_hour_is_forgotten(chat: Silences) -> None:
    draft = await chat.walk(await chat.fire(ONE))
    await chat.preview(draft)
    chat.bot.clock.by += HOUR + 1
    assert "no longer works" in (await chat.bot.press(draft, "Confirm")).text
    assert await chat.listed() == []


async def test_only_lengths_that_the_role_may_choose_are_offered(
    tmp_path: Path, start_alertmanager: AlertmanagerStarter
) -> None:
    bounds = {"max_silence": {"responder": "1h"}}
    async with open_silences(tmp_path, [start_alertmanager(NOBODY)], bot=bounds) as chat:
        message = await chat.fire(ONE)
        offered = {}
        for user in (ANNA, BORIS):
            known = len(chat.bot.messages)
            await chat.bot.press(message, "Silence", user)
            await chat.bot.telegram.until(lambda known=known: len(chat.bot.messages) > known)  # type: ignore[misc]  # as default
            offered[user] = [one for one in captions(chat.bot.messages[known]) if one[0].isdigit()]
        assert offered == {ANNA: ["15m", "1h"], BORIS: ["15m", "1h", "2h", "4h", "24h"]}
        draft = chat.bot.messages[-2]
        draft.buttons.append([{**draft.buttons[0][0], "text": "Forged"}])
        forged = draft.buttons[-1][0]
        forged["callback_data"] = forged["callback_data"].replace(":d15m", ":d4h")
        await chat.bot.press(draft, "Forged")
        await chat.bot.telegram.until(lambda: "Your role may silence for 1h at most." in chat.bot.messages[-1].text)
