"""The client where Alertmanager misbehaves, the guard, the links, and large answers in slices."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote

import aiohttp
import pytest

from relay.alertmanager import (
    Alertmanager,
    AlertmanagerRefused,
    AlertmanagerUnreachable,
    Features,
    alert_link,
    guard,
    silence_link,
    silence_view_link,
)
from relay.alertmanager.answers import read_silence
from relay.alertmanager.decoding import decode_list
from relay.clock import HOUR, MINUTE
from relay.clusters import AlertmanagerConfig
from relay.demo.alertmanager import FakeAlertmanager
from relay.matchers import Matcher, parse_matchers
from relay.metrics import ENDPOINTS, REQUEST_OUTCOMES

NOW = 1_800_000_000_000
SECRET = "s3cret-Marker"


class Wall:
    now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Wall:
    return Wall()


@pytest.fixture
async def first(clock: Wall) -> AsyncIterator[FakeAlertmanager]:
    fake = FakeAlertmanager(clock=clock)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def second(clock: Wall) -> AsyncIterator[FakeAlertmanager]:
    fake = FakeAlertmanager(clock=clock)
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def requests() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
async def connect(clock: Wall, requests: Counter[tuple[str, str]]) -> AsyncIterator[Callable[..., Alertmanager]]:
    async with aiohttp.ClientSession() as session:

        def to(*peers: FakeAlertmanager, **options: Any) -> Alertmanager:
            config = {"name": "main", "urls": [peer.url for peer in peers], **options}
            timeout = aiohttp.ClientTimeout(total=3)

            def count(endpoint: str, outcome: str) -> None:
                assert endpoint in ENDPOINTS
                assert outcome in REQUEST_OUTCOMES
                requests[endpoint, outcome] += 1

            return Alertmanager(AlertmanagerConfig.model_validate(config), session, count, clock, timeout=timeout)

        yield to


async def silenced(client: Alertmanager, comment: str = "why") -> str:
    return await client.create_silence([Matcher("alertname", "Down")], NOW, NOW + HOUR, "anna", comment)


async def test_only_one_peer_is_asked_while_it_answers(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    client = connect(first, second)
    for _ in range(3):
        await client.alerts()

    assert len(first.journal) == 6
    assert second.journal == []


@pytest.mark.parametrize(
    "trouble",
    [
        lambda fake: fake.script.answer(500, b'"oops"'),
        lambda fake: fake.script.answer(
            503, b"Limit of concurrent GET requests reached (8), try again later.", "text/plain"
        ),
        lambda fake: fake.script.answer(502, b"<html>Bad Gateway</html>", "text/html"),
        lambda fake: fake.script.answer(200, b"<html>Please log in</html>", "text/html"),
        lambda fake: fake.script.answer(404, b"404 page not found", "text/plain"),
        lambda fake: [fake.script.reset() for _ in range(2)],  # aiohttp itself asks a second time
        lambda fake: fake.script.hang(),
    ],
    ids=["500", "503", "gateway", "login page", "wrong path", "reset", "hang"],
)
async def test_a_failing_peer_is_replaced_and_the_next_one_kept(
    trouble: Callable[[FakeAlertmanager], object], first: FakeAlertmanager, second: FakeAlertmanager,
    connect: Callable[..., Alertmanager],
) -> None:  # fmt: skip
    client = connect(first, second)
    trouble(first)

    assert (await client.alerts()).peer == second.url
    asked = len(first.journal)
    assert (await client.alerts()).peer == second.url
    assert len(first.journal) == asked


async def test_the_start_belongs_to_the_peer_that_listed(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager], clock: Wall
) -> None:
    clock.now += HOUR
    await second.stop()
    await second.start()
    first.script.answer(500, path="alerts")

    listing = await connect(first, second).alerts()

    assert (listing.peer, listing.started_at, listing.asked_at) == (second.url, NOW + HOUR, NOW + HOUR)


async def test_a_listing_whose_peer_does_not_tell_its_start_has_none(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.put_alert({"alertname": "Down"})
    for _ in range(2):
        first.script.answer(500, path="status")

    listing = await connect(first, second).alerts()

    assert (len(listing), listing.status, listing.started_at) == (1, None, None)
    assert second.journal == []


async def test_a_broken_connection_is_tried_once_more(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager], requests: Counter[tuple[str, str]]
) -> None:
    first.script.reset()
    first.script.reset()  # aiohttp itself asks a second time
    client = connect(first)
    await client.receivers()

    assert requests["receivers", "ok"] == 1


async def test_a_peer_that_hangs_is_not_waited_for_twice(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager], requests: Counter[tuple[str, str]]
) -> None:
    first.script.hang()

    with pytest.raises(AlertmanagerUnreachable, match="no answer in time"):
        await connect(first).receivers()

    assert requests == {("receivers", "timeout"): 1}


async def test_when_no_peer_answers_each_ones_trouble_is_told(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    client = connect(first, second)
    await first.stop()
    for _ in range(2):
        second.script.answer(502, b"<html>nginx</html>", "text/html")

    with pytest.raises(AlertmanagerUnreachable) as caught:
        await client.alerts()

    assert re.search(rf"{first.url}: .*(refused|connect)", caught.value.detail)
    assert f"{second.url}: 502 Bad Gateway" in caught.value.detail
    assert "nginx" not in caught.value.detail


async def test_an_alertmanager_with_too_much_to_do_says_so_itself(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    for _ in range(2):
        first.script.answer(503, b"Limit of concurrent GET requests reached (8), try again later.\n", "text/plain")

    with pytest.raises(
        AlertmanagerRefused, match=r"503: Limit of concurrent GET requests reached \(8\), try again later\."
    ):
        await connect(first).alerts()


async def test_a_redirect_is_not_followed_with_our_credentials(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.script.answer(301, headers={"Location": f"{second.url}/api/v2/alerts"})

    with pytest.raises(AlertmanagerRefused, match="give the address that it leads to"):
        await connect(first, auth={"bearer_token": SECRET}).alerts()

    assert second.journal == []


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[{}]", b'[{"labels":', b"[1 2]", b"\xff\xfe", b'[{"labels":{"a":"b"},"fingerprint":"f"}]']
)
async def test_an_answer_that_is_no_list_of_alerts_is_never_taken_for_an_empty_one(
    body: bytes, first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.script.answer(200, body)

    with pytest.raises(AlertmanagerUnreachable, match="not what an Alertmanager says"):
        await connect(first).alerts_matching(())


async def test_one_odd_alert_spoils_the_list_rather_than_going_missing(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    good = {"labels": {"a": "b"}, "fingerprint": "f", "status": {"state": "active"}}
    first.script.answer(200, json.dumps([good, {**good, "startsAt": "yesterday"}]).encode())

    with pytest.raises(AlertmanagerUnreachable, match="startsAt"):
        await connect(first).alerts_matching(())


async def test_fields_that_came_after_025_may_be_missing_or_unknown(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    alert = {
        "labels": {"a": "b"},
        "fingerprint": "f",
        "status": {"state": "active", "silencedBy": None, "new": 1},
        "x": {},
    }
    first.script.answer(200, json.dumps([alert]).encode())

    (listed,) = await connect(first).alerts_matching(())

    assert (listed.silenced_by, listed.receivers, listed.starts_at) == ((), (), None)


@pytest.mark.parametrize("fault", ["reset", "hang", "answer"])
async def test_a_silence_is_not_made_twice_when_its_answer_is_lost(
    fault: str, first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    options: dict[str, Any] = {"method": "POST", "after": True}
    if fault == "answer":
        first.script.answer(504, b"late", "text/html", **options)
    else:
        getattr(first.script, fault)(**options)

    made = await silenced(connect(first))

    assert list(first.silences) == [made]


@pytest.mark.parametrize("fault", ["reset", "hang"])
async def test_a_silence_that_was_not_stored_is_made_after_a_look(
    fault: str, first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    getattr(first.script, fault)(method="POST")

    made = await silenced(connect(first))

    assert list(first.silences) == [made]
    assert [method for method, _ in first.journal] == ["POST", "GET", "POST"]


async def test_another_silence_alike_but_for_its_comment_is_not_taken_for_ours(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    client = connect(first)
    other = await silenced(client, "another")
    first.script.reset(method="POST")

    made = await silenced(client)

    assert set(first.silences) == {other, made}
    assert made != other


@pytest.mark.parametrize(("status", "body"), [(500, b'"oops"'), (200, b'[{"id":"i"}]'), (200, b"[[]]")])
async def test_when_nobody_can_tell_whether_a_silence_was_stored_that_is_said(
    status: int, body: bytes, first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.script.reset(method="POST", after=True)
    for _ in range(2):
        first.script.answer(status, body, method="GET")

    with pytest.raises(AlertmanagerUnreachable, match="whether the silence was stored is unknown") as caught:
        await silenced(connect(first))

    assert caught.value.uncertain
    assert [method for method, _ in first.journal].count("POST") == 1


async def test_a_silence_goes_to_the_second_peer_when_the_first_breaks_in_the_middle(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.script.reset(method="POST")
    client = connect(first, second)

    made = await silenced(client)

    assert first.silences == {}
    assert list(second.silences) == [made]


async def test_a_peer_that_fails_before_and_after_makes_no_second_silence(
    first: FakeAlertmanager, second: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    for _ in range(3):
        first.script.answer(500, b'"disk full"', method="POST")
        second.script.answer(500, b'"disk full"', method="POST")

    with pytest.raises(AlertmanagerRefused, match="disk full"):
        await silenced(connect(first, second))

    assert [method for method, _ in first.journal + second.journal].count("POST") == 3


async def test_extending_keeps_what_we_do_not_know(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager], clock: Wall
) -> None:
    client = connect(first)
    made = await client.create_silence([Matcher("b", "1"), Matcher("a", "2")], NOW, NOW + HOUR, "anna", "c", {"k": "v"})
    clock.now += MINUTE

    assert await client.extend(made, NOW + 2 * HOUR) == made

    stored = first.silences[made]
    assert (stored.annotations, stored.starts_at, stored.ends_at) == ({"k": "v"}, NOW, NOW + 2 * HOUR)
    assert [matcher["name"] for matcher in stored.matchers] == ["b", "a"]


async def test_a_lone_surrogate_in_a_comment_does_not_stop_a_silence(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    made = await silenced(connect(first), "half \ud83d emoji")

    assert first.silences[made].comment == "half \ufffd emoji"


@pytest.mark.parametrize("auth", [{"bearer_token": SECRET}, {"basic": {"username": "anna", "password": SECRET}}])
@pytest.mark.parametrize("status", [400, 401, 403, 500])
async def test_a_server_that_echoes_our_credentials_does_not_get_them_into_errors(
    auth: dict[str, Any], status: int, first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    encoded = base64.b64encode(f"anna:{SECRET}".encode()).decode()
    for _ in range(2):
        first.script.answer(status, f"Authorization: {SECRET} {encoded}".encode(), "text/plain")
    client = connect(first, auth=auth)

    with pytest.raises(AlertmanagerRefused) as caught:
        await client.alerts()

    said = f"{caught.value} {caught.value!r} {client!r} {client.config!r}"
    assert "***" in said
    assert SECRET not in said
    if "basic" in auth:
        assert encoded not in said


async def test_a_cancelled_question_stays_cancelled(
    first: FakeAlertmanager, connect: Callable[..., Alertmanager]
) -> None:
    first.script.hang()
    task = asyncio.create_task(connect(first).alerts())
    while not first.journal:  # noqa: ASYNC110  until it has arrived
        await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("version", "features"),
    [
        ("0.25.0", Features()),
        ("0.28.1+ds", Features(utf8_names=True)),
        ("v0.32.0-rc.0", Features(utf8_names=True, silence_annotations=True)),
        ("1.0.0", Features(utf8_names=True, silence_annotations=True)),
        ("", Features()),
        ("(unknown)", Features()),
    ],
)
def test_features_follow_the_version(version: str, features: Features) -> None:
    assert Features.of(version) == features


def test_a_silence_whose_expression_we_cannot_read_is_shown_but_not_judged() -> None:
    said = {"id": "i", "status": {"state": "active"}, "matchers": [{"name": "a", "value": "(?<!x)y", "isRegex": True}]}

    silence = read_silence(said)

    assert silence.unreadable == ("a=~(?<!x)y",)
    assert not silence.mutes({"a": "y"})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "no matcher"),
        ('alertname!="x"', "left alone"),
        ('a!="", b!~"x|y"', "left alone"),
        ('a=~".*"', "without the label"),
        ('a="", b=""', "without the label"),
        ('a="", b!="c"', "fit"),
        ('a=~".+"', "almost any value"),
        ('a=~"[a-z]+", b!="c"', "almost any value"),
        ('a=~"[A-Za-z0-9_-]+"', "almost any value"),
        ('a=~"(?i)[a-z].*"', "almost any value"),
    ],
)
def test_the_guard_says_why_a_silence_reaches_too_far(text: str, part: str) -> None:
    assert part in (guard(parse_matchers(text)) or "")


@pytest.mark.parametrize(
    "text",
    [
        'alertname="Down"',
        'alertname="Down", a=~".+"',
        'a=~"db-.+"',
        'a!="x", b="y"',
        'a=~"Node.*|Disk.*"',
        r'a=~"10\\.0\\..*"',
    ],
)
def test_the_guard_lets_a_selective_silence_pass(text: str) -> None:
    assert guard(parse_matchers(text)) is None


def test_an_alert_link_narrows_the_page_to_the_alert() -> None:
    link = alert_link("https://am.example.org/x/", {"alertname": "Down", "path": 'C:\\a "b"&c#d'})

    assert link.startswith(
        "https://am.example.org/x/#/alerts?silenced=true&inhibited=true&muted=true&active=true&filter=%7B"
    )
    assert unquote(link.rpartition("filter=")[2]) == '{alertname="Down", path="C:\\\\a \\"b\\"&c#d"}'


def test_an_alert_link_leaves_out_what_the_page_cannot_read() -> None:
    assert unquote(alert_link("http://am", {"a b": "x", "k8s.pod": "y"})).endswith('filter={k8s.pod="y"}')


def test_a_silence_link_fills_in_the_form() -> None:
    link = silence_link("http://am", parse_matchers('a=~"x|y", b!="z"'), "disk & swap")

    assert link is not None
    assert "&comment=disk%20%26%20swap" in link
    assert unquote(link).startswith('http://am/#/silences/new?filter={a=~"x|y", b!="z"}')


def test_there_is_no_silence_link_rather_than_one_that_mutes_more() -> None:
    assert silence_link("http://am", [Matcher("a", "x"), Matcher("b c", "y")]) is None
    assert silence_link("http://am", []) is None


def test_a_silence_has_a_page() -> None:
    assert silence_view_link("http://am/", "1-2") == "http://am/#/silences/1-2"


@pytest.mark.parametrize("body", ["[]", " [ ] ", "null\n", '[1, "é💥", {"a": [2]}]', "[\n1\n,\n2\n]\n"])
async def test_slices_decode_what_json_decodes(body: str) -> None:
    assert list(await decode_list(body.encode(), lambda said: said, slice_seconds=0)) == (json.loads(body) or [])


@pytest.mark.parametrize("body", ["", "{}", "[1,]", "[1", "[1 2]", "[,]", '["a]', "nul"])
async def test_a_broken_list_is_an_error(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await decode_list(body.encode(), lambda said: said)


async def test_a_large_list_leaves_the_loop_to_others() -> None:
    items = list(range(2_000))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    neighbour = asyncio.create_task(others())
    decoded = await decode_list(json.dumps(items).encode(), lambda said: said, slice_seconds=0)
    neighbour.cancel()

    assert list(decoded) == items
    assert turns >= len(items) - 1


async def test_a_character_across_two_pieces_stays_whole() -> None:
    text = "x" * (1024 * 1024 - 3) + "💥"

    assert await decode_list(json.dumps([text], ensure_ascii=False).encode(), lambda said: said) == (text,)
