"""What a valid config is warned about: it would run, but probably not as its owner means."""

from __future__ import annotations

from collections.abc import Iterator

from relay.config.problems import KeyPath
from relay.config.tree import Config

_SELDOM = {
    (465, "starttls"): "is starttls, but a server's port 465 usually speaks TLS from the first byte: implicit",
    (587, "implicit"): "is implicit, but a server's port 587 usually begins in clear: starttls",
}
"""Ports and kinds of encryption that mostly wait for each other until the connection times out."""


def advise(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Every warning as key path and message."""
    server = config.server
    if server.auth.allow_anonymous:
        also = ", so its credentials protect nothing" if server.auth.bearer_token or server.auth.basic else ""
        yield (
            ("server", "auth", "allow_anonymous"),
            f"everyone who reaches {server.listen} can post alerts{also}; bearer_token_file is safer",
        )
    if server.public_url is not None and server.public_url.startswith("http://"):
        yield ("server", "public_url"), "is not https; links in messages can be read and changed on their way"
    if not config.alertmanagers:
        yield (
            ("alertmanagers",),
            "none is configured: nothing is polled, alerts that end unseen stay open, and the bot cannot silence",
        )
    if config.smtp is not None and config.smtp.tls == "none" and config.smtp.password is not None:
        yield ("smtp", "tls"), "is none: the password travels readable; starttls or implicit protects it"
    if config.smtp is not None and (config.smtp.port, config.smtp.tls) in _SELDOM:
        yield ("smtp", "tls"), _SELDOM[config.smtp.port, config.smtp.tls]
    if not any(not route.matchers and not route.receiver and not route.alertmanager for route in config.routes):
        yield ("routes",), "no route takes everything: alerts that match none reach nobody; end with - channels: [NAME]"
    yield from _unreachable_routes(config)
    yield from _unused_channels(config)
    yield from _people(config)


def _unreachable_routes(config: Config) -> Iterator[tuple[KeyPath, str]]:
    for index, route in enumerate(config.routes[:-1]):
        takes_all = not route.matchers and not route.receiver and not route.alertmanager
        if takes_all and not route.continue_:
            yield ("routes", index), "takes every alert: the routes after it are never tried; continue: true lets them"
            return


def _unused_channels(config: Config) -> Iterator[tuple[KeyPath, str]]:
    used = {name for route in config.routes for name in route.channels}
    used |= {options.fallback for options in config.channels.values() if options.fallback}
    for alertmanager in config.alertmanagers:
        used |= set(alertmanager.watchdog.channels if alertmanager.watchdog else ())
    for name in config.channels:
        if name not in used:
            yield ("channels", name), "is never used: no route, fallback or watchdog names it"


def _people(config: Config) -> Iterator[tuple[KeyPath, str]]:
    if config.telegram is None and (config.users or config.chats):
        yield ("users" if config.users else "chats",), "has no effect without the section telegram"
