"""The command line as users and their scripts meet it: output, exit codes, and what is never imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from relay import __version__
from relay.cli import create_program
from tests.config_files import BASE, EXAMPLE, SECRETS, Folder, changed

ROOT = EXAMPLE.parent
PAYLOADS = ROOT / "tests" / "payloads"
ROUTED = """\
server: {auth: {bearer_token: letmein}}
telegram: {bot_token: "42:token"}
smtp: {host: mail, from: a@example.org}
alertmanagers: [{name: main, urls: [http://a]}]
channels:
  chat: {type: telegram, chat_id: -100}
  mail: {type: email, to: ops@example.org}
routes:
  - {matchers: ['severity="critical"'], channels: [chat, mail]}
  - {channels: [chat], silent: true}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "COLUMNS": "200"})
    return Folder(tmp_path)


def relay(*arguments: str, stdin: str | None = None, environ: Mapping[str, str] | None = None) -> Result:
    result = CliRunner().invoke(create_program(), arguments, input=stdin, env=environ)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


# check


def test_check_of_a_good_config_says_what_it_holds(folder: Folder) -> None:
    folder.write(ROUTED)
    result = relay("check")
    assert (result.exit_code, result.stdout) == (0, "relay.yml: good: 2 channels, 2 routes, 1 alertmanager\n")


def test_check_prints_every_error_on_its_own_line(folder: Folder) -> None:
    path = folder.write(changed("[chat]", "[chta]").replace("-100", "x"), "bad.yml")
    result = relay("check", "--config", str(path))
    assert result.exit_code == 1
    assert [line.split(": ")[:2] for line in result.stdout.splitlines()] == [
        [f"{path}:4", "channels.chat.chat_id"],
        [f"{path}:6", "routes[0].channels[0]"],
    ]


def test_check_warns_and_still_is_content(folder: Folder) -> None:
    folder.write(BASE)
    result = relay("check")
    assert result.exit_code == 0
    assert "warning: relay.yml:1: alertmanagers: none is configured" in result.stdout
    assert "1 channel, 1 route, 0 alertmanagers" in result.stdout


def test_check_reads_the_environment_alone(folder: Folder) -> None:
    environ = {"SLACK_WEBHOOK_URL": "https://hooks.example.org/x", "RELAY_WEBHOOK_TOKEN": "t"}
    assert (
        relay("check", environ=environ).stdout.splitlines()[-1]
        == "environment: good: 1 channel, 3 routes, 0 alertmanagers"
    )
    result = relay("check", environ={"SLACK_CHANNEL": "#x"})
    assert (result.exit_code, result.stdout) == (1, "SLACK_BOT_TOKEN: is required together with SLACK_CHANNEL\n")
    result = relay("check")
    assert result.exit_code == 1
    assert "nothing is configured" in result.stdout


def test_check_finds_mistakes_in_templates(folder: Folder) -> None:
    (folder.path / "mine" / "telegram").mkdir(parents=True)
    broken = folder.path / "mine" / "telegram" / "message.html.j2"
    broken.write_text("fine\n{% if %}\n", encoding="utf-8")
    folder.write(changed("-100", "-100, title: '{{ labels.x | nofilter }}'") + "templates: mine\n")
    result = relay("check")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert any(line.startswith("mine/telegram/message.html.j2:2: ") for line in lines), lines
    assert any(line.startswith("relay.yml:4: channels.chat.title: the template fails: ") for line in lines), lines
    assert not any("good" in line for line in lines)


# route


def test_check_tries_whether_a_body_of_json_is_json(folder: Folder) -> None:
    for body, code in (('{"text": {{ words.name }}}', 1), ('{"text": {{ words.name | tojson }}}', 0)):
        folder.write(changed("type: telegram, chat_id: -100", f"type: http, url: 'https://a.example', body: '{body}'"))
        result = relay("check")
        assert result.exit_code == code, result.stdout
    folder.write(changed("type: telegram, chat_id: -100", "type: http, url: 'https://a.example', body: '{'"))
    assert "relay.yml:4: channels.chat.body: of an example alert the body is not valid JSON" in relay("check").stdout


@pytest.mark.expects_errors  # the library logs it, too
def test_check_finds_an_address_that_apprise_does_not_know(folder: Folder) -> None:
    folder.write(changed("type: telegram, chat_id: -100", "type: apprise, url: 'nosuch://hunter2'"))
    result = relay("check")
    assert result.exit_code == 1
    assert "relay.yml:4: channels.chat.url: is no address that Apprise understands" in result.stdout
    assert "hunter2" not in result.output


def test_copying_from_nowhere_is_told(folder: Folder) -> None:
    assert folder.path.is_dir()
    result = relay("copy-database", "", "sqlite:///b.db")
    assert result.exit_code == 1
    assert "an address must be sqlite:///" in result.stderr


def test_route_explains_each_route_in_order(folder: Folder) -> None:
    folder.write(ROUTED)
    result = relay("route", "severity=page", "alertname=Disk Full")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == '{alertname="Disk Full", severity="page"}'
    assert lines[1].startswith("  route 1: matched: ")
    assert lines[1].endswith("-> chat, mail")
    assert lines[2].startswith("  route 2: skipped: ")
    assert lines[3:] == ["  reaches chat, mail", "channels: chat, mail"]
    assert relay("route", "severity=info").stdout.splitlines()[-2:] == ["  reaches chat (silent)", "channels: chat"]


def test_route_says_when_an_alert_reaches_nobody(folder: Folder) -> None:
    folder.write(changed("- channels", "- matchers: [team=db]\n    channels"))
    result = relay("route", "team=web")
    assert (result.exit_code, result.stdout.splitlines()[-2:]) == (0, ["  reaches nobody", "channels: none"])


@pytest.mark.parametrize(
    ("expected", "code", "said"),
    [
        ("chat,mail", 0, ""),
        (" mail , chat ", 0, ""),
        ("chat", 1, "not expected: mail"),
        ("chat,mail,pager", 1, "not in the config: pager"),
        ("", 1, "not expected: chat, mail"),
    ],
)
def test_route_with_expectations_is_a_test_for_ci(folder: Folder, expected: str, code: int, said: str) -> None:
    folder.write(ROUTED)
    result = relay("route", "severity=critical", "--expect", expected)
    assert result.exit_code == code
    assert said in result.stderr


def test_route_takes_all_alerts_of_a_recorded_webhook(folder: Folder) -> None:
    folder.write(ROUTED)
    path = next(path for path in sorted(PAYLOADS.rglob("*.json")) if b'"groupKey"' in path.read_bytes())
    body = path.read_text(encoding="utf-8")
    from_file, from_stdin = relay("route", "--payload", str(path)), relay("route", "--payload", "-", stdin=body)
    assert from_file.exit_code == 0
    assert from_file.stdout == from_stdin.stdout
    assert from_file.stdout.count("  reaches ") == len(json.loads(body)["alerts"])


def test_route_knows_receiver_and_alertmanager(folder: Folder) -> None:
    folder.write(ROUTED.replace("matchers: ['severity=\"critical\"']", "receiver: night, alertmanager: main"))
    assert relay("route", "a=b", "--receiver", "night").stdout.endswith("channels: chat, mail\n")
    assert relay("route", "a=b", "--receiver", "day").stdout.endswith("channels: chat\n")
    assert relay("route", "a=b", "--alertmanager", "other").exit_code == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "stdin:1: is no JSON"),
        ("[]", "not an Alertmanager webhook message"),
        ('{"orgId": 1}', "Grafana"),
        (
            '{"version": "4", "groupKey": "k", "alerts": [{"status": "firing", "labels": {"a": "b"}, "startsAt": "x"}]}',
            "stdin: alerts[0].startsAt: 'x' is no RFC 3339 time",
        ),
    ],
)
def test_a_payload_that_is_none_is_refused_with_the_reason(folder: Folder, body: str, said: str) -> None:
    folder.write(ROUTED)
    result = relay("route", "--payload", "-", stdin=body)
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr


def test_labels_cannot_paint_on_the_terminal(folder: Folder) -> None:
    folder.write(ROUTED)
    assert "\x1b" not in relay("route", "a=\x1b[31mred\x07").stdout


def test_wrong_usage_exits_with_2(folder: Folder) -> None:
    folder.write(ROUTED)
    for arguments in (
        ["route"],
        ["route", "nolabel"],
        ["route", "a=b", "--payload", "-"],
        ["serve", "--listen", "80"],
        ["x"],
    ):
        assert relay(*arguments).exit_code == 2, arguments


def test_a_bad_config_ends_other_commands_on_stderr(folder: Folder) -> None:
    folder.write(changed("-100", "x"))
    for arguments in (["serve"], ["route", "a=b"], ["render", "--channel", "chat"]):
        result = relay(*arguments)
        assert (result.exit_code, result.stdout) == (1, ""), arguments
        assert result.stderr.startswith("relay.yml:4: channels.chat.chat_id: ")


# render


@pytest.mark.parametrize("platform", ["telegram", "slack", "email"])
def test_render_shows_the_example_without_a_config(folder: Folder, platform: str) -> None:
    result = relay("render", "--type", platform)
    assert result.exit_code == 0
    for host in ("db-3", "db-1", "web-2"):
        assert host in result.stdout


def test_render_shows_what_the_routes_bring_to_the_channel(folder: Folder) -> None:
    folder.write(ROUTED)
    result = relay("render", "--channel", "mail")
    assert result.exit_code == 0
    assert "db-3" in result.stdout
    assert "db-1" not in result.stdout  # a warning, which goes to the chat alone


def test_render_shows_everything_where_the_routes_bring_nothing(folder: Folder) -> None:
    folder.write(ROUTED.replace('severity="critical"', 'team="db"'))
    result = relay("render", "--channel", "mail")
    assert "db-1" in result.stdout
    assert "the routes bring none of these alerts to mail" in result.stderr


def test_render_writes_files(folder: Folder) -> None:
    result = relay("render", "--type", "email", "--output", "out/mail")
    assert result.exit_code == 0
    written = {path.name: path.read_bytes() for path in (folder.path / "out/mail").iterdir()}
    assert {str(Path("out/mail") / name) for name in written} == set(result.stdout.split())
    assert b"<html" in written["message.html"]


def test_render_uses_the_users_templates_and_payload(folder: Folder) -> None:
    (folder.path / "mine" / "telegram").mkdir(parents=True)
    (folder.path / "mine" / "telegram" / "message.html.j2").write_text("MINE {{ alerts | length }}", encoding="utf-8")
    folder.write(BASE + "templates: mine\n")
    path = next(path for path in sorted(PAYLOADS.rglob("*.json")) if b'"groupKey"' in path.read_bytes())
    count = len(json.loads(path.read_text(encoding="utf-8"))["alerts"])
    assert f"MINE {count}" in relay("render", "--channel", "chat", "--payload", str(path)).stdout


def test_render_wants_a_channel_that_exists(folder: Folder) -> None:
    folder.write(ROUTED)
    assert relay("render").exit_code == 2
    result = relay("render", "--channel", "pager")
    assert (result.exit_code, result.stderr) == (1, "there is no channel 'pager'; known: chat, mail\n")


# the program


def test_version_names_python_and_the_libraries(folder: Folder) -> None:
    lines = relay("version").stdout.splitlines()
    assert lines[0] == f"relay {__version__}"
    assert lines[1].startswith("Python 3.")
    assert any(line.startswith("aiogram 3.") for line in lines)


def test_config_schema_is_json(folder: Folder) -> None:
    schema = json.loads(relay("config-schema").stdout)
    assert {"server", "channels", "routes"} <= set(schema["properties"])


def test_every_command_shows_an_example_in_its_help(folder: Folder) -> None:
    commands = [info.name or info.callback.__name__ for info in create_program().registered_commands if info.callback]
    assert {"serve", "check", "render", "route", "config-schema", "version"} <= set(commands)
    reference = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    for command in commands:
        result = relay(command, "--help")
        assert result.exit_code == 0
        assert f"Example: relay {command}" in result.stdout
        assert f"`relay {command}" in reference


def run(*arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(environ or {}),
    }
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=60, check=False)


HEAVY = """
import sys
from relay.cli import create_program
try:
    create_program()(sys.argv[1:], standalone_mode=False)
except SystemExit as stop:
    assert not stop.code, stop.code
heavy = {"aiogram", "slack_sdk", "sqlalchemy", "apprise", "aiosmtplib"}
print(sorted({name.partition(".")[0] for name in sys.modules} & heavy))
"""


@pytest.mark.parametrize("arguments", [["version"], ["check"], ["route", "severity=critical"], ["config-schema"]])
def test_light_commands_import_no_platform(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "relay.yml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    result = run("-c", HEAVY, *arguments, cwd=tmp_path, environ=SECRETS)
    assert result.stdout.splitlines()[-1:] == ["[]"], result.stderr


def test_the_module_is_the_program_and_pipes_stay_plain(tmp_path: Path) -> None:
    (tmp_path / "relay.yml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    result = run("-m", "relay", "check", cwd=tmp_path, environ=SECRETS)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "relay.yml: good: 15 channels, 14 routes, 1 alertmanager\n"
    result = run("-m", "relay", "check", cwd=tmp_path)
    assert result.returncode == 1
    assert "\x1b" not in result.stdout
    assert len(result.stdout.splitlines()) == len(SECRETS)
