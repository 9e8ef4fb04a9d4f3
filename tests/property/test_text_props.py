"""Whatever comes in, Telegram's rules hold for what comes out."""

from hypothesis import example, given
from hypothesis import strategies as st

from relay.demo.telegram_rules import formatted
from relay.text import Entity, cut, one_line, parse_html, utf16_len

TAGS = ("b", "i", "u", "s", "code", "pre", "blockquote", "tg-spoiler", "nosuch")
PIECES = st.one_of(
    st.text(max_size=8),
    st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS]),
    st.sampled_from(
        ['<a href="https://example.org/x">', "<a href='nowhere'>", "</a>", "<blockquote expandable>", "<br>"]
    ),
    st.sampled_from(["🔥", "\n", " ", "\u202e", "&lt;", "&#128293;", "\ud800", "\0", "\r\n"]),
)
MARKUP = st.lists(PIECES, max_size=30).map("".join)


def as_request(text: str, entities: tuple[Entity, ...]) -> dict[str, object]:
    return {
        "text": text,
        "entities": [
            {"type": one.type, "offset": one.offset, "length": one.length} | ({"url": one.url} if one.url else {})
            for one in entities
        ],
    }


@given(MARKUP)
@example("<b>1<blockquote expandable>2<code>3")
@example("<b><blockquote><code>1</code>2</blockquote>3</b>")
def test_the_strict_rules_accept_all_that_parse_html_makes(source: str) -> None:
    text, entities = parse_html(f"x{source}")
    accepted, kept = formatted(as_request(text, entities))
    assert utf16_len(accepted) <= utf16_len(text)
    assert len(kept) == len(entities)


@given(MARKUP, st.integers(min_value=1, max_value=40))
def test_the_strict_rules_accept_all_that_cut_leaves(source: str, limit: int) -> None:
    text, entities = cut(*parse_html(f"x{source}"), limit)
    assert utf16_len(text) <= limit
    formatted(as_request(text, entities))


@given(st.text())
def test_text_without_markup_keeps_every_printable_character(source: str) -> None:
    escaped = source.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert [one for one in parse_html(escaped)[0] if one.isprintable() and one != " "] == [
        one for one in source if one.isprintable() and one != " "
    ]


@given(st.text(alphabet=st.characters(exclude_categories=[])), st.integers(min_value=0, max_value=20))
def test_one_line_is_one_line_within_its_limit(source: str, limit: int) -> None:
    line = one_line(source, limit)
    assert utf16_len(line) <= limit
    assert line.splitlines() in ([], [line])
    line.encode()
