"""Whatever is posted is either refused with a reason or taken whole; a strange message never takes a good one along."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.alerts import NotAWebhookMessage, WebhookMessage
from relay.ingest.accept import Delivered, Source, acceptor
from relay.notification import IncidentView
from relay.server.reading import SMALL, Read, read_message
from relay.store.subjects import of_group
from tests.recorded import all_payloads
from tests.state import State, open_state, sqlite_engine, wire_alert, wire_body, wire_message

RECORDED = [json.loads(recorded.body) for recorded in all_payloads()]
ODD_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", "\x00", "\ud800", "\u202e", "a" * 5000, "{{ 7*7 }}", "</b>", "firing", "0001-01-01T00:00:00Z"]
    ),
    st.sampled_from(["2026-13-40T99:99:99Z", "9999-12-31T23:59:59Z", "-1", "1e309", "null"]),
)
ODD_NUMBERS = st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**30])
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), ODD_NUMBERS, st.floats(), ODD_TEXTS)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ODD_TEXTS, inner, max_size=3))
)


@given(body=st.one_of(st.binary(max_size=200), VALUES.map(lambda value: json.dumps(value).encode())))
@settings(deadline=None, max_examples=300)
def test_any_bytes_are_a_message_or_a_reason(body: bytes) -> None:
    read_or_reason(body)


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A recorded message in which one to three places hold something else, or nothing."""
    message: dict[str, Any] = json.loads(json.dumps(draw(st.sampled_from(RECORDED))))
    for _ in range(draw(st.integers(1, 3))):
        place: Any = message
        while True:
            key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
            inner = place[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                break
            place = inner
        if draw(st.booleans()):
            place[key] = draw(VALUES)
        elif len(place) > 1:
            del place[key]
    return message


@given(message=mutated(), escaped=st.booleans())
@settings(deadline=None, max_examples=300)
def test_the_short_way_of_reading_takes_nothing_that_the_long_way_reads_otherwise(
    message: dict[str, Any], escaped: bool
) -> None:
    plain = WebhookMessage.read_plain(_body(message, escaped))
    if plain is not None:
        assert read_or_reason(_body({**message, "padding": "x" * SMALL}, escaped)) == Read(plain)


def _body(message: dict[str, Any], escaped: bool) -> bytes:
    return json.dumps(message, ensure_ascii=escaped).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("odd", ["\0", "\ud800"])
def test_what_no_database_holds_goes_the_long_way(odd: str) -> None:
    alert = {**wire_alert(), "annotations": {"summary": f"a{odd}b"}}
    read = read_or_reason(json.dumps(wire_body(alert, key=f"a{odd}b")).encode())
    assert read is not None
    assert (read.message.alerts[0].annotations["summary"], read.message.group_key) == ("a\ufffdb", "a\ufffdb")
    assert read.message.raw_group_key == f"a{odd}b"


def test_recorded_messages_are_read_the_short_way() -> None:
    assert all(WebhookMessage.read_plain(recorded.body) for recorded in all_payloads())


@given(messages=st.lists(mutated(), min_size=1, max_size=4))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_mutation_of_a_recorded_message_is_stored_or_refused_and_harms_no_other(
    tmp_path_factory: Any, messages: list[dict[str, Any]]
) -> None:
    read = [found for message in messages if (found := read_or_reason(json.dumps(message).encode())) is not None]
    asyncio.run(take_together(tmp_path_factory.mktemp("fuzz"), read))


def read_or_reason(body: bytes) -> Read | None:
    try:
        return asyncio.run(read_message(body))
    except NotAWebhookMessage as error:
        reason = str(error)
    assert reason
    return None


async def take_together(folder: Path, read: list[Read]) -> None:
    """The messages wait together with a good one, which must be there afterwards; and every state can be shown."""
    async with open_state(sqlite_engine(folder)) as state:
        batch = acceptor(state.policy, state.new_id, state.clock)
        good = wire_message(wire_alert("Good"), key="good")
        waiting = [
            state.database.write_batched(batch, Delivered(source=Source(name="main", has_api=True), message=message))
            for message in [*(one.message for one in read), good]
        ]
        accepted = await asyncio.gather(*waiting)
        for one in accepted:
            await view_of(state, one.group)
        found = await view_of(state, accepted[-1].group)
        assert found is not None
        assert [alert.name for alert in found.firing] == ["Good"]


async def view_of(state: State, group: str) -> IncidentView | None:
    return await state.database.read(of_group, group, state.clock())
