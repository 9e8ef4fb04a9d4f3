"""What people write in a chat, taken apart: terms between blanks, matchers among them, words that are sought."""

from __future__ import annotations

import re

from relay.matchers import Matcher, parse_matcher

TERM = re.compile(r'(?:[^\s"]|"(?:[^"\\]|\\.)*")+')
"""What stands between blanks; blanks in quotes belong to it."""
_CURLY = str.maketrans(dict.fromkeys("“”„", '"'))
_OPERATOR = re.compile(r"=|!=|=~|!~")


def split_terms(text: str) -> list[str]:
    """The terms as they were written, but with plain quotes where a phone made curly ones; raises `ValueError`."""
    plain = text if '"' in text else text.translate(_CURLY)
    if '"' in TERM.sub("", plain):
        raise ValueError('a double quote is not closed; write for example alertname="Disk Full"')
    return TERM.findall(plain)


def read_terms(text: str) -> tuple[list[Matcher], list[str]]:
    """The matchers and the other words of a filter, as they were written; raises `ValueError` for a bad matcher."""
    tokens = split_terms(text)
    matchers = [parse_matcher(token) for token in tokens if _OPERATOR.search(token)]
    return matchers, [token for token in tokens if not _OPERATOR.search(token)]


def plain_word(term: str) -> str:
    """What is sought: without quotes, in any case."""
    return term.strip('"').lower()
