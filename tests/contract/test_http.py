"""The HTTP channel against a service that answers by script: every status, garbage, silence, and no secret told."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from relay.channels.http import HttpChannel, HttpContent
from relay.channels.http_options import HttpOptions
from relay.config import load
from relay.notification import AlertState, DeliveryError, Notice, Sent
from relay.rendering import Renderer
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts
from tests.fakes.gateway import Answer, FakeGateway

TOKEN = "s3cr3t-token-value"
KEY = "another+secret/key"
DOCS = Path(__file__).parents[2] / "docs" / "channels" / "http.md"
ENVIRONMENT = {
    "SMS_TOKEN": TOKEN,
    "TEAMS_WORKFLOW_URL": "https://teams.example.org/hook",
    "MATTERMOST_HOOK": "https://chat.example.org/hooks/x",
    "NTFY_TOKEN": TOKEN,
    "NTFY_TOPIC": "ops-topic",
}
POISON = '"}],\r\nX-Evil: 1\0</td><script>&to=%2B1&@channel {{ 7 * 7 }} \u2028🔥'

Make = Callable[..., HttpChannel]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


@pytest.fixture
def make(gateway: FakeGateway, session: aiohttp.ClientSession) -> Make:
    def make_channel(**options: Any) -> HttpChannel:
        url = f"{gateway.url}/hooks/{TOKEN}?key={KEY}&n=1"
        base = {"type": "http", "url": url, "headers": {"Authorization": f"Bearer {TOKEN}"}}
        return HttpChannel(
            name="hook",
            options=HttpOptions.model_validate(base | options),
            renderer=Renderer(),
            session=session,
            connect_seconds=1,
            total_seconds=0.5,
        )

    return make_channel


async def send(channel: HttpChannel, notice: Notice | None = None) -> Sent:
    return await channel.send(channel.render(notice or make_notice()))


async def fail(channel: HttpChannel, notice: Notice | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, notice)
    told = f"{caught.value} {caught.value.detail} {caught.value!r} {caught.value.__cause__!r}"
    for secret in (TOKEN, KEY, "/hooks/"):
        assert secret not in told
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value


@pytest.mark.parametrize("state", [AlertState.RESOLVED, AlertState.UNREPORTED])
def test_the_default_body_says_how_it_ended(make: Make, state: AlertState) -> None:
    body = make().render(make_notice(make_incident_view(make_alert_view(state=state)))).body
    assert json.loads(body)["status"] == state.value


async def test_the_default_body_tells_everything_as_json(gateway: FakeGateway, make: Make) -> None:
    view = make_incident_view(
        make_alert_view(acked_by="anna", state=AlertState.SILENCED),
        make_alert_view("HostDown", state=AlertState.RESOLVED),
    )
    await send(make(), make_notice(view))
    (request,) = gateway.journal
    assert request.method == "POST"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    body = request.json
    assert body["status"] == "firing"
    assert body["severity"] == "critical"
    assert body["changes"]["fired"] == [view.alerts[0].code]
    assert [alert["state"] for alert in body["alerts"]] == ["silenced", "resolved"]
    assert [alert["ends_at"] for alert in body["alerts"]] == [None, "2025-11-21T03:47:00Z"]
    assert body["alerts"][0]["labels"] == dict(view.alerts[0].labels)
    assert body["sent_at"] == "2025-11-21T03:15:00Z"


async def test_the_same_message_has_the_same_key_and_the_next_another(gateway: FakeGateway, make: Make) -> None:
    channel = make()
    for revision in (1, 1, 2):
        await send(channel, make_notice(make_incident_view(revision=revision)))
    first, again, second = (request.headers["idempotency-key"] for request in gateway.journal)
    assert first == again != second


STATUSES = [code for code in range(200, 600) if code not in {204, 304}]  # those two have no body


@pytest.mark.parametrize("hundred", [2, 3, 4, 5])
async def test_every_status_is_what_the_docs_say(gateway: FakeGateway, make: Make, hundred: int) -> None:
    channel = make()
    for code in (code for code in STATUSES if code // 100 == hundred):
        gateway.script.append(Answer(status=code, body=f"echo {TOKEN}".encode()))
        if hundred == 2:
            assert (await send(channel)).remote == {"status": code}
            continue
        error = await fail(channel)
        assert f"HTTP {code}" in error.detail
        assert error.permanent is not (code in {408, 425, 429} or code >= 500)
        of_the_message = 400 <= code < 500 and code not in {401, 402, 403, 404, 405, 407, 408, 410, 425, 429}
        assert error.scope == ("post" if of_the_message else "destination")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (301, "rejected"),
        (400, "rejected"),
        (401, "unauthorized"),
        (403, "forbidden"),
        (404, "not_found"),
        (407, "unauthorized"),
        (408, "timeout"),
        (410, "not_found"),
        (413, "too_large"),
        (422, "rejected"),
        (425, "rate_limited"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "server_error"),
    ],
)
async def test_each_status_has_its_reason(gateway: FakeGateway, make: Make, status: int, reason: str) -> None:
    gateway.script.append(Answer(status=status))
    assert (await fail(make())).reason == reason


async def test_the_config_may_read_statuses_its_own_way(gateway: FakeGateway, make: Make) -> None:
    channel = make(statuses={"409": "ok", "402": "retry", "5xx": "permanent", "200": "permanent"})
    gateway.script.extend(Answer(status=code) for code in (409, 402, 500, 200))
    await send(channel)
    assert not (await fail(channel)).permanent
    assert (await fail(channel)).permanent
    assert (await fail(channel)).permanent


async def test_redirects_are_not_followed(gateway: FakeGateway, make: Make) -> None:
    for status in (301, 302, 303, 307, 308):
        gateway.script.append(Answer(status=status, headers={"Location": f"{gateway.url}/elsewhere"}))
        assert (await fail(make())).permanent
    assert len(gateway.journal) == 5
    assert not [request for request in gateway.journal if request.path == "/elsewhere"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("1.5", 1.5), ("999999999", 86_400.0), ("soon", None), ("-3", None), ("", None)],
)
async def test_retry_after_is_read(gateway: FakeGateway, make: Make, header: str, seconds: float | None) -> None:
    gateway.script.append(Answer(status=429, headers={"Retry-After": header}))
    assert (await fail(make())).retry_after == seconds


async def test_retry_after_may_be_a_date(gateway: FakeGateway, make: Make) -> None:
    channel = make()
    gateway.script.append(Answer(status=503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}))
    assert (await fail(channel)).retry_after == 0
    gateway.script.append(Answer(status=503, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}))
    assert (await fail(channel)).retry_after == 86_400


@pytest.mark.parametrize(
    "raw",
    [
        b"what?\r\n\r\n",
        b"\x16\x03\x01\xff\xff",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 100_000 + b"\r\n\r\n",
        b"",
    ],
)
async def test_garbage_and_half_heads_are_tried_again(gateway: FakeGateway, make: Make, raw: bytes) -> None:
    gateway.script.append(Answer(raw=raw))
    error = await fail(make())
    assert error.reason in {"server_error", "connection"}
    assert (error.scope, error.permanent) == ("destination", False)


async def test_a_success_whose_text_breaks_off_is_a_success(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhal"))
    await send(make())


async def test_a_refusal_whose_text_breaks_off_keeps_its_meaning(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"HTTP/1.1 429 Slow\r\nRetry-After: 9\r\nContent-Length: 1000\r\n\r\nhal"))
    error = await fail(make())
    assert (error.reason, error.retry_after) == ("rate_limited", 9)


async def test_an_endless_answer_is_not_read_to_its_end(gateway: FakeGateway, make: Make) -> None:
    head = b"HTTP/1.1 400 No\r\nContent-Length: 99999999\r\n\r\n"
    gateway.script.append(Answer(raw=head + b"x" * 200_000, hang=True))
    error = await fail(make())
    assert len(error.detail) < 300


async def test_a_reset_is_a_connection_error(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"", reset=True))
    error = await fail(make())
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)


async def test_no_answer_is_an_unknown_outcome(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"", hang=True))
    error = await fail(make())
    assert (error.reason, error.scope, error.permanent) == ("timeout", "destination", False)


async def test_no_service_is_a_connection_error(gateway: FakeGateway, make: Make) -> None:
    channel = make()
    assert "answers" in (await channel.check()).said
    await gateway.stop()
    assert (await fail(channel)).reason == "connection"
    with pytest.raises(DeliveryError) as caught:
        await channel.check()
    assert TOKEN not in str(caught.value)


async def test_check_sends_nothing_and_so_rules_out_little(gateway: FakeGateway, make: Make) -> None:
    assert (await make().check()).rules_out == {"connection"}
    assert not gateway.journal


async def test_cancelling_a_call_ends_it(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"", hang=True))
    channel = make()
    task = asyncio.create_task(send(channel))
    await gateway.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await send(channel)


async def test_an_echoed_secret_is_masked_and_the_rest_is_told(gateway: FakeGateway, make: Make) -> None:
    echo = f"no such number; path /hooks/{TOKEN}?key={KEY}, escaped \\/hooks\\/{TOKEN}, auth Bearer {TOKEN}"
    gateway.script.append(Answer(status=400, body=echo.encode()))
    error = await fail(make())
    assert "no such number" in error.detail


async def test_an_answer_full_of_blanks_before_a_secret_shows_no_half_of_it(gateway: FakeGateway, make: Make) -> None:
    for blanks in range(1985, 2001):
        gateway.script.append(Answer(status=400, body=b" " * blanks + TOKEN.encode()))
        assert "s3cr" not in (await fail(make())).detail


def test_no_name_of_the_channel_holds_a_secret(make: Make) -> None:
    channel = make()
    for told in (channel.destination, channel.account, repr(channel), repr(channel.render(make_notice()))):
        assert TOKEN not in told
        assert KEY not in told
    assert channel.destination != make(url="http://127.0.0.1/other").destination


async def test_get_has_no_body(gateway: FakeGateway, make: Make) -> None:
    await send(make(method="GET"))
    assert gateway.journal[0].method == "GET"
    assert not gateway.journal[0].body


@pytest.mark.parametrize("body", ['{"text": {{ words.name }} }', "[1, 2", "{{ nothing.at.all }}", "{{ 1 / 0 }}"])
async def test_a_body_that_is_no_json_is_never_sent(gateway: FakeGateway, make: Make, body: str) -> None:
    error = await fail(make(body=body))
    assert (error.reason, error.scope, error.permanent) == ("template", "post", True)
    assert not gateway.journal


async def test_a_body_of_another_type_is_not_checked(gateway: FakeGateway, make: Make) -> None:
    await send(make(body="{{ words.name }} is {{ words.level }}", content_type="text/plain; charset=utf-8"))
    assert gateway.journal[0].body == b"DiskFull is critical"


async def test_poisoned_labels_stay_values(gateway: FakeGateway, make: Make) -> None:
    alert = make_alert_view(POISON, labels={POISON: POISON}, annotations={"summary": POISON})
    await send(make(title="{{ words.name }}"), make_notice(make_incident_view(alert)))
    (request,) = gateway.journal
    assert "x-evil" not in request.headers
    assert request.json["alerts"][0]["labels"][POISON] == POISON
    assert request.json["alerts"][0]["summary"] == POISON


async def test_a_storm_of_5000_alerts_is_one_body(gateway: FakeGateway, make: Make) -> None:
    await send(make(), make_notice(make_incident_view(*many_alerts(5000))))
    assert len(gateway.journal[0].json["alerts"]) == 5000


async def test_append_only_and_shown_as_a_file(make: Make) -> None:
    channel = make()
    assert not channel.capabilities.editable
    assert not channel.overflows(make_incident_view(*many_alerts(5000)))
    content = channel.render(make_notice())
    assert list(content.files) == ["body.json"]
    assert content.fingerprint == channel.render(make_notice()).fingerprint
    await channel.close()


# the worked examples of the docs


def example(name: str, folder: Path) -> HttpOptions:
    """The channel of this name in a block of the docs, through the real loader."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if name in yaml.safe_load(block)["channels"])
    path = folder / "relay.yml"
    rest = f"server: {{auth: {{bearer_token: letmein}}}}\nroutes: [{{channels: [{name}]}}]\n"
    path.write_text(rest + block, encoding="utf-8")
    options = load(path, ENVIRONMENT).channels[name]
    assert isinstance(options, HttpOptions)
    return options


@pytest.fixture(params=["ordinary", "poisoned", "resolved"])
def notice(request: pytest.FixtureRequest) -> Notice:
    poisoned = make_alert_view(POISON, labels={"instance": POISON}, annotations={"summary": POISON})
    views = {
        "ordinary": make_incident_view(),
        "poisoned": make_incident_view(poisoned, make_alert_view(), external_url="javascript:alert(1)"),
        "resolved": make_incident_view(make_alert_view(state=AlertState.RESOLVED)),
    }
    return make_notice(views[request.param])


@pytest.fixture
def rendered(session: aiohttp.ClientSession, tmp_path: Path, notice: Notice) -> Callable[[str], HttpContent]:
    def render(name: str) -> HttpContent:
        options = example(name, tmp_path)
        content = HttpChannel(name=name, options=options, renderer=Renderer(), session=session).render(notice)
        assert not content.problem
        return content

    return render


def test_the_sms_example_is_a_form_with_one_short_text(rendered: Callable[[str], HttpContent], notice: Notice) -> None:
    from urllib.parse import parse_qsl

    pairs = parse_qsl(rendered("sms").body.decode(), strict_parsing=True)
    assert [name for name, _ in pairs] == ["to", "text"]
    assert pairs[0][1] == "+4915112345678"
    assert len(pairs[1][1]) <= 150
    assert pairs[1][1].startswith("resolved" if not notice.view.open else "critical")


def test_the_teams_example_is_an_adaptive_card(rendered: Callable[[str], HttpContent], notice: Notice) -> None:
    (attachment,) = json.loads(rendered("teams").body)["attachments"]
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}
    assert len(card["body"]) == 2 + len(notice.view.alerts)
    assert all(action["url"].startswith("https://") for action in card["actions"])


def test_the_mattermost_example_calls_nobody(rendered: Callable[[str], HttpContent], notice: Notice) -> None:
    body = rendered("mattermost").body.decode()
    (attachment,) = json.loads(body)["attachments"]
    assert "@channel" not in json.dumps(json.loads(body), ensure_ascii=False)
    assert attachment["text"].strip()
    assert not attachment["title_link"].startswith("javascript")


def test_the_ntfy_example_rings_by_severity(rendered: Callable[[str], HttpContent], notice: Notice) -> None:
    body = json.loads(rendered("ntfy").body)
    assert body["topic"] == "ops-topic"
    assert body["priority"] == (5 if notice.view.open else 3)
    assert body["message"].strip()
