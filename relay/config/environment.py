"""The config of a small team without a file: environment variables become the same tree, with channels and routes made up.

The names are the contract of `docs/reference/config.md`; errors name the variable.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relay.config.problems import ConfigError, Document, KeyPath, Place, Problem
from relay.listening import WHO_MAY_POST

_SHORTEST_WAYS = (
    "The shortest ways: write relay.yml (relay.example.yml is one with everything); "
    "or set RELAY_WEBHOOK_TOKEN and TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID; "
    "or RELAY_WEBHOOK_TOKEN and SLACK_WEBHOOK_URL (or SMTP_HOST, SMTP_FROM and ALERT_EMAIL)"
)

_PLAIN: Mapping[str, KeyPath] = {
    "RELAY_LISTEN": ("server", "listen"),
    "RELAY_PUBLIC_URL": ("server", "public_url"),
    "RELAY_ALLOW_ANONYMOUS": ("server", "auth", "allow_anonymous"),
    "TELEGRAM_API_URL": ("telegram", "api_url"),
    "TELEGRAM_CHAT_ID": ("channels", "telegram", "chat_id"),
    "SLACK_CHANNEL": ("channels", "slack", "channel"),
    "SMTP_HOST": ("smtp", "host"),
    "SMTP_PORT": ("smtp", "port"),
    "SMTP_USER": ("smtp", "username"),
    "SMTP_FROM": ("smtp", "from"),
    "SMTP_TLS": ("smtp", "tls"),
    "ALERT_EMAIL": ("channels", "email", "to"),
}
_SECRET: Mapping[str, KeyPath] = {
    "RELAY_WEBHOOK_TOKEN": ("server", "auth", "bearer_token"),
    "RELAY_DATABASE_URL": ("database", "url"),
    "TELEGRAM_BOT_TOKEN": ("telegram", "bot_token"),
    "SLACK_BOT_TOKEN": ("slack", "bot_token"),
    "SLACK_WEBHOOK_URL": ("channels", "slack", "webhook_url"),
    "SMTP_PASS": ("smtp", "password"),
}
_OTHER = (
    "TELEGRAM_ADMIN_IDS",
    "TELEGRAM_CHAT_ROLE",
    "ALERTMANAGER_URL",
    "RELAY_LANGUAGE",
    "RELAY_TIMEZONE",
)
VARIABLES = frozenset({*_PLAIN, *_SECRET, *(f"{name}_FILE" for name in _SECRET), *_OTHER})
"""Every name that is read when there is no file."""

_WORDS: Mapping[str, str] = {
    WHO_MAY_POST: "say who may post webhooks: set it, or RELAY_WEBHOOK_TOKEN_FILE; "
    "or RELAY_ALLOW_ANONYMOUS=true if only Alertmanager can reach this port",
    "is required with username": "is required with SMTP_USER",
}
"""What errors of the file's keys say here."""

_ALIKE = 0.8
"""How near is near: SMTP_PASSWORD to SMTP_PASS, but not ALERTMANAGER_VERSION of the stack to ALERTMANAGER_URL."""

_CHANNELS = ("telegram", "slack", "email")
_ROUTES: Sequence[tuple[list[str], tuple[str, ...], bool]] = (
    (['severity="critical"'], _CHANNELS, False),
    (['severity="warning"'], ("telegram", "slack"), False),
    ([], ("telegram",), True),
)
_TOGETHER: Sequence[tuple[tuple[str, ...], tuple[str, ...]]] = (
    (("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"), ("TELEGRAM_API_URL", "TELEGRAM_ADMIN_IDS", "TELEGRAM_CHAT_ROLE")),
    (("SLACK_BOT_TOKEN", "SLACK_CHANNEL"), ()),
    (("SMTP_HOST", "ALERT_EMAIL"), ("SMTP_PORT", "SMTP_USER", "SMTP_PASS", "SMTP_FROM", "SMTP_TLS")),
)


def from_environment(environ: Mapping[str, str]) -> Document:
    """The values that the variables mean, placed by their names; raises `ConfigError` if too little or half is set."""
    given = {name: environ[name].strip() for name in sorted(VARIABLES) if environ.get(name, "").strip()}
    problems = list(_incomplete(given))
    if problems:
        raise ConfigError(problems)
    run = _Environment(given)
    run.fill()
    if not run.document.values.get("channels"):
        so_far = f"no channel is configured, only {', '.join(given)}" if given else "nothing is configured"
        raise ConfigError([Problem(f"{so_far}. {_SHORTEST_WAYS}")])
    return run.document


def misspelt(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Variables that nobody reads and whose names are nearly those of others that are not set."""
    unset = [name for name in sorted(VARIABLES) if not environ.get(name, "").strip()]
    for name in sorted(environ.keys() - VARIABLES):
        for meant in difflib.get_close_matches(name, unset, n=1, cutoff=_ALIKE):
            yield Problem(f"is not read; did you mean {meant}?", name)


def _incomplete(given: Mapping[str, str]) -> list[Problem]:
    """Variables that only mean something together."""

    def is_set(name: str) -> bool:
        return name in given or f"{name}_FILE" in given

    problems = []
    for required, optional in _TOGETHER:
        present = [name for name in (*required, *optional) if is_set(name)]
        if present:
            problems += [
                Problem(f"is required together with {present[0]}", name) for name in required if not is_set(name)
            ]
    if is_set("SLACK_WEBHOOK_URL") and is_set("SLACK_BOT_TOKEN"):
        problems.append(
            Problem("give SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN with SLACK_CHANNEL, not both", "SLACK_WEBHOOK_URL")
        )
    return problems


class _Environment:
    """One translation of variables into the tree."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.document = Document(words=_WORDS)
        for name, path in {**_PLAIN, **_SECRET}.items():
            self.document.places[path] = Place(variable=name)
        # What is missing or wrong with a whole section is told at the variable that brings it.
        self.document.places |= {
            ("server", "auth"): Place(variable="RELAY_WEBHOOK_TOKEN"),
            ("smtp",): Place(variable="SMTP_HOST"),
            ("alertmanagers",): Place(variable="ALERTMANAGER_URL"),
            ("channels", "slack"): Place(variable="SLACK_WEBHOOK_URL"),
        }

    def fill(self) -> None:
        for name, path in _PLAIN.items():
            self._put(name, path)
        for name, path in _SECRET.items():
            self._put(name, path)
            self._put(f"{name}_FILE", (*path[:-1], f"{path[-1]}_file"))
        self._sender()
        self._channels()
        self._people()
        self._alertmanager()

    def _put(self, name: str, path: KeyPath) -> None:
        if name in self._given:
            self._set(path, self._given[name], name)

    def _set(self, path: KeyPath, value: Any, variable: str) -> None:
        values: dict[str | int, Any] = self.document.values
        for part in path[:-1]:
            values = values.setdefault(part, {})
        values[path[-1]] = value
        self.document.places[path] = Place(variable=variable)

    def _sender(self) -> None:
        """Without SMTP_FROM the user is the sender, if that is an address, as at most mail providers."""
        user = self._given.get("SMTP_USER", "")
        if "SMTP_FROM" not in self._given and "@" in user:
            self._set(("smtp", "from"), user, "SMTP_USER")

    def _channels(self) -> None:
        channels = self.document.values.get("channels", {})
        present = [name for name in _CHANNELS if name in channels]
        if present:  # the same order as everywhere, whatever variable came first
            self.document.values["channels"] = {name: channels[name] for name in present}
        for name in present:
            self._set(("channels", name, "type"), name, "")
            self._put("RELAY_LANGUAGE", ("channels", name, "language"))
            self._put("RELAY_TIMEZONE", ("channels", name, "timezone"))
        self.document.values["routes"] = [
            {
                "matchers": matchers,
                "channels": [name for name in wanted if name in present] or present,
                "silent": silent,
            }
            for matchers, wanted, silent in _ROUTES
        ]

    def _people(self) -> None:
        admins = list(dict.fromkeys(_parts(self._given.get("TELEGRAM_ADMIN_IDS", ""))))
        for index, telegram_id in enumerate(admins):
            self.document.places["users", index] = Place(variable="TELEGRAM_ADMIN_IDS")
            name = "admin" if len(admins) == 1 else f"admin-{telegram_id}"
            users = self.document.values.setdefault("users", [])
            users.append({"name": name, "telegram_id": telegram_id, "role": "admin"})
        role, chat_id = self._given.get("TELEGRAM_CHAT_ROLE"), self._given.get("TELEGRAM_CHAT_ID", "")
        if role is not None and chat_id.startswith("@"):
            told = "needs the chat's number as TELEGRAM_CHAT_ID, not its @name; the bot's /whoami tells it"
            self.document.unusable["chats",] = Problem(told, "TELEGRAM_CHAT_ROLE")
        elif role is not None and chat_id.removeprefix("-").isdigit():  # else the channel complains of it
            self.document.places["chats", 0] = Place(variable="TELEGRAM_CHAT_ROLE")
            self.document.values["chats"] = [{"chat_id": chat_id, "role": role}]

    def _alertmanager(self) -> None:
        urls = _parts(self._given.get("ALERTMANAGER_URL", ""))
        if urls:
            self.document.places["alertmanagers", 0] = Place(variable="ALERTMANAGER_URL")
            self.document.values["alertmanagers"] = [{"name": "main", "urls": urls}]


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
