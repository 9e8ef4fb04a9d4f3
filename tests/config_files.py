"""Config files in a folder of a test, and what is said of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from relay.config import Config, ConfigError, Problem, load

EXAMPLE = Path(__file__).parents[1] / "relay.example.yml"
SECRETS = {
    "RELAY_WEBHOOK_TOKEN": "marker-webhook-token",
    "TELEGRAM_BOT_TOKEN": "42:marker-telegram-token",
    "SLACK_BOT_TOKEN": "xoxb-marker-slack-token",
    "SMTP_PASSWORD": "marker-smtp-password",
    "SMS_URL": "https://sms.example.org/marker-sms-url",
    "SMS_TOKEN": "marker-sms-token",
}
BASE = """\
server: {auth: {bearer_token: letmein}}
telegram: {bot_token: "42:token"}
channels:
  chat: {type: telegram, chat_id: -100}
routes:
  - channels: [chat]
"""


@dataclasses.dataclass(frozen=True)
class Folder:
    path: Path

    def write(self, text: str, name: str = "relay.yml") -> Path:
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Config:
        return load(self.write(text), environ or {})

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[Problem]:
        with pytest.raises(ConfigError) as caught:
            self.load(text, environ)
        assert str(caught.value) == "\n".join(str(one) for one in caught.value.problems)
        return list(caught.value.problems)

    def told(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """The problems without the file's name: `LINE: key: message`."""
        file = str(self.path / "relay.yml")
        problems = self.problems(text, environ)
        assert all(one.file == file and one.line for one in problems)
        return [str(one).removeprefix(f"{file}:") for one in problems]


def changed(old: str, new: str) -> str:
    """`BASE` with one thing different."""
    assert old in BASE
    return BASE.replace(old, new)
