"""A post that waits for its time is not deaf: whatever happens meanwhile is shown at once."""

from __future__ import annotations

from pathlib import Path

from relay.planning import TELL_ONCE_IN
from tests.state import APPENDING, START, open_state, sqlite_engine, wire_alert

MANY = 15


async def test_a_new_alert_rings_at_once_while_the_next_full_list_waits(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path)) as state:
        group = [wire_alert(instance=f"db-{number}") for number in range(MANY)]
        await state.post(*group)
        assert await state.kinds() == ["new", "attach"]
        group[0] = wire_alert(firing=False, instance="db-0", ends=state.clock())
        await state.post(*group)
        assert await state.kinds() == ["edit"]  # the list follows within 15 minutes
        await state.post(*group, wire_alert("Worse", starts=state.clock()))
        assert "reply" in await state.kinds()


async def test_a_mail_tells_of_the_end_at_once_while_a_silence_waits_to_be_told(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities={"chat": APPENDING}) as state:
        alert = wire_alert(instance="db-1")
        await state.post(alert)
        await state.poll(silenced=[alert])
        assert await state.kinds() == ["new"]  # the first mail shows the silence already
        await state.poll(alert)
        assert await state.kinds() == ["new"]
        await state.poll(silenced=[alert])
        assert await state.kinds() == []  # told within 5 minutes
        await state.post(wire_alert(firing=False, instance="db-1", starts=START, ends=state.clock()))
        assert await state.kinds() == ["new"]


async def test_only_a_mail_about_a_silence_makes_the_next_one_wait(tmp_path: Path) -> None:
    async with open_state(sqlite_engine(tmp_path), capabilities={"chat": APPENDING}) as state:
        alert = wire_alert(instance="db-1")
        await state.post(alert)
        assert await state.kinds() == ["new"]
        await state.poll(silenced=[alert])
        assert await state.kinds() == ["new"]  # at once: the mail before told of an alert
        other = wire_alert("Other", starts=state.clock())
        await state.post(alert, other)
        assert await state.kinds() == ["new"]  # a new alert never waits
        await state.poll(alert, other)
        assert await state.kinds() == []
        state.clock.advance(TELL_ONCE_IN)
        assert await state.kinds() == ["new"]
