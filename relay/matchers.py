"""Alertmanager's matchers: reading both of its syntaxes, writing the one that every version reads, and matching labels.

Alertmanager has a classic parser (`pkg/labels/parse.go`) and since 0.27 a UTF-8 one (`matcher/parse`); its default is
to use both, and the classic meaning where they disagree (`matcher/compat`). The same is done here, quirks included.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import re2

# What Go's unicode.IsSpace knows; Python's str.isspace knows four control characters more.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_TRIM = "".join(chr(code) for code in range(0x3001) if re.match(f"[{_SPACE}]", chr(code)))
_CLASSIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*+")
_CLASSIC_HEAD = re.compile(r"[\t\n\f\r ]*+(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*+)[\t\n\f\r ]*+(?P<operator>=~|=|!=|!~)")
_CLASSIC_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_CLASSIC_BARE = re.compile(r'((?:[^"\\]|\\.)*+\\?)', re.DOTALL)
_TOKEN = re.compile(
    rf"""[{_SPACE}]*+(?:
      (?P<open>\{{) | (?P<close>\}}) | (?P<comma>,) | (?P<operator>=~|!=|!~|=)
      | (?P<quoted>"(?:[^"\\]|\\.)*+") | (?P<word>[^{_SPACE}{{}}!=~,\\"'`]++) | (?P<end>\Z) | (?P<bad>.)
    )""",
    re.DOTALL | re.VERBOSE,
)
_GO_ESCAPE = re.compile(rb'\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\"]))')
_GO_STRING = re.compile(rb"(?:[^\\\n]|" + _GO_ESCAPE.pattern + rb")*")
_GO_SHORT = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"\\": b"\\", b'"': b'"',
}  # fmt: skip
_OPERATORS = {(True, False): "=", (False, False): "!=", (True, True): "=~", (False, True): "!~"}
_REGEX_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.", re.DOTALL)


class MatcherError(ValueError):
    """The text is no matcher. `position` counts characters from 0; the message holds reason and example."""

    def __init__(self, position: int, reason: str, example: str) -> None:
        super().__init__(f"character {position + 1}: {reason}; write for example {example}")
        self.position = position
        self.reason = reason
        self.example = example


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. A regular expression is RE2 for the whole value; raises `ValueError` if it is not."""

    name: str
    value: str
    is_regex: bool = False
    is_equal: bool = True
    _regex: re2._Regexp | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        if self.is_regex:
            object.__setattr__(self, "_regex", _compile(self.value))

    @property
    def operator(self) -> str:
        return _OPERATORS[self.is_equal, self.is_regex]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set fulfils this; a missing label counts as empty, as in Alertmanager."""
        return self.matches_value(labels.get(self.name, ""))

    def matches_value(self, value: str) -> bool:
        return self.pattern_fits(value) is self.is_equal

    def pattern_fits(self, value: str) -> bool:
        """Whether the value is (or the pattern describes) this one, whatever the sign."""
        if self._regex is None:
            return value == self.value
        return self._regex.search(value.encode("utf-8", "replace")) is not None

    def __str__(self) -> str:
        name = self.name if _CLASSIC_NAME.fullmatch(self.name) else f'"{_escape(self.name)}"'
        return f'{name}{self.operator}"{_escape(self.value)}"'


def _compile(pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(f"^(?:{pattern})$", options)  # as pkg/labels/matcher.go writes it
    except UnicodeEncodeError:
        reason = "half a character (a lone surrogate)"
    except re2.error as error:
        detail = error.args[0]
        reason = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
    else:
        # Two things that the C++ library takes and Go's does not: \C (any byte) and names of groups beyond ASCII.
        if any(found[0] == r"\C" for found in _REGEX_ESCAPE.finditer(pattern)):
            reason = r"invalid escape sequence: \C"
        elif not all(name.isascii() for name in compiled.groupindex):
            reason = "invalid named capture"
        else:
            return compiled
    reason = reason.replace(f"^(?:{pattern})$", pattern)[:200]
    raise ValueError(f"no regular expression that Alertmanager (RE2) takes: {reason}")


def _escape(text: str) -> str:
    """The three escapes that both parsers read alike."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def format_matchers(matchers: Iterable[Matcher]) -> str:
    r"""Writes `{a="b", c=~"d"}` so that every version reads it alike; names outside the classic alphabet need 0.27."""
    return "{" + ", ".join(str(matcher) for matcher in matchers) + "}"


def parse_matchers(text: str) -> list[Matcher]:
    """Reads `{a="b", c=~"d"}`, braces or not, as Alertmanager does by default; raises `MatcherError` (`ValueError`)."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise MatcherError(error.start, "half a character (a lone surrogate)", 'severity="critical"') from None
    try:
        modern = _Utf8(text).parse()
    except MatcherError as error:
        try:
            classic = _parse_classic(text)
        except ValueError as regex_error:  # the classic parser got further, to a regular expression that is none
            raise MatcherError(error.position, str(regex_error), error.example) from None
        if classic is None:
            raise error from None
        return classic
    try:
        classic = _parse_classic(text)
    except ValueError:
        classic = None
    return modern if classic is None else classic


def parse_matcher(text: str) -> Matcher:
    """Reads exactly one matcher without braces; raises `MatcherError`.

    Stricter than Alertmanager's `filter=`, which takes `a=b,c=d` silently as one matcher with the value `b,c=d`.
    """
    if text.startswith("{") or text.endswith("}"):
        position = 0 if text.startswith("{") else len(text) - 1
        raise MatcherError(position, "braces do not belong around a single matcher", 'severity="critical"')
    matchers = parse_matchers(text)
    if len(matchers) != 1:
        found = "a matcher is missing" if not matchers else f"one matcher is wanted, here are {len(matchers)}"
        raise MatcherError(0, found, str(matchers[0]) if matchers else 'severity="critical"')
    return matchers[0]


def _parse_classic(text: str) -> list[Matcher] | None:
    """The classic meaning of a text, None where it has none; raises `ValueError` for a bad regular expression."""
    matchers = [_parse_classic_piece(piece) for piece in _split_classic(text.removeprefix("{").removesuffix("}"))]
    return None if None in matchers else [matcher for matcher in matchers if matcher]


def _split_classic(text: str) -> Iterator[str]:
    start, quoted, escaped = 0, False, False
    for at, char in enumerate(text):
        if char == ",":  # keeps `escaped`, as the original does
            if not quoted:
                yield text[start:at]
                start = at + 1
        elif char == '"':
            quoted = quoted if escaped else not quoted
            escaped = False
        else:
            escaped = char == "\\" and not escaped
    if last := text[start:].strip(_TRIM):
        yield last


def _parse_classic_piece(piece: str) -> Matcher | None:
    head = _CLASSIC_HEAD.match(piece)
    if head is None:
        return None
    raw = piece[head.end() :].strip("\t\n\f\r ")
    body = (_CLASSIC_QUOTED if raw.startswith('"') else _CLASSIC_BARE).fullmatch(raw)
    if body is None:
        return None
    value = re.sub(r"\\(.)", _unescape_classic, body[1], flags=re.DOTALL)
    return _make(head["name"], head["operator"], value)


def _unescape_classic(found: re.Match[str]) -> str:
    return {"n": "\n", '"': '"', "\\": "\\"}.get(found[1], found[0])


def _make(name: str, operator: str, value: str) -> Matcher:
    return Matcher(name, value, is_regex="~" in operator, is_equal="!" not in operator)


def _unquote(text: str) -> str:
    """Go's `strconv.Unquote` of a double-quoted text; raises `ValueError`."""
    body = text[1:-1].encode()
    if not _GO_STRING.fullmatch(body):
        raise ValueError("a backslash starts nothing known (use \\\\ for a backslash), or a line end stands in quotes")
    return _GO_ESCAPE.sub(_unescape_go, body).decode()


def _unescape_go(found: re.Match[bytes]) -> bytes:
    hexadecimal, octal, short, long, letter = found.groups()
    if letter:
        return _GO_SHORT[letter]
    if short or long:
        return chr(int(short or long, 16)).encode()
    return bytes([int(hexadecimal, 16) if hexadecimal else int(octal, 8)])


@dataclass(slots=True)
class _Utf8:
    """One reading of a text by the UTF-8 grammar, token after token; it also knows what to say when it fails."""

    text: str
    at: int = 0  # after the last token
    name: str = ""
    operator: str = "="
    value_at: int | None = None
    value: str | None = None  # once read, if it stood in quotes

    def parse(self) -> list[Matcher]:
        matchers: list[Matcher] = []
        token = self._next()
        braced = token.lastgroup == "open"
        if braced:
            token = self._next()
        while token.lastgroup not in ("close", "end"):
            matchers.append(self._matcher(token))
            token = self._next()
            if token.lastgroup == "comma":
                token = self._next()
            elif token.lastgroup not in ("close", "end"):
                quotes = "" if self.value is not None else "the value needs double quotes, or "
                raise self._error(token, f"{quotes}a comma is missing")
        if braced and token.lastgroup == "end":
            raise self._error(token, "the closing brace is missing")
        if not braced and token.lastgroup == "close":
            raise self._error(token, "a closing brace without an opening one")
        if token.lastgroup == "close" and (token := self._next()).lastgroup != "end":
            raise self._error(token, "nothing may follow the closing brace")
        return matchers

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self.text, self.at)
        assert token is not None  # the last alternatives take anything
        self.at = token.end()
        return token

    def _matcher(self, token: re.Match[str]) -> Matcher:
        self.name, self.operator, self.value_at, self.value = "", "=", None, None
        if token.lastgroup not in ("word", "quoted"):
            raise self._error(token, "a label name is expected here")
        self.name = self._word(token)
        token = self._next()
        if token.lastgroup != "operator":
            raise self._error(token, "=, !=, =~ or !~ is expected here")
        self.operator = token["operator"]
        token = self._next()
        self.value_at = token.start(token.lastgroup or 0)
        if token.lastgroup in ("end", "comma", "close"):
            raise self._error(token, f"a value is expected after {self.operator}")
        if token.lastgroup not in ("word", "quoted"):
            raise self._error(token, "the value needs double quotes")
        value = self._word(token)
        self.value = value if token.lastgroup == "quoted" else None
        try:
            return _make(self.name, self.operator, value)
        except ValueError as error:
            raise self._error(token, str(error), example=_make(self.name, self.operator, re2.escape(value))) from None

    def _word(self, token: re.Match[str]) -> str:
        if token.lastgroup == "word":
            return token["word"]
        try:
            return _unquote(token["quoted"])
        except (ValueError, OverflowError) as error:  # UnicodeError is a ValueError: \xff alone, \ud800
            reason = "an escape that is no character" if isinstance(error, UnicodeError | OverflowError) else str(error)
            raise self._error(token, reason) from None

    def _error(self, token: re.Match[str], reason: str, example: Matcher | None = None) -> MatcherError:
        if token.lastgroup == "bad" and token["bad"] == '"':
            reason = "the closing double quote is missing"
        return MatcherError(token.start(token.lastgroup or 0), reason, str(example or self._example()))

    def _example(self) -> Matcher:
        """What was probably meant, written so that it works."""
        if not self.name:
            return Matcher("severity", "critical")
        if self.value_at is None:
            return Matcher(self.name, "value")
        meant = self.value or self.text[self.value_at :].split(",")[0].strip(_TRIM + '{}"') or "value"
        try:
            return _make(self.name, self.operator, meant)
        except ValueError:
            return _make(self.name, self.operator, re2.escape(meant))
