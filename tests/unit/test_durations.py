from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.clock import DAY, HOUR, MINUTE, SECOND
from relay.durations import format_duration, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("0", 0),
        ("0s", 0),
        ("90s", 90 * SECOND),
        ("1h30m", 90 * MINUTE),
        ("7d", 7 * DAY),
        ("1w", 7 * DAY),
        ("1y", 365 * DAY),
        ("1d12h", 36 * HOUR),
        ("250ms", 250),
        ("1m250ms", 60_250),
        (" 15m ", 15 * MINUTE),
        ("0001h", HOUR),
    ],
)
def test_durations_read_as_prometheus_reads_them(text: str, length: int) -> None:
    assert parse_duration(text) == length


@pytest.mark.parametrize(
    "text", ["", " ", "5", "-5m", "1.5h", "1m1h", "1m1m", "1h 30m", "5 m", "1H", "5min", "m", "٣m", "1h\n2m"]
)
def test_what_prometheus_refuses_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="1h30m"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["293y", "9" * 30 + "s", "9" * 10_000 + "ms", "292y52w"])
def test_a_duration_beyond_gos_is_refused_instead_of_wrapping(text: str) -> None:
    with pytest.raises(ValueError, match="at most 292y"):
        parse_duration(text)


def test_an_error_never_repeats_a_long_text() -> None:
    with pytest.raises(ValueError, match="duration") as caught:
        parse_duration("x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (1, "1ms"),
        (999, "999ms"),
        (45_999, "45s"),
        (90 * MINUTE, "1h30m"),
        (HOUR + 59 * SECOND, "1h"),
        (DAY + 5 * HOUR + 59 * MINUTE, "1d5h"),
        (17 * DAY, "2w3d"),
        (400 * DAY, "1y5w"),
    ],
)
def test_two_largest_units_are_shown(length: int, text: str) -> None:
    assert format_duration(length) == text


@given(st.integers(min_value=0, max_value=2**63 // 1_000_000 - 1))
def test_a_written_duration_reads_back_as_at_most_itself_and_nearly_that(length: int) -> None:
    again = parse_duration(format_duration(length))
    assert again <= length
    assert length - again < max(length / 7, SECOND)  # less than one of the second unit, at worst a day of a week


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 * 2**20),
        ("10 MB", 10**7),
        ("512", 512),
        ("512B", 512),
        ("1KiB", 1024),
        ("1kB".upper(), 1000),
        ("2GiB", 2**31),
    ],
)
def test_sizes_read_as_usual(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "64mib", "64 M", "10TB", "MiB", "1" * 40])
def test_an_odd_size_is_refused_with_the_way_to_write_it(text: str) -> None:
    with pytest.raises(ValueError, match="64MiB"):
        parse_size(text)
