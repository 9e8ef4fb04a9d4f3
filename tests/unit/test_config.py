"""Reading relay.yml: what comes out of a good one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from relay.access import Role
from relay.channels import EmailOptions, HttpOptions, SlackOptions, TelegramOptions
from relay.clock import DAY, HOUR, MINUTE, SECOND
from relay.config import ConfigError, load, read
from relay.severity import Severity
from tests.config_files import BASE, EXAMPLE, SECRETS, Folder, changed


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_example_file_is_a_whole_config() -> None:
    loaded = read(EXAMPLE, SECRETS)
    config = loaded.config
    assert loaded.warnings == ()
    assert loaded.source == EXAMPLE
    assert list(config.channels)[:3] == ["oncall-chat", "team-slack", "ops-mail"]
    chat, slack, mail = list(config.channels.values())[:3]
    assert isinstance(chat, TelegramOptions)
    assert (chat.chat_id, chat.topic_id, chat.language, str(chat.zone)) == (-1001234567890, 7, "ru", "Europe/Moscow")
    assert isinstance(slack, SlackOptions)
    assert slack.channel == "#alerts"
    assert isinstance(mail, EmailOptions)
    assert mail.to == ["ops@example.org"]
    for_all = config.routes[-3:]
    assert [tuple(route.channels) for route in for_all] == [
        ("oncall-chat", "team-slack", "ops-mail"),
        ("oncall-chat", "team-slack"),
        ("oncall-chat",),
    ]
    assert [route.silent for route in for_all] == [False, False, True]
    sms = config.channels["callcenter-sms"]
    assert isinstance(sms, HttpOptions)
    assert [sms.outcome(status) for status in (200, 402, 404, 409, 503)] == [
        "ok", "retry", "permanent", "ok", "retry",
    ]  # fmt: skip
    assert config.telegram is not None
    assert config.telegram.bot_token.get_secret_value() == SECRETS["TELEGRAM_BOT_TOKEN"]
    assert [user.role for user in config.users] == [Role.RESPONDER, Role.ADMIN]
    assert config.bot.max_silence == {Role.RESPONDER: DAY}
    assert config.server.max_body == 64 * 2**20
    assert (config.database.kind, config.database.retention) == ("sqlite", 90 * DAY)


def test_every_commented_line_of_the_example_can_be_switched_on(tmp_path: Path) -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    optional = (
        "ops_listen|external_url|api_url|proxy|mode|watchdog|poll|settle|title|subject|max_age|limits|reopen|templates"
    )
    text = re.sub(rf"^( *)# (?=({optional}):)", r"\1", text, flags=re.MULTILINE)
    text = text.replace("mode: polling ", "mode: polling #")
    (tmp_path / "my-templates").mkdir()
    path = tmp_path / "relay.yml"
    path.write_text(text, encoding="utf-8")
    config = load(path, SECRETS)
    watchdog = config.alertmanagers[0].watchdog
    assert watchdog is not None
    assert (watchdog.timeout, watchdog.channels) == (15 * MINUTE, ["ops-mail"])
    assert config.templates == tmp_path / "my-templates"


def test_sections_that_are_absent_or_empty_have_their_defaults(folder: Folder) -> None:
    config = folder.load(BASE + "slack:\n  # bot_token: x\nsmtp:\nusers:\nlog:\n  level:\n")
    assert config.smtp is None
    assert config.users == []
    assert config.slack.bot_token is None
    assert (config.log.level, config.log.format) == ("info", "logfmt")
    assert config.server.listen == "0.0.0.0:8080"
    chat = config.channels["chat"]
    assert (chat.reopen, chat.max_age, chat.timezone, chat.language) == (10 * MINUTE, DAY, "UTC", "en")


def test_plain_values_arrive_as_written(folder: Folder) -> None:
    config = folder.load(
        changed("letmein", "0123")
        + "smtp: {host: mail, username: no, password: 1e5, from: a@example.org, port: 465}\n"
        + "severity: {levels: {critical: [on, 2024-01-01, 12:30]}}\n"
    )
    assert config.server.auth.tokens[0].get_secret_value() == "0123"
    assert config.smtp is not None
    assert config.smtp.username == "no"
    assert config.smtp.password is not None
    assert config.smtp.password.get_secret_value() == "1e5"
    assert config.severity.levels["critical"] == ["on", "2024-01-01", "12:30"]


def test_numbers_flags_durations_and_sizes_are_typed(folder: Folder) -> None:
    config = folder.load(
        changed("server: {", "server: {max_body: 1KiB, ")
        + "alertmanagers: [{name: a, urls: [http://a], poll: 0, settle: 1h30m}]\nbot: {ack_silence: yes}\n"
    )
    assert config.server.max_body == 1024
    assert (config.alertmanagers[0].poll, config.alertmanagers[0].settle) == (0, HOUR + 30 * MINUTE)
    assert config.bot.ack_silence is True


def test_anchors_and_merge_keys_work(folder: Folder) -> None:
    config = folder.load(
        BASE.replace("chat: {", "chat: &base {language: ru, ").replace(
            "routes:", "  other:\n    <<: *base\n    chat_id: 7\nroutes:"
        )
    )
    assert config.channels["other"] == config.channels["chat"].model_copy(update={"chat_id": 7})


def test_a_port_and_tls_that_belong_together_imply_each_other(folder: Folder) -> None:
    def smtp(extra: str) -> tuple[int, str]:
        config = folder.load(BASE + f"smtp: {{host: mail, from: a@example.org{extra}}}\n").smtp
        assert config is not None
        return config.port, config.tls

    assert smtp("") == (587, "starttls")
    assert smtp(", port: 465") == (465, "implicit")
    assert smtp(", tls: implicit") == (465, "implicit")
    assert smtp(", tls: none, port: 25") == (25, "none")


def test_given_levels_complete_the_default_ones(folder: Folder) -> None:
    severities = folder.load(
        BASE + "severity: {label: level, levels: {critical: [P1, high]}}\n"
    ).severity.severity_map()
    assert severities.of({"level": "p1"}) is Severity.CRITICAL
    assert severities.of({"level": "high"}) is Severity.CRITICAL  # no longer an error
    assert severities.of({"level": "major"}) is Severity.ERROR
    assert severities.of({"level": "page"}) is Severity.WARNING  # the given list replaces critical's names
    assert severities.of({"severity": "critical"}) is Severity.WARNING


def test_variables_are_replaced_inside_values_after_parsing(folder: Folder) -> None:
    text = changed("bearer_token: letmein", "basic: {username: a, password: 'a-${ONE}-$${TWO}-${ONE}'}")
    config = folder.load(text.replace("-100", "'${CHAT}'"), {"ONE": "x: [y]\n#", "CHAT": "-7"})
    assert config.server.auth.basic is not None
    assert config.server.auth.basic.password.get_secret_value() == "a-x: [y]\n#-${TWO}-x: [y]\n#"
    chat = config.channels["chat"]
    assert isinstance(chat, TelegramOptions)
    assert chat.chat_id == -7


def test_variables_in_keys_and_comments_stay_alone(folder: Folder) -> None:
    folder.load("# ${UNSET}\n" + BASE)
    assert folder.told(BASE + "${UNSET}: 1\n")[0].startswith("7: ${UNSET}: is no known key")


def test_an_unset_variable_is_told_along_with_all_other_errors(folder: Folder) -> None:
    text = changed("letmein", "'${TOKEN}'").replace("-100", "'${CHAT}'") + "log: {level: loud}\n"
    assert folder.told(text, {"CHAT": "-1"}) == [
        "1: server.auth.bearer_token: the environment variable TOKEN is not set",
        "7: log.level: must be 'debug', 'info', 'warning' or 'error'",
    ]


def test_a_variable_set_to_a_wrong_value_is_named_and_its_value_is_not_shown(folder: Folder) -> None:
    assert folder.told(BASE + "database: {retention: '${WRONG}'}\n", {"WRONG": "hunter2"})[0].startswith(
        "7: database.retention: '${WRONG}' is no duration"
    )


@pytest.mark.parametrize("value", ["${}", "${A-B}", "${A", "x ${ y"])
def test_half_a_variable_is_an_error(folder: Folder, value: str) -> None:
    [told] = folder.told(BASE + f"templates: '{value}'\n")
    assert (
        told == "7: templates: ${ must be followed by a variable's name and }; write $${ for the characters themselves"
    )


def test_a_secret_file_is_read_without_its_line_end_and_relative_to_the_config(folder: Folder) -> None:
    folder.write("42:fromfile\n", "token")
    config = folder.load(changed('bot_token: "42:token"', "bot_token_file: token"))
    assert config.telegram is not None
    assert config.telegram.bot_token.get_secret_value() == "42:fromfile"


def test_several_tokens_may_come_from_files(folder: Folder) -> None:
    folder.write("one\n", "one")
    folder.write("two", "two")
    config = folder.load(changed("bearer_token: letmein", "bearer_token_file: [one, two]"))
    assert [token.get_secret_value() for token in config.server.auth.tokens] == ["one", "two"]


def test_trouble_with_secret_files_is_told_at_their_keys(folder: Folder) -> None:
    folder.write(" \n", "empty")
    (folder.path / "binary").write_bytes(b"\xff\xfe")
    text = """\
server:
  auth:
    bearer_token_file: missing
telegram:
  bot_token: "42:token"
  bot_token_file: empty
  proxy_file: binary
slack:
  bot_token_file: empty
channels:
  chat: {type: telegram, chat_id: -100}
routes:
  - channels: [chat]
"""
    at = folder.path
    assert folder.told(text) == [
        f"3: server.auth.bearer_token_file: cannot read {at / 'missing'}: No such file or directory",
        "6: telegram.bot_token_file: give bot_token or bot_token_file, not both",
        f"7: telegram.proxy_file: cannot read {at / 'binary'}: is not UTF-8 text",
        f"9: slack.bot_token_file: {at / 'empty'} is empty",
    ]


def test_the_databases_password_is_one_of_the_secrets_to_mask(folder: Folder) -> None:
    config = folder.load(BASE + "database: {url: 'postgresql://u:p%40ss@h/d'}\n")
    secrets = {one.get_secret_value() for one in config.every_secret()}
    assert {"p@ss", "postgresql://u:p%40ss@h/d"} <= secrets
    assert "sqlite:///relay.db" not in {one.get_secret_value() for one in folder.load(BASE).every_secret()}


def warnings(folder: Folder, text: str) -> list[str]:
    file = folder.write(text)
    return [str(one).removeprefix(f"{file}:") for one in read(file, {}).warnings]


QUIET = BASE + "alertmanagers: [{name: a, urls: [http://a]}]\n"


def test_a_config_as_it_should_be_is_not_warned_about(folder: Folder) -> None:
    assert warnings(folder, QUIET) == []


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (BASE, "1: alertmanagers: none is configured: nothing is polled"),
        (QUIET.replace("- channels", "- matchers: [a=b]\n    channels"), "5: routes: no route takes everything"),
        (
            QUIET.replace("routes:", "routes:\n  - channels: [chat]"),
            "6: routes[0]: takes every alert: the routes after it",
        ),
        (QUIET.replace("routes:", "  b: {type: telegram, chat_id: 1}\nroutes:"), "5: channels.b: is never used"),
        (
            QUIET.replace("bearer_token: letmein", "allow_anonymous: true"),
            "1: server.auth.allow_anonymous: everyone who reaches",
        ),
        (QUIET.replace("server: {", "server: {public_url: http://a, "), "1: server.public_url: is not https"),
        (
            QUIET + "smtp: {host: a, from: a@example.org, username: a, password: b, tls: none}\n",
            "8: smtp.tls: is none: the password travels readable",
        ),
        (
            QUIET + "smtp: {host: a, from: a@example.org, port: 465, tls: starttls}\n",
            "8: smtp.tls: is starttls, but a server's port 465 usually speaks TLS from the first byte: implicit",
        ),
        (
            QUIET + "smtp: {host: a, from: a@example.org, port: 587, tls: implicit}\n",
            "8: smtp.tls: is implicit, but a server's port 587 usually begins in clear: starttls",
        ),
    ],
)
def test_a_doubtful_config_is_warned_about(folder: Folder, text: str, beginning: str) -> None:
    [told] = warnings(folder, text)
    assert told.startswith(beginning)


def test_a_channel_that_only_a_fallback_names_is_used(folder: Folder) -> None:
    text = QUIET.replace("-100}", "-100, fallback: b}").replace("routes:", "  b: {type: telegram, chat_id: 1}\nroutes:")
    assert warnings(folder, text) == []


def test_the_file_is_the_given_one_else_the_variables_else_the_one_here(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    given, named = folder.write(BASE, "given.yml"), folder.write(BASE, "named.yml")
    environ = {
        "RELAY_CONFIG": str(named),
        "RELAY_ALLOW_ANONYMOUS": "true",
        "SLACK_WEBHOOK_URL": "https://hooks.example.org/x",
    }
    assert read(given, environ).source == given
    assert read(None, environ).source == named
    del environ["RELAY_CONFIG"]
    assert read(None, environ).source is None
    folder.write(BASE)
    assert read(None, environ).source == Path("relay.yml")


def test_a_named_file_that_is_missing_is_never_replaced_by_another(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.path)
    folder.write(BASE)
    with pytest.raises(ConfigError, match=r"elsewhere\.yml: cannot be read"):
        load(None, {"RELAY_CONFIG": "elsewhere.yml"})


def test_defaults_are_those_of_the_documentation() -> None:
    config = load(EXAMPLE, SECRETS)
    assert config.alertmanagers[0].poll == 30 * SECOND
    assert config.alertmanagers[0].settle == 5 * MINUTE


def test_a_config_needs_no_file_of_its_own_folder(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths belong to the config file's folder, wherever the program was started."""
    (folder.path / "etc").mkdir()
    shutil.copy(folder.write("letmein"), folder.path / "etc" / "token")
    path = folder.write(changed("bearer_token: letmein", "bearer_token_file: token"), "etc/relay.yml")
    monkeypatch.chdir(folder.path)
    assert load(Path("etc/relay.yml"), {}).server.auth.tokens[0].get_secret_value() == "letmein"
    assert load(path, {}).server.auth.tokens[0].get_secret_value() == "letmein"
