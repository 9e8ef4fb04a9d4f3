"""The config of a small team: variables alone become channels, routes and people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from relay.access import Role
from relay.channels import EmailOptions, SlackOptions, TelegramOptions
from relay.config import Config, ConfigError, load, read
from relay.config.environment import VARIABLES
from relay.routing import Router

TOKEN = {"RELAY_WEBHOOK_TOKEN": "letmein"}
TELEGRAM = {"TELEGRAM_BOT_TOKEN": "42:token", "TELEGRAM_CHAT_ID": "-100"}
SLACK = {"SLACK_WEBHOOK_URL": "https://hooks.example.org/services/x"}
EMAIL = {
    "SMTP_HOST": "mail.example.org",
    "SMTP_FROM": "relay@example.org",
    "ALERT_EMAIL": "a@example.org, b@example.org",
}


@pytest.fixture(autouse=True)
def _no_file_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def told(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(None, environ)
    assert all(one.file is None and one.line is None for one in caught.value.problems)
    return [str(one) for one in caught.value.problems]


def routed(config: Config) -> dict[str, dict[str, bool]]:
    """Channel to silent, per severity."""
    router = Router(config.routes, config.severity.severity_map())
    return {
        severity: router.route({"severity": severity}, receiver="relay", alertmanager="main")
        for severity in ("critical", "warning", "info")
    }


def test_all_three_channels_are_routed_as_documented() -> None:
    config = load(None, TOKEN | TELEGRAM | SLACK | EMAIL)
    assert list(config.channels) == ["telegram", "slack", "email"]
    assert routed(config) == {
        "critical": {"telegram": False, "slack": False, "email": False},
        "warning": {"telegram": False, "slack": False},
        "info": {"telegram": True},
    }


@pytest.mark.parametrize(
    ("environ", "critical", "warning", "info"),
    [
        (TELEGRAM, ["telegram"], ["telegram"], ["telegram"]),
        (SLACK, ["slack"], ["slack"], ["slack"]),
        (EMAIL, ["email"], ["email"], ["email"]),
        (TELEGRAM | EMAIL, ["telegram", "email"], ["telegram"], ["telegram"]),
        (SLACK | EMAIL, ["slack", "email"], ["slack"], ["slack", "email"]),
        (TELEGRAM | SLACK, ["telegram", "slack"], ["telegram", "slack"], ["telegram"]),
    ],
)
def test_a_missing_channel_falls_back_to_those_that_exist(
    environ: dict[str, str], critical: list[str], warning: list[str], info: list[str]
) -> None:
    found = routed(load(None, TOKEN | environ))
    assert {severity: list(channels) for severity, channels in found.items()} == {
        "critical": critical,
        "warning": warning,
        "info": info,
    }


def test_every_variable_has_its_place() -> None:
    environ = TOKEN | TELEGRAM | EMAIL
    environ |= {
        "TELEGRAM_API_URL": "http://127.0.0.1:8081",
        "TELEGRAM_ADMIN_IDS": "1001, 1002",
        "TELEGRAM_CHAT_ROLE": "responder",
        "SLACK_BOT_TOKEN": "xoxb-1",
        "SLACK_CHANNEL": "#alerts",
        "SMTP_PORT": "2525",
        "SMTP_USER": "relay",
        "SMTP_PASS": "pass",
        "SMTP_TLS": "opportunistic",
        "ALERTMANAGER_URL": "http://am-1:9093,http://am-2:9093",
        "RELAY_LISTEN": "127.0.0.1:9999",
        "RELAY_DATABASE_URL": "postgresql://u:p@db/relay",
        "RELAY_PUBLIC_URL": "https://relay.example.org/",
        "RELAY_LANGUAGE": "ru",
        "RELAY_TIMEZONE": "Europe/Moscow",
    }
    config = load(None, environ)
    telegram, slack, mail = config.channels.values()
    assert isinstance(telegram, TelegramOptions)
    assert isinstance(slack, SlackOptions)
    assert isinstance(mail, EmailOptions)
    assert config.telegram is not None
    assert config.smtp is not None
    assert (telegram.chat_id, config.telegram.api_url) == (-100, "http://127.0.0.1:8081")
    assert [(user.name, user.telegram_id, user.role) for user in config.users] == [
        ("admin-1001", 1001, Role.ADMIN),
        ("admin-1002", 1002, Role.ADMIN),
    ]
    assert [(chat.chat_id, chat.role) for chat in config.chats] == [(-100, Role.RESPONDER)]
    assert (slack.channel, slack.webhook_url) == ("#alerts", None)
    assert config.slack.bot_token is not None
    assert (config.smtp.host, config.smtp.port, config.smtp.username) == ("mail.example.org", 2525, "relay")
    assert (config.smtp.from_, config.smtp.tls) == ("relay@example.org", "opportunistic")
    assert mail.to == ["a@example.org", "b@example.org"]
    assert [(one.name, one.urls) for one in config.alertmanagers] == [
        ("main", ["http://am-1:9093", "http://am-2:9093"])
    ]
    assert (config.server.listen, config.server.public_url) == ("127.0.0.1:9999", "https://relay.example.org")
    assert config.database.kind == "postgresql"
    assert {(options.language, options.timezone) for options in config.channels.values()} == {("ru", "Europe/Moscow")}


def test_secrets_come_from_files_too(tmp_path: Path) -> None:
    secrets = {
        "TELEGRAM_BOT_TOKEN": "42:token",
        "RELAY_WEBHOOK_TOKEN": "letmein",
        "SLACK_WEBHOOK_URL": "https://hooks.example.org/x",
        "SMTP_PASS": "pass",
        "RELAY_DATABASE_URL": "sqlite:////tmp/relay.db",
    }
    environ = EMAIL | {"TELEGRAM_CHAT_ID": "-100", "SMTP_USER": "relay"}
    for name, value in secrets.items():
        (tmp_path / name).write_text(f"{value}\n", encoding="utf-8")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    config = load(None, environ)
    assert {one.get_secret_value() for one in config.every_secret()} == set(secrets.values()) - {
        "sqlite:////tmp/relay.db"
    }
    assert config.database.url.get_secret_value() == "sqlite:////tmp/relay.db"
    environ = TOKEN | {"SLACK_BOT_TOKEN_FILE": str(tmp_path / "SMTP_PASS"), "SLACK_CHANNEL": "#x"}
    assert load(None, environ).slack.bot_token is not None


def test_an_only_admin_is_called_so_and_a_sender_may_be_the_user() -> None:
    environ = EMAIL | TELEGRAM | TOKEN | {"TELEGRAM_ADMIN_IDS": "7", "SMTP_USER": "me@example.org", "SMTP_PASS": "x"}
    del environ["SMTP_FROM"]
    config = load(None, environ)
    assert config.smtp is not None
    assert (config.users[0].name, config.smtp.from_) == ("admin", "me@example.org")


def test_nothing_configured_tells_the_shortest_ways() -> None:
    for environ in ({}, TOKEN, dict.fromkeys(VARIABLES, " "), {"PATH": "/bin"}):
        [one] = told(environ)
        assert one.startswith(
            "no channel is configured, only RELAY_WEBHOOK_TOKEN" if environ is TOKEN else "nothing is"
        )
        for way in (
            "relay.yml",
            "TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID",
            "SLACK_WEBHOOK_URL",
            "SMTP_HOST",
            "ALERT_EMAIL",
        ):
            assert way in one


@pytest.mark.parametrize(
    ("environ", "beginnings"),
    [
        (
            TELEGRAM,
            ["RELAY_WEBHOOK_TOKEN: say who may post webhooks: set it, or RELAY_WEBHOOK_TOKEN_FILE; or RELAY_ALLOW"],
        ),
        ({"TELEGRAM_CHAT_ID": "-100"}, ["TELEGRAM_BOT_TOKEN: is required together with TELEGRAM_CHAT_ID"]),
        ({"TELEGRAM_BOT_TOKEN": "42:x"}, ["TELEGRAM_CHAT_ID: is required together with TELEGRAM_BOT_TOKEN"]),
        ({"SLACK_BOT_TOKEN": "x"}, ["SLACK_CHANNEL: is required together with SLACK_BOT_TOKEN"]),
        ({"SLACK_CHANNEL": "#x"}, ["SLACK_BOT_TOKEN: is required together with SLACK_CHANNEL"]),
        ({"ALERT_EMAIL": "a@b.example"}, ["SMTP_HOST: is required together with ALERT_EMAIL"]),
        ({"SMTP_HOST": "mail"}, ["ALERT_EMAIL: is required together with SMTP_HOST"]),
        (
            SLACK | {"SLACK_BOT_TOKEN": "x", "SLACK_CHANNEL": "#x"},
            ["SLACK_WEBHOOK_URL: give SLACK_WEBHOOK_URL, or SLACK_BOT_TOKEN"],
        ),
        (TOKEN | {**EMAIL, "SMTP_FROM": ""}, ["SMTP_FROM: is required"]),
        (TOKEN | EMAIL | {"SMTP_USER": "x"}, ["SMTP_PASS: is required with SMTP_USER"]),
        (TOKEN | EMAIL | {"SMTP_PORT": "x"}, ["SMTP_PORT: must be a whole number"]),
        (TOKEN | EMAIL | {"SMTP_TLS": "ssl"}, ["SMTP_TLS: must be 'starttls', 'implicit', 'opportunistic' or 'none'"]),
        (TOKEN | {**EMAIL, "ALERT_EMAIL": "me"}, ["ALERT_EMAIL: must be a mail address such as"]),
        (
            TOKEN | {**EMAIL, "ALERT_EMAIL": "a@b.example;c@d.example"},
            ["ALERT_EMAIL: must be one mail address, or several with commas between them"],
        ),
        (TOKEN | SLACK | {"RELAY_TIMEZONE": "Mars"}, ["RELAY_TIMEZONE: 'Mars' is no IANA time zone"]),
        (TOKEN | SLACK | {"RELAY_LANGUAGE": "xx"}, ["RELAY_LANGUAGE: must be 'en' or 'ru'"]),
        (TOKEN | SLACK | {"ALERTMANAGER_URL": "am:9093"}, ["ALERTMANAGER_URL: must be an address such as"]),
        (TOKEN | SLACK | {"RELAY_LISTEN": "8080"}, ["RELAY_LISTEN: must be HOST:PORT"]),
        (
            TOKEN | SLACK | {"RELAY_DATABASE_URL": "mysql://x:hunter2@y/z"},
            ["RELAY_DATABASE_URL: must be sqlite:///relay.db"],
        ),
        (
            TOKEN | SLACK | {"RELAY_WEBHOOK_TOKEN_FILE": "x"},
            ["RELAY_WEBHOOK_TOKEN_FILE: give RELAY_WEBHOOK_TOKEN or RELAY_WEBHOOK_TOKEN_FILE, not both"],
        ),
        (SLACK | {"RELAY_WEBHOOK_TOKEN_FILE": "none"}, ["RELAY_WEBHOOK_TOKEN_FILE: cannot read none: No such file"]),
        (SLACK | {"RELAY_ALLOW_ANONYMOUS": "perhaps"}, ["RELAY_ALLOW_ANONYMOUS: must be true or false"]),
        (SLACK | {"RELAY_ALLOW_ANONYMOUS": "false"}, ["RELAY_WEBHOOK_TOKEN: say who may post webhooks"]),
        (TOKEN | TELEGRAM | {"TELEGRAM_ADMIN_IDS": "1,anna"}, ["TELEGRAM_ADMIN_IDS: must be a whole number"]),
        (
            TOKEN | {**TELEGRAM, "TELEGRAM_CHAT_ID": "@alerts"} | {"TELEGRAM_CHAT_ROLE": "viewer"},
            ["TELEGRAM_CHAT_ROLE: needs the chat's number as TELEGRAM_CHAT_ID, not its @name"],
        ),
        (
            TOKEN | {**TELEGRAM, "TELEGRAM_CHAT_ID": "-100x"} | {"TELEGRAM_CHAT_ROLE": "viewer"},
            ["TELEGRAM_CHAT_ID: must be a chat's number"],
        ),
        (TOKEN | TELEGRAM | {"TELEGRAM_CHAT_ROLE": "boss"}, ["TELEGRAM_CHAT_ROLE: must be viewer, responder or admin"]),
        (
            TOKEN | {**TELEGRAM, "TELEGRAM_BOT_TOKEN": "hunter2", "TELEGRAM_CHAT_ID": "me"},
            ["TELEGRAM_BOT_TOKEN: is no bot token", "TELEGRAM_CHAT_ID: must be a chat's number"],
        ),
    ],
)
def test_an_error_names_the_variable(environ: dict[str, str], beginnings: list[str]) -> None:
    lines = told(environ)
    assert len(lines) == len(beginnings), lines
    for line, beginning in zip(sorted(lines), beginnings, strict=True):
        assert line.startswith(beginning)
        assert "hunter2" not in line


def test_warnings_name_the_variable_where_there_is_one() -> None:
    loaded = read(None, SLACK | {"RELAY_ALLOW_ANONYMOUS": "true", "RELAY_PUBLIC_URL": "http://relay"})
    assert [str(one).split(":")[0] for one in loaded.warnings] == [
        "RELAY_ALLOW_ANONYMOUS",
        "RELAY_PUBLIC_URL",
        "ALERTMANAGER_URL",
    ]


def test_a_variable_that_is_nearly_another_is_warned_about() -> None:
    good = TOKEN | SLACK | {"ALERTMANAGER_URL": "http://am:9093"}
    of_the_stack = ("ALERTMANAGER_EXTERNAL_URL", "ALERTMANAGER_VERSION", "POSTGRES_PASSWORD", "COMPOSE_FILE")
    of_kubernetes = ("RELAY_PORT", "RELAY_SERVICE_HOST", "RELAY_PORT_8080_TCP_ADDR")
    assert read(None, good | dict.fromkeys((*of_the_stack, *of_kubernetes, "RELAY_HEALTH_URL"), "x")).warnings == ()
    mistakes = {"RELAY_TIMEZON": "UTC", "RELAY_LANG": "ru", "SMTP_PASSWORD": "hunter2", "RELAY_CONFIG": ""}
    assert [str(one) for one in read(None, good | mistakes).warnings] == [
        "RELAY_LANG: is not read; did you mean RELAY_LANGUAGE?",
        "RELAY_TIMEZON: is not read; did you mean RELAY_TIMEZONE?",
        "SMTP_PASSWORD: is not read; did you mean SMTP_PASS?",
    ]


def test_an_admin_may_be_named_twice() -> None:
    config = load(None, TOKEN | TELEGRAM | {"TELEGRAM_ADMIN_IDS": "1, 2,1"})
    assert [user.telegram_id for user in config.users] == [1, 2]


def test_every_variable_is_in_the_reference() -> None:
    reference: Any = (Path(__file__).parents[2] / "docs/reference/config.md").read_text(encoding="utf-8")
    for name in VARIABLES:
        assert name.removesuffix("_FILE") in reference
