"""Links into Alertmanager's own web page (`ui/app/src/Utils/Filter.elm`): unlike its API it wants braces and JSON texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from relay.matchers import Matcher

_UNWRITABLE = frozenset("{}!=~,\\\"'` \t\n\v\f\r\x85\xa0")  # the page knows no quoted label names


def alert_link(external_url: str, labels: Mapping[str, str]) -> str:
    """The page's list, narrowed to alerts with these labels, muted ones too; a name it cannot read is left out."""
    matchers = [Matcher(name, value) for name, value in labels.items() if _writable(name)]
    shown = "silenced=true&inhibited=true&muted=true&active=true"
    return f"{_base(external_url)}/#/alerts?{shown}&filter={_filter(matchers)}"


def silence_link(external_url: str, matchers: Iterable[Matcher], comment: str = "") -> str | None:
    """The page's form for a new silence, filled in; None if a name cannot be written: without it more would be muted."""
    wanted = tuple(matchers)
    if not wanted or not all(_writable(matcher.name) for matcher in wanted):
        return None
    said = f"&comment={quote(comment, safe='')}" if comment else ""
    return f"{_base(external_url)}/#/silences/new?filter={_filter(wanted)}{said}"


def silence_view_link(external_url: str, silence_id: str) -> str:
    """The page that shows one silence."""
    return f"{_base(external_url)}/#/silences/{quote(silence_id, safe='')}"


def _base(external_url: str) -> str:
    return external_url.rstrip("/")


def _writable(name: str) -> bool:
    return bool(name) and not _UNWRITABLE & set(name)


def _filter(matchers: Iterable[Matcher]) -> str:
    written = (f"{one.name}{one.operator}{json.dumps(one.value, ensure_ascii=False)}" for one in matchers)
    return quote("{" + ", ".join(written) + "}", safe="")
