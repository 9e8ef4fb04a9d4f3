"""The next morning, in the zone of the chat and over changes of the clock."""

from __future__ import annotations

import gettext
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from relay.bot.commands.silence_bounds import next_morning
from relay.bot.values import Person, Place, Request
from relay.clock import to_datetime


@pytest.mark.parametrize(
    ("zone", "now", "morning"),
    [
        ("Europe/Moscow", "2026-11-21T08:59", "2026-11-21T09:00"),
        ("Europe/Moscow", "2026-11-21T09:00", "2026-11-22T09:00"),
        ("Europe/Moscow", "2026-12-31T23:30", "2027-01-01T09:00"),
        ("Europe/Berlin", "2026-03-28T22:00", "2026-03-29T09:00"),  # an hour is skipped in between
        ("Europe/Berlin", "2026-10-24T22:00", "2026-10-25T09:00"),  # one comes twice
    ],
)
def test_until_nine_is_nine_oclock_where_the_chat_is(zone: str, now: str, morning: str) -> None:
    here = ZoneInfo(zone)
    nobody = Person(id=1, name="", signature="", role=None, language="en")
    place = Place(
        chat_id=1, private=True, thread_id=None, channels=frozenset(), scope=frozenset(), language="en", zone=here
    )
    at = int(datetime.fromisoformat(now).replace(tzinfo=here).timestamp() * 1000)
    texts = gettext.NullTranslations()
    found = next_morning(Request(person=nobody, place=place, texts=texts, own_texts=texts, now=at))
    assert to_datetime(found).astimezone(here).isoformat(timespec="minutes")[:16] == morning
