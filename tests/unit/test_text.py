"""Text as Telegram measures and formats it."""

import time

import pytest

from relay.text import Entity, checked_link, cut, one_line, parse_html, sendable, utf16_len


def parsed(source: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and of each entity its type and what it covers."""
    text, entities = parse_html(source)
    raw = text.encode("utf-16-le")
    return text, [(one.type, raw[one.offset * 2 : one.end * 2].decode("utf-16-le")) for one in entities]


@pytest.mark.parametrize(("text", "length"), [("", 0), ("abc", 3), ("ночь", 4), ("🔥", 2), ("a🔥b", 4), ("👩‍🚒", 5)])
def test_length_counts_utf16_units(text: str, length: int) -> None:
    assert utf16_len(text) == length


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<b>x</b>", "x", [("bold", "x")]),
        ("<strong>x</strong><em>y</em>", "xy", [("bold", "x"), ("italic", "y")]),
        ("<ins>x</ins><del>y</del>", "xy", [("underline", "x"), ("strikethrough", "y")]),
        ('<span class="tg-spoiler">x</span><span>y</span>', "xy", [("spoiler", "x")]),
        ("<code>x</code>\n<pre>y</pre>", "x\ny", [("code", "x"), ("pre", "y")]),
        ("<blockquote>x</blockquote>", "x", [("blockquote", "x")]),
        ("<blockquote expandable>x</blockquote>", "x", [("expandable_blockquote", "x")]),
        ('🔥 <a href="https://example.org/?a=1&amp;b=2">x</a>', "🔥 x", [("text_link", "x")]),
        ("<b>x <i>y</i></b>", "x y", [("bold", "x y"), ("italic", "y")]),
        ("<B>x</B>", "x", [("bold", "x")]),
    ],
)
def test_every_tag_of_telegram_becomes_its_entity(source: str, text: str, entities: list[tuple[str, str]]) -> None:
    assert parsed(source) == (text, entities)


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<h1>x</h1> <unknown a=1>y</unknown>", "x y", []),
        ("x<br>y<br/>z", "x\ny\nz", []),
        ("<!-- nothing --><b>x", "x", [("bold", "x")]),
        ("x</b></i>", "x", []),
        ("<b><i>x</b>y</i>", "xy", [("bold", "x"), ("italic", "x")]),
        ("a < b && c > d", "a < b && c > d", []),
        ("&lt;b&gt; &amp;amp; &#128293; &mdash; &nosuch; &#xD800;", "<b> &amp; 🔥 — &nosuch; \ufffd", []),
        ("", "", []),
        ("<", "<", []),
        ("<b", "<b", []),
    ],
)
def test_faulty_markup_costs_formatting_and_never_text(source: str, text: str, entities: list[tuple[str, str]]) -> None:
    assert parsed(source) == (text, entities)


@pytest.mark.parametrize(
    ("source", "entities"),
    [
        ("<b>x <code>y</code> z</b>", [("bold", "x"), ("code", "y"), ("bold", "z")]),
        ("<code>x <b>y</b></code>", [("code", "x y")]),
        ('<a href="https://example.org"><code>x</code></a>', [("text_link", "x")]),
        ("<blockquote>x <code>y</code></blockquote>", [("blockquote", "x y"), ("code", "y")]),
        ("<blockquote>x <blockquote expandable>y</blockquote></blockquote>", [("blockquote", "x y")]),
        ("<b>x<b>y</b></b>", [("bold", "xy")]),
        ("<i> </i><b>  x </b>", [("bold", "x")]),
    ],
)
def test_entities_nest_only_as_telegram_allows(source: str, entities: list[tuple[str, str]]) -> None:
    assert parsed(source)[1] == entities


def test_code_in_pre_names_its_language() -> None:
    assert parse_html('<pre><code class="language-yaml">a: 1</code></pre>') == (
        "a: 1",
        (Entity(type="pre", offset=0, length=4, language="yaml"),),
    )


def test_surrounding_blanks_go_and_offsets_follow() -> None:
    assert parse_html(" \n🔥 <b>x</b>\n ") == ("🔥 x", (Entity(type="bold", offset=3, length=1),))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a?b=c#d",
        "http://10.0.0.1:9090",
        "http://[::1]/",
        "mailto:ops@example.org",
        "tg://user?id=1",
    ],
)
def test_a_link_with_a_place_to_go_stays(url: str) -> None:
    assert checked_link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "/relative",
        "https://",
        "http://[broken",
        "http://host:port/",
        "https://a b.example",
        "https://example.org/\u00a0txt",
        "mailto:nobody",
        "file:///etc/passwd",
        "https://example.org/" + "x" * 3000,
    ],
)
def test_any_other_link_becomes_text(url: str) -> None:
    assert checked_link(url) is None
    assert parse_html(f'<a href="{url}">x</a>') == ("x", ())


def test_what_telegram_strips_is_stripped_before_offsets_are_counted() -> None:
    assert sendable("a\r\nb\rc\0d\x07e\u202ef\ud800g") == "a\nb\nc d ef\ufffdg"
    assert sendable("\u2067db-3\u2069 97 %") == "db-3 97 %"
    assert parsed("a\u202e<b>b\0c</b>") == ("ab c", [("bold", "b c")])


def test_a_text_that_fits_is_not_cut() -> None:
    entities = (Entity(type="bold", offset=0, length=4),)
    assert cut("🔥🔥", entities, 4) == ("🔥🔥", entities)


def test_a_cut_ends_with_an_ellipsis_and_splits_no_pair() -> None:
    assert [cut("a🔥b🔥", (), limit)[0] for limit in range(7)] == ["", "…", "a…", "a…", "a🔥…", "a🔥b…", "a🔥b🔥"]


def test_a_cut_shortens_the_entities_it_meets_and_drops_those_behind() -> None:
    entities = (Entity(type="bold", offset=0, length=9), Entity(type="code", offset=8, length=1))
    assert cut("123 567 9", entities, 6) == ("123 5…", (Entity(type="bold", offset=0, length=5),))
    assert cut("123 567 9", entities, 5) == ("123…", (Entity(type="bold", offset=0, length=3),))


def test_one_line_squeezes_blanks_and_control_characters() -> None:
    assert one_line(" a\r\n\tb\0c  d ", 100) == "a b c d"
    assert one_line("abcdef", 4) == "abc…"


@pytest.mark.parametrize(
    "source",
    [
        "<" * 100_000,
        "<a " * 100_000,
        "<!--" * 50_000,
        "<b>" * 50_000 + "x",
        "<b>x" * 20_000,
        "&#" * 100_000,
        "🔥<i>" * 20_000,
    ],
)
def test_hostile_markup_takes_no_longer_than_its_length_deserves(source: str) -> None:
    begin = time.process_time()
    parse_html(source)
    assert time.process_time() - begin < 5
