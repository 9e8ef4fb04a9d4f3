"""Whether a channel's config has changed since the last start, without keeping what it was."""

from __future__ import annotations

from pathlib import Path

from relay.app.watching import channel_digests
from relay.config import load

CONFIG = """\
server: {auth: {bearer_token: letmein}}
telegram: {bot_token: "42:token"}
smtp: {host: mail.example.org, from: a@example.org, username: relay, password: hunter2}
channels:
  chat: {type: telegram, chat_id: -100}
  mail: {type: email, to: [a@example.org]}
  gateway: {type: http, url: "https://sms.example.org/marker"}
routes:
  - channels: [chat, mail, gateway]
"""


def changed(folder: Path, old: str, new: str) -> set[str]:
    """The channels whose digest differs."""
    path = folder / "relay.yml"
    digests = []
    for text in (CONFIG, CONFIG.replace(old, new)):
        path.write_text(text)
        digests.append(channel_digests(load(path, {})))
    return {name for name, digest in digests[0].items() if digests[1].get(name) != digest}


def test_the_same_config_has_the_same_digests(tmp_path: Path) -> None:
    assert changed(tmp_path, "", "") == set()
    assert changed(tmp_path, "bearer_token: letmein", "bearer_token: another") == set()


def test_a_channels_own_options_change_its_digest_alone(tmp_path: Path) -> None:
    assert changed(tmp_path, "chat_id: -100", "chat_id: -101") == {"chat"}
    assert changed(tmp_path, "example.org/marker", "example.org/other") == {"gateway"}


def test_the_platforms_secrets_count_for_its_channels(tmp_path: Path) -> None:
    assert changed(tmp_path, "42:token", "42:rotated") == {"chat"}
    assert changed(tmp_path, "hunter2", "hunter3") == {"mail"}


def test_a_digest_is_short_and_tells_nothing(tmp_path: Path) -> None:
    path = tmp_path / "relay.yml"
    path.write_text(CONFIG)
    for digest in channel_digests(load(path, {})).values():
        assert len(digest) == 32
        assert "marker" not in digest
