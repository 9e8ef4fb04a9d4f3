from __future__ import annotations

import contextlib
import time

import pytest

from relay.matchers import Matcher, MatcherError, format_matchers, parse_matcher, parse_matchers


def test_a_list_reads_with_and_without_braces() -> None:
    wanted = [Matcher("a", "b"), Matcher("c", "d", is_regex=True), Matcher("e", "f", is_equal=False)]
    for text in ('{a="b", c=~"d", e!="f"}', 'a="b",c=~"d",e!="f"', " { a = b , c =~ d , e != f , } "):
        assert parse_matchers(text.strip()) == wanted


def test_nothing_is_no_matcher() -> None:
    assert parse_matchers("") == parse_matchers("{}") == parse_matchers("  ") == []


@pytest.mark.parametrize(
    ("text", "labels", "verdict"),
    [
        ('a="x"', {"a": "x"}, True),
        ('a="x"', {"a": "xx"}, False),
        ('a="x"', {}, False),
        ('a=""', {}, True),
        ('a!="x"', {}, True),
        ('a=~".*"', {}, True),
        ('a=~".+"', {}, False),
        ('a!~".+"', {}, True),
        ('a=~"foo|bar"', {"a": "foobar"}, False),
        ('a=~"foo|bar"', {"a": "bar"}, True),
        ('a=~"foo"', {"a": "foo\n"}, False),
        ('a=~".*"', {"a": "two\nlines"}, False),
        ('a=~"(?s).*"', {"a": "two\nlines"}, True),
        ('a=~"(?i)foo"', {"a": "FOO"}, True),
        ('a=~"x(?i)foo"', {"a": "xFOO"}, True),
        (r'a=~"\\pL+"', {"a": "жук"}, True),
        (r'a=~"\\d"', {"a": "٣"}, False),
        (r'a=~"\\Qa.b\\E"', {"a": "a.b"}, True),
        (r'a=~"\\Qa.b\\E"', {"a": "axb"}, False),
        ('a="💩"', {"a": "💩"}, True),
    ],
)
def test_labels_match_as_in_alertmanager(text: str, labels: dict[str, str], verdict: bool) -> None:
    assert parse_matcher(text).matches(labels) is verdict


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=b c", "b c"),  # classic only
        ("a=", ""),  # classic only
        (r"a=\d+", r"\d+"),  # classic only
        (r'a="\d+"', r"\d+"),  # classic only: no escape of Go
        (r'a="\t"', r"\t"),  # both, and they differ: classic wins
        (r'a="\u0041"', r"\u0041"),  # both, and they differ
        (r'a="x\n\"y\""', 'x\n"y"'),  # both alike
        ("a='b'", "'b'"),  # classic only: single quotes are no quotes
    ],
)
def test_where_the_parsers_differ_the_classic_meaning_holds(text: str, value: str) -> None:
    assert parse_matchers(text) == [Matcher("a", value)]


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        ('"a.b"="c"', Matcher("a.b", "c")),
        ("a.b=c", Matcher("a.b", "c")),
        (r'"a b"=~"\u0041\x42\103"', Matcher("a b", "ABC", is_regex=True)),
        ("метка=значение", Matcher("метка", "значение")),
    ],
)
def test_names_beyond_the_classic_alphabet_read_by_the_newer_grammar(text: str, matcher: Matcher) -> None:
    assert parse_matchers(text) == [matcher]


@pytest.mark.parametrize(
    ("text", "position", "reason", "example"),
    [
        ("foo", 3, "=, !=, =~ or !~ is expected", 'foo="value"'),
        ("foo:bar baz", 8, "is expected", 'foo:bar="value"'),
        ("=x", 0, "label name", 'severity="critical"'),
        ("a=b,,c=d", 4, "label name", 'severity="critical"'),
        ('a="b', 2, "closing double quote", 'a="b"'),
        ('a="b" c="d"', 6, "a comma is missing", 'a="b"'),
        ("a.b=c d", 6, "double quotes", 'a.b"="c d"'),
        ("a.b=", 4, "a value is expected after =", 'a.b"="value"'),
        ('a=~"("', 3, "missing )", r'a=~"\\("'),
        (r'a=~"\d("', 3, "missing )", r'a=~"\\\\d\\("'),
        ("a=~*", 3, "no argument for repetition", r'a=~"\\*"'),
        (r"a=~x\C", 4, r"\C", r'a=~"x\\\\C"'),
        ('a="\ud800"', 3, "surrogate", 'severity="critical"'),
        ('"a"="b"}', 7, "closing brace", '"a"'),
        ('{"a"="b"', 8, "closing brace is missing", "a"),
        ('{"a"="b"} x', 10, "follow", "a"),
        ('"\\ud800"="b"', 0, "escape", 'severity="critical"'),
    ],
)
def test_an_error_names_place_and_reason_and_an_example(text: str, position: int, reason: str, example: str) -> None:
    with pytest.raises(MatcherError) as caught:
        parse_matchers(text)
    assert caught.value.position == position
    assert reason in caught.value.reason
    assert example.strip('"') in caught.value.example
    assert f"character {position + 1}:" in str(caught.value)
    assert parse_matchers(caught.value.example)


@pytest.mark.parametrize("text", ["", "{a=b}", "a=b}", "a=b,c=d", "{", "a"])
def test_one_matcher_is_exactly_one_and_has_no_braces(text: str) -> None:
    with pytest.raises(MatcherError):
        parse_matcher(text)
    assert parse_matcher('a="b,c=d"') == Matcher("a", "b,c=d")


@pytest.mark.parametrize(
    "pattern", ["(?=a)", "(?<!a)b", r"(a)\1", "a{1001}", "[", "a**", r"\C", "(?P<a-b>x)", "(?P<ж>x)"]
)
def test_what_alertmanager_cannot_compile_is_refused_here_too(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="RE2"):
        Matcher("a", pattern, is_regex=True)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_quoted_backslash_before_c_is_no_byte_escape() -> None:
    assert Matcher("a", r"\\C", is_regex=True).matches({"a": r"\C"})
    assert Matcher("a", r"\Q\C\E", is_regex=True).matches({"a": r"\C"})


def test_a_pattern_that_freezes_backtracking_engines_is_quick() -> None:
    matcher = Matcher("a", "(a+)+b|(a|a)*c|(.*)*x", is_regex=True)
    began = time.perf_counter()
    assert not matcher.matches({"a": "a" * 50_000})
    assert time.perf_counter() - began < 5


def test_reading_a_long_text_takes_time_in_proportion() -> None:
    began = time.perf_counter()
    for text in (
        'a="' + "\\" * 100_000,
        "a=" + " " * 100_000 + "b",
        '"' * 100_001,
        "a=b," * 20_000,
        'a="\\x41' + "x" * 200_000,
    ):
        with contextlib.suppress(MatcherError):
            parse_matchers(text)
    assert time.perf_counter() - began < 10


def test_a_lone_surrogate_in_a_label_does_not_break_matching() -> None:
    assert parse_matcher('a=~".+"').matches({"a": "\ud800"})
    assert not parse_matcher('a="x"').matches({"a": "\ud800"})


def test_writing_escapes_what_every_version_reads_alike() -> None:
    matchers = [Matcher("a", 'x"y\\z\n'), Matcher("b", "c|d", is_regex=True, is_equal=False), Matcher("a.b", "t\tu")]
    assert format_matchers(matchers) == r'{a="x\"y\\z\n", b!~"c|d", "a.b"="t' + "\t" + 'u"}'
    assert parse_matchers(format_matchers(matchers)) == matchers
    assert format_matchers([]) == "{}"


def test_matchers_are_values() -> None:
    assert Matcher("a", "b", is_regex=True) == Matcher("a", "b", is_regex=True)
    assert len({Matcher("a", "b"), Matcher("a", "b"), Matcher("a", "b", is_regex=True)}) == 2
    assert "RE2" not in repr(Matcher("a", "b", is_regex=True))
