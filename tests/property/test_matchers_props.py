from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.matchers import Matcher, MatcherError, format_matchers, parse_matcher, parse_matchers

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SYNTAX = st.text(st.sampled_from([*"ab=!~{},\"\\ \t\n.*+?()[]|'`1ж\u00a0\x1f", "💩"]), max_size=25)
NAMES = st.one_of(st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,5}", fullmatch=True), TEXT.filter(bool))


@st.composite
def plain_matchers(draw: st.DrawFn) -> Matcher:
    return Matcher(draw(NAMES), draw(TEXT), is_equal=draw(st.booleans()))


@given(st.lists(plain_matchers(), max_size=4))
def test_what_is_written_reads_back_as_the_same(matchers: list[Matcher]) -> None:
    assert parse_matchers(format_matchers(matchers)) == matchers
    for matcher in matchers:
        assert parse_matcher(str(matcher)) == matcher


@given(st.one_of(SYNTAX, st.text()))
def test_any_text_reads_or_is_refused_with_an_example_that_reads(text: str) -> None:
    refusal = None
    try:
        matchers = parse_matchers(text)
    except MatcherError as error:
        refusal = error
        matchers = parse_matchers(error.example)
        assert len(matchers) == 1
    assert parse_matchers(format_matchers(matchers)) == matchers
    assert refusal is None or 0 <= refusal.position <= len(text)


@given(SYNTAX, st.dictionaries(st.sampled_from(["a", "b", "ab"]), SYNTAX))
def test_a_matcher_and_its_negation_never_agree(text: str, labels: dict[str, str]) -> None:
    try:
        matchers = parse_matchers(text)
    except MatcherError:
        return
    for matcher in matchers:
        negated = Matcher(matcher.name, matcher.value, is_regex=matcher.is_regex, is_equal=not matcher.is_equal)
        assert matcher.matches(labels) is not negated.matches(labels)


@given(NAMES, st.text())
def test_a_missing_label_counts_as_an_empty_one(name: str, value: str) -> None:
    for is_equal in (True, False):
        matcher = Matcher(name, value, is_equal=is_equal)
        assert matcher.matches({}) is matcher.matches({name: ""})
