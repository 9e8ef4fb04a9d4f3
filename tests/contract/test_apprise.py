"""The Apprise channel with Apprise itself, towards a service on loopback."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from relay.channels.apprise import AppriseChannel
from relay.channels.apprise_options import AppriseOptions
from relay.notification import AlertState, DeliveryError, Notice, Sent
from relay.rendering import Renderer
from tests import programs
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts
from tests.fakes.gateway import Answer, FakeGateway

TOKEN = "s3cr3t-token-value"
POISON = "<b>x\r\nX-Evil: 1\0{{ 7 * 7 }}🔥"

Make = Callable[..., AppriseChannel]


@pytest.fixture
def installed() -> None:
    if importlib.util.find_spec("apprise") is None:
        raise programs.missing("apprise", "the extra [apprise]")


@pytest.fixture
def make(gateway: FakeGateway, installed: None) -> Make:
    def make_channel(*, seconds: float = 10, **options: Any) -> AppriseChannel:
        base = {"type": "apprise", "url": f"json://anna:{TOKEN}@127.0.0.1:{gateway.port}/{TOKEN}?cto=1&rto=1"}
        return AppriseChannel(
            name="other", options=AppriseOptions.model_validate(base | options), renderer=Renderer(), seconds=seconds
        )

    return make_channel


async def send(channel: AppriseChannel, notice: Notice | None = None) -> Sent:
    return await channel.send(channel.render(notice or make_notice()))


async def fail(channel: AppriseChannel) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel)
    assert TOKEN not in f"{caught.value} {caught.value!r} {channel!r} {channel.destination} {channel.account}"
    return caught.value


async def test_a_message_arrives_with_title_text_and_kind(gateway: FakeGateway, make: Make) -> None:
    await send(make())
    body = gateway.journal[0].json
    assert body["title"] == "🔴 Critical: DiskFull"
    assert "Disk /var on db-3 is 97 % full" in body["message"]
    assert body["type"] == "failure"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"state": AlertState.RESOLVED}, "success"),
        ({"state": AlertState.UNREPORTED}, "info"),
        ({"labels": {"severity": "warning"}}, "warning"),
        ({"labels": {"severity": "info"}}, "info"),
        ({"labels": {"severity": "error"}}, "failure"),
    ],
)
def test_the_kind_follows_severity_and_state(make: Make, values: dict[str, Any], kind: str) -> None:
    view = make_incident_view(make_alert_view(**values))
    assert make().render(make_notice(view)).kind == kind


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 429, 500, 503])
async def test_every_failure_is_tried_again_since_apprise_does_not_tell_why(
    gateway: FakeGateway, make: Make, status: int
) -> None:
    gateway.script.append(Answer(status=status, body=TOKEN.encode()))
    error = await fail(make())
    assert (error.reason, error.scope, error.permanent) == ("server_error", "destination", False)


@pytest.mark.parametrize(
    "answer", [Answer(raw=b"what?\r\n\r\n"), Answer(raw=b"", reset=True), Answer(raw=b"HTTP/1.1 2")]
)
async def test_garbage_is_a_failure_too(gateway: FakeGateway, make: Make, answer: Answer) -> None:
    gateway.script.append(answer)
    assert (await fail(make())).reason == "server_error"


async def test_a_hanging_service_is_given_up(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"", hang=True))
    error = await fail(make(seconds=0.2))
    assert (error.reason, error.scope, error.permanent) == ("timeout", "destination", False)


async def test_cancelling_a_call_ends_it(gateway: FakeGateway, make: Make) -> None:
    gateway.script.append(Answer(raw=b"", hang=True))
    task = asyncio.create_task(send(make()))
    await gateway.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_no_service_is_a_failure(gateway: FakeGateway, make: Make) -> None:
    channel = make()
    assert "json" in (await channel.check()).said
    await gateway.stop()
    assert (await fail(channel)).reason == "server_error"
    await channel.close()


async def test_poisoned_labels_stay_text(gateway: FakeGateway, make: Make) -> None:
    alert = make_alert_view(POISON, labels={POISON: POISON}, annotations={"summary": POISON})
    await send(make(title="{{ words.name }} {{ labels.instance }}"), make_notice(make_incident_view(alert)))
    (request,) = gateway.journal
    assert "x-evil" not in request.headers
    assert "{{ 7 * 7 }}🔥" in request.json["title"]
    assert "\n" not in request.json["title"]


def test_a_storm_names_the_worst_and_counts_the_rest(make: Make) -> None:
    content = make().render(make_notice(make_incident_view(*many_alerts(5000))))
    assert "5000 firing" in content.body
    assert "and 4990 more" in content.body
    assert len(content.body) < 3000
    assert list(content.files) == ["message.txt"]


@pytest.mark.expects_errors  # Apprise's own line, with all but two letters of the address left out
def test_an_address_that_apprise_does_not_know_stops_the_start(make: Make) -> None:
    with pytest.raises(ValueError, match="Apprise understands") as caught:
        make(url=f"nonsense://{TOKEN}")
    assert TOKEN not in str(caught.value)


WITHOUT = """
import sys
sys.modules["apprise"] = None  # as if it were not installed
from relay.channels.apprise import AppriseChannel
from relay.channels.apprise_options import AppriseOptions
from relay.rendering import Renderer
options = AppriseOptions.model_validate({"type": "apprise", "url": "json://127.0.0.1"})
try:
    AppriseChannel(name="other", options=options, renderer=Renderer())
except ValueError as error:
    print(error)
"""


def test_without_the_extra_the_start_says_what_to_install() -> None:
    said = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=programs.ROOT, capture_output=True, text=True, check=True
    )
    assert "pip install '.[apprise]'" in said.stdout
