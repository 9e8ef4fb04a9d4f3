"""What one part of the config says of another: names that must exist, names that must differ, tokens that must be there.

Works on raw values of any shape, before the models have seen them; what is of a wrong type is the models' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from relay.config.problems import KeyPath
from relay.metrics import UNKNOWN_ALERTMANAGER

Found = Iterator[tuple[KeyPath, str]]
_OUR_PATHS = ("-", "api", "health", "metrics", "webhook")
"""How the paths begin that the relay serves itself."""


def broken_references(data: Mapping[str, Any]) -> Found:
    """Every broken reference as key path and message."""
    channels = _mapping(data.get("channels"))
    yield from _required_lists(data)
    for index, route in _items(data.get("routes")):
        if route.get("channels") == []:
            yield ("routes", index, "channels"), "needs at least one channel"
    yield from _unknown_channels(data, channels)
    yield from _bad_fallbacks(channels)
    yield from _missing_platforms(data, channels)
    yield from _unknown_alertmanagers(data)
    yield from _duplicates(data)
    yield from _taken_path(data)


def _mapping(value: Any) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Iterator[tuple[int, Mapping[Any, Any]]]:
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, Mapping):
            yield index, item


def _required_lists(data: Mapping[str, Any]) -> Found:
    if data.get("channels") in (None, {}):
        yield ("channels",), "at least one is required, such as oncall: {type: telegram, chat_id: -1001234567890}"
    if data.get("routes") in (None, []):
        yield ("routes",), "at least one is required, such as - channels: [NAME], which takes every alert"


def _no_such(kind: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = f"; did you mean {close[0]}" if close else ""
    return f"there is no {kind} {name!r}{meant}; known: {', '.join(known) or 'none'}"


def _names(value: Any) -> Iterator[tuple[int, str]]:
    for index, name in enumerate(value if isinstance(value, list) else []):
        if isinstance(name, str):
            yield index, name


def _unknown_channels(data: Mapping[str, Any], channels: Mapping[Any, Any]) -> Found:
    lists: list[tuple[KeyPath, Any]] = [
        (("routes", index, "channels"), route.get("channels")) for index, route in _items(data.get("routes"))
    ]
    for index, alertmanager in _items(data.get("alertmanagers")):
        watchdog = _mapping(alertmanager.get("watchdog"))
        lists.append((("alertmanagers", index, "watchdog", "channels"), watchdog.get("channels")))
    known = sorted(str(name) for name in channels)
    for path, names in lists:
        for index, name in _names(names):
            if name not in channels:
                yield (*path, index), _no_such("channel", name, known)


def _bad_fallbacks(channels: Mapping[Any, Any]) -> Found:
    known = sorted(str(name) for name in channels)
    follow = {
        str(name): options["fallback"]
        for name, options in channels.items()
        if isinstance(options, Mapping) and isinstance(options.get("fallback"), str)
    }
    for name, target in follow.items():
        path: KeyPath = ("channels", name, "fallback")
        if target not in channels:
            yield path, _no_such("channel", target, known)
            continue
        chain = [name, target]
        while chain[-1] in follow and chain[-1] not in chain[:-1]:
            chain.append(follow[chain[-1]])
        if chain[-1] == name:
            yield path, f"leads back to itself: {' -> '.join(chain)}"


def _missing_platforms(data: Mapping[str, Any], channels: Mapping[Any, Any]) -> Found:
    slack = _mapping(data.get("slack"))
    has_slack_token = slack.get("bot_token") is not None or slack.get("bot_token_file") is not None
    for name, options in channels.items():
        if not isinstance(options, Mapping):
            continue
        path: KeyPath = ("channels", str(name))
        kind = options.get("type")
        if kind == "telegram" and data.get("telegram") is None:
            yield (*path, "type"), "needs telegram.bot_token or telegram.bot_token_file"
        if kind == "slack" and options.get("channel") is not None and not has_slack_token:
            yield (
                (*path, "channel"),
                "needs slack.bot_token or slack.bot_token_file; or give webhook_url instead of channel",
            )
        if kind == "email" and data.get("smtp") is None:
            yield (*path, "type"), "needs the section smtp with host and from"


def _unknown_alertmanagers(data: Mapping[str, Any]) -> Found:
    names = [str(one.get("name", "")) for _, one in _items(data.get("alertmanagers"))]
    known = sorted({name for name in names if name})
    for index, route in _items(data.get("routes")):
        name = route.get("alertmanager")
        if isinstance(name, str) and name not in names:
            yield ("routes", index, "alertmanager"), _no_such("alertmanager", name, known)
    for index, name in enumerate(names):
        if name == UNKNOWN_ALERTMANAGER:
            yield (
                ("alertmanagers", index, "name"),
                "is what metrics call a refused webhook's sender; choose another name",
            )


def _taken_path(data: Mapping[str, Any]) -> Found:
    """Telegram's calls come in by the same door as everything else."""
    url = _mapping(data.get("telegram")).get("webhook_url")
    first = str(url).partition("://")[2].partition("/")[2].partition("/")[0] if isinstance(url, str) else ""
    if first in _OUR_PATHS:
        yield ("telegram", "webhook_url"), f"its path /{first} is the relay's own; take another, such as /telegram"


def _duplicates(data: Mapping[str, Any]) -> Found:
    for section, key in (
        ("alertmanagers", "name"),
        ("alertmanagers", "external_url"),
        ("users", "name"),
        ("users", "telegram_id"),
        ("chats", "chat_id"),
    ):
        first: dict[str, int] = {}
        for index, item in _items(data.get(section)):
            value = item.get(key)
            if value is None or isinstance(value, list | Mapping):
                continue
            earlier = first.setdefault(str(value).rstrip("/"), index)
            if earlier != index:
                yield (section, index, key), f"is the same as {section}[{earlier}].{key}; each must differ"
