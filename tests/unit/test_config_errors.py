"""What is said of a bad relay.yml: everything at once, each with file, line and key, never a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.config import Config, ConfigError, load
from tests.config_files import BASE, EXAMPLE, SECRETS, Folder, changed


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


ERRORS: dict[str, tuple[str, list[str]]] = {
    "unknown key with what was meant": (
        BASE + "sever: {}\n",
        ["7: sever: is no known key; did you mean server? Allowed: alertmanagers, bot, channels, chats, database, "],
    ),
    "unknown key deep inside": (
        changed("chat_id: -100", "chat_id: -100, topic: 7"),
        ["4: channels.chat.topic: is no known key; did you mean topic_id? Allowed: chat_id, fallback, "],
    ),
    "a wrong type": (
        changed("chat_id: -100", "chat_id: [1], topic_id: two, limits: fast"),
        [
            "4: channels.chat.limits: must be keys and values",
            "4: channels.chat.chat_id: must be a chat's number such as -1001234567890",
            "4: channels.chat.topic_id: must be a whole number",
        ],
    ),
    "a bad duration": (
        BASE + "database:\n  retention: 90 days\n",
        ["8: database.retention: '90 days' is no duration: write"],
    ),
    "a duration without unit": (
        BASE + "database: {retention: 90}\n",
        ["7: database.retention: '90' is no duration: write"],
    ),
    "a bad size": (changed("server: {", "server: {max_body: 64Mi, "), ["1: server.max_body: '64Mi' is no size: write"]),
    "a bad matcher": (
        changed("- channels", "- matchers: ['a=\"b']\n    channels"),
        ["6: routes[0].matchers[0]: character 3: the closing double quote is missing; write for example"],
    ),
    "a regular expression that is none": (
        changed("- channels", '- matchers:\n      - a=~"("\n    channels'),
        ["7: routes[0].matchers[0]: character "],
    ),
    "an unknown channel": (
        changed("[chat]", "[chta]"),
        ["6: routes[0].channels[0]: there is no channel 'chta'; did you mean chat; known: chat"],
    ),
    "an unknown channel of a watchdog": (
        BASE
        + "alertmanagers:\n- name: a\n  urls: [http://a]\n  watchdog:\n    matchers: [a=b]\n    channels:\n    - mail\n",
        ["13: alertmanagers[0].watchdog.channels[0]: there is no channel 'mail'; known: chat"],
    ),
    "a route without channels": (changed("[chat]", "[]"), ["6: routes[0].channels: needs at least one channel"]),
    "a bad zone": (
        changed("-100", "-100, timezone: Mars/Crater"),
        ["4: channels.chat.timezone: 'Mars/Crater' is no IANA"],
    ),
    "a chat without a token": (
        changed('telegram: {bot_token: "42:token"}', ""),
        ["4: channels.chat.type: needs telegram.bot_token or telegram.bot_token_file"],
    ),
    "an empty telegram section": (
        changed('telegram: {bot_token: "42:token"}', "telegram: {mode: polling}"),
        ["2: telegram.bot_token: is required (or bot_token_file)"],
    ),
    "a slack channel without a token": (
        BASE.replace("routes:", "  s: {type: slack, channel: '#a'}\nroutes:"),
        ["5: channels.s.channel: needs slack.bot_token or slack.bot_token_file; or give webhook_url instead"],
    ),
    "a slack channel that became a comment": (
        BASE.replace("routes:", "  s:\n    type: slack\n    channel: #a\nroutes:"),
        ['5: channels.s: needs channel: "#name" (in quotes, # begins a comment) or webhook_url'],
    ),
    "mail without a server": (
        BASE.replace("routes:", "  m: {type: email, to: a@example.org}\nroutes:"),
        ["5: channels.m.type: needs the section smtp with host and from"],
    ),
    "half a login": (
        BASE + "smtp: {host: a, from: a@example.org, username: a}\n",
        ["7: smtp.password: is required with username (or password_file)"],
    ),
    "a bad sender": (BASE + "smtp: {host: a, from: Ops}\n", ["7: smtp.from: must be a mail address such as"]),
    "a missing key": (BASE + "smtp: {host: a}\n", ["7: smtp.from: is required"]),
    "a fallback that does not exist": (
        changed("-100", "-100, fallback: mail"),
        ["4: channels.chat.fallback: there is no channel 'mail'; known: chat"],
    ),
    "a channel that falls back to itself": (
        changed("-100", "-100, fallback: chat"),
        ["4: channels.chat.fallback: leads back to itself: chat -> chat"],
    ),
    "fallbacks in a circle": (
        BASE.replace("-100}", "-100, fallback: b}").replace(
            "routes:",
            "  b: {type: telegram, chat_id: 1, fallback: c}\n  c: {type: telegram, chat_id: 1, fallback: b}\nroutes:",
        ),
        [
            "5: channels.b.fallback: leads back to itself: b -> c -> b",
            "6: channels.c.fallback: leads back to itself: c -> b -> c",
        ],
    ),
    "an unknown type": (
        changed("type: telegram", "type: telegramm"),
        ["4: channels.chat.type: must be one of telegram, slack,"],
    ),
    "a channel without type": (
        changed("type: telegram, ", ""),
        ["4: channels.chat.type: is required: one of telegram, slack,"],
    ),
    "a channel without anything": (
        changed("chat: {type: telegram, chat_id: -100}", "chat:"),
        ["4: channels.chat: must be keys and values, such as {type: telegram, chat_id: -1001234567890}"],
    ),
    "a bad name": (
        BASE.replace("chat:", "my chat:").replace("[chat]", "[my chat]"),
        ["4: channels.my chat: must be 1 to 64 letters, digits, _ - or ."],
    ),
    "no channels and no routes": (
        "server: {auth: {bearer_token: x}}\nchannels: {}\n",
        ["1: routes: at least one is required", "2: channels: at least one is required"],
    ),
    "nobody may post": (
        changed("{auth: {bearer_token: letmein}}", "{listen: ':80'}"),
        ["1: server.auth: say who may post webhooks: bearer_token, bearer_token_file or basic; or allow_anonymous"],
    ),
    "an empty token": (changed("letmein", "''"), ["1: server.auth.bearer_token[0]: is empty"]),
    "duplicate names": (
        BASE + "alertmanagers:\n- {name: a, urls: [http://a]}\n- {name: a, urls: [http://b]}\n"
        "users:\n- {name: x, telegram_id: 1, role: admin}\n- {name: y, telegram_id: 1, role: viewer}\n",
        [
            "9: alertmanagers[1].name: is the same as alertmanagers[0].name; each must differ",
            "12: users[1].telegram_id: is the same as users[0].telegram_id; each must differ",
        ],
    ),
    "duplicate keys": (BASE + "log: {level: info}\nlog: {level: debug}\n", ["8: log: is given twice, first in line 7"]),
    "duplicate channels": (
        BASE.replace("routes:", "  chat: {type: slack}\nroutes:"),
        ["5: channels.chat: is given twice, first in line 4"],
    ),
    "a reserved name": (
        BASE + "alertmanagers: [{name: unknown, urls: [http://a]}]\n",
        ["7: alertmanagers[0].name: is what metrics call a refused webhook's sender; choose another name"],
    ),
    "an unknown alertmanager": (
        changed("- channels", "- alertmanager: eu\n    channels"),
        ["6: routes[0].alertmanager: there is no alertmanager 'eu'; known: none"],
    ),
    "a bad role": (
        BASE + "users:\n- name: x\n  telegram_id: 1\n  role: boss\nchats: [{chat_id: x, role: admin}]\n",
        ["10: users[0].role: must be viewer, responder or admin", "11: chats[0].chat_id: must be a whole number"],
    ),
    "an unknown role's bound": (
        BASE + "bot: {max_silence: {boss: 1h}}\n",
        ["7: bot.max_silence.boss: must be viewer, responder or admin"],
    ),
    "webhook mode without its parts": (
        changed('{bot_token: "42:token"}', '{bot_token: "42:token", mode: webhook, webhook_url: http://x}'),
        [
            "2: telegram.webhook_url: must begin with https://, Telegram calls nothing else",
            "2: telegram.secret_token: is required with mode: webhook (or secret_token_file)",
        ],
    ),
    "a folder that is not there": (BASE + "templates: ./nowhere\n", ["7: templates: "]),
    "a bad address": (
        changed("server: {", "server: {listen: '8080', "),
        ["1: server.listen: must be HOST:PORT such as"],
    ),
    "an address with a password": (
        BASE + "alertmanagers: [{name: a, urls: ['http://u:p@h']}]\n",
        ["7: alertmanagers[0].urls[0]: must not hold a user and password; there are keys of their own"],
    ),
    "a level that means another": (
        BASE + "severity:\n  levels:\n    critical: [warning, p1]\n    error: [p1]\n",
        [
            "9: severity.levels.critical[0]: warning is itself a level and cannot mean critical",
            "10: severity.levels.error[0]: p1 already means critical",
        ],
    ),
    "an http channel's mistakes": (
        BASE.replace(
            "routes:", "  sms:\n    type: http\n    url: sms\n    statuses: {99: ok}\n    headers: {a b: c}\nroutes:"
        ),
        [
            "7: channels.sms.url: must be an address such as https://",
            "8: channels.sms.statuses: '99' is no HTTP status such as 409 or 4xx",
            "9: channels.sms.headers: 'a b' is no name of an HTTP header",
        ],
    ),
    "two listeners at one port": (
        changed("server: {", "server: {listen: '0.0.0.0:8080', ops_listen: '127.0.0.1:8080', "),
        ["1: server.ops_listen: is where listen is already; give it another port"],
    ),
    "a token of two lines": (
        changed("letmein", '"marker\\nmarker"'),
        ["1: server.auth.bearer_token[0]: holds a blank, a line's end or a letter that no Authorization header"],
    ),
    "a password with a slash": (
        BASE + "database: {url: 'postgresql://relay:mar@ker/x@db/relay'}\n",
        ["7: database.url: holds a user or password with a / in it: write %2F there"],
    ),
    "a port of PostgreSQL that is none": (
        BASE + "database: {url: 'postgresql://relay:marker@db:54x/relay'}\n",
        ["7: database.url: must be sqlite:///relay.db"],
    ),
    "an Alertmanager's API or page": (
        BASE + "alertmanagers:\n- {name: a, urls: ['http://a:9093/api/v2', 'http://b:9093/#/alerts']}\n",
        [
            "8: alertmanagers[0].urls[0]: must be the address that its own page has, without /api/",
            "8: alertmanagers[0].urls[1]: must be the address that its own page has",
        ],
    ),
    "a path for Telegram that is taken": (
        changed('"42:token"', '"42:token", mode: webhook, webhook_url: "https://a.example/webhook", secret_token: s'),
        ["2: telegram.webhook_url: its path /webhook is the relay's own; take another, such as /telegram"],
    ),
    "no time to deliver": (changed("-100", "-100, max_age: 0"), ["4: channels.chat.max_age: must be more than 0"]),
    "a host with its port": (
        BASE + "smtp: {host: 'mail:587', from: a@example.org}\n",
        ["7: smtp.host: must be the server's name alone, such as smtp.example.org; its port"],
    ),
    "an address for a host": (
        BASE + "smtp: {host: 'smtp://mail', from: a@example.org}\n",
        ["7: smtp.host: must be the server's name alone"],
    ),
    "a token of Slack's that no bot has": (
        BASE + "slack: {bot_token: xapp-marker}\n",
        ["7: slack.bot_token: is an app-level token; the bot's own, under OAuth & Permissions, begins with xoxb-"],
    ),
    "a template without quotes": (
        changed("chat_id: -100}", "chat_id: -100, title: {{ labels.x }}}"),
        ["4: channels.chat.title: a key must be a text; put a value that begins with {"],
    ),
    "a tag": (
        BASE + "log: {level: !vault x}\n",
        ["7: log.level: tags are not supported; put a text that begins with !"],
    ),
    "a list for keys": (BASE + "log: [info]\n", ["7: log: must be keys and values"]),
    "keys for a list": (changed("[chat]", "{chat: 1}"), ["6: routes[0].channels: must be a list, such as [a, b]"]),
    "a key that is no text": (BASE + "? [a]\n: b\n", ["7: a key must be a text"]),
    "an alias inside of itself": (
        BASE + "bot: &b\n  max_silence: *b\n",
        ["8: bot.max_silence: an alias must not stand inside"],
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_names_line_key_and_what_is_allowed(folder: Folder, case: str) -> None:
    text, expected = ERRORS[case]
    told = folder.told(text)
    assert len(told) == len(expected), told
    for line, beginning in zip(told, expected, strict=True):
        assert line.startswith(beginning), told


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (
            "server: {listen: ${LISTEN}}\n",
            "1: is no YAML: expected ',' or '}', but got '{'; inside of { } and [ ] put ${NAME} into",
        ),
        ("server: [\n", "2: is no YAML: "),
        ("a: b: c\n", "1: is no YAML: mapping values are not allowed here; check the indentation"),
        ("a: 1\n\tb: 2\n", "2: is no YAML: "),
        ("a: 1\nb: %x\n", "2: is no YAML: "),
        ("a: *x\n", "1: is no YAML: an unquoted * or & begins an alias or anchor"),
        ("a: 1\n---\nb: 2\n", "2: is no YAML: "),
        ("a: 1\n\x07: 2\n", "2: holds a control character"),
        ("- a\n", "1: must hold keys such as server: and channels:"),
        ("just text\n", "1: must hold keys such as server: and channels:"),
        ("a: " + "[" * 5000 + "\n", "1: is nested too deeply"),
    ],
)
def test_what_is_no_yaml_is_told_with_its_line(folder: Folder, text: str, beginning: str) -> None:
    [told] = folder.told(text)
    assert told.startswith(beginning)


def test_aliases_of_aliases_do_not_explode(folder: Folder) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    [told] = folder.told("\n".join(lines))
    assert told == "1: holds too many values, through aliases of aliases"


def test_a_file_that_cannot_be_read_is_an_error_without_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.yml", {})
    assert str(caught.value) == f"{tmp_path / 'none.yml'}: cannot be read: No such file or directory"
    (tmp_path / "latin.yml").write_bytes("a: 1\nb: é\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yml:2: is not UTF-8 text"):
        load(tmp_path / "latin.yml", {})


def test_an_empty_file_is_told_what_it_needs(folder: Folder) -> None:
    for text in ("", "# nothing\n", "---\n", "null\n"):
        assert [line.split(":")[1].strip() for line in folder.told(text)] == ["channels", "routes", "server.auth"]


def test_a_config_made_without_a_file_is_checked_as_strictly() -> None:
    raw = {
        "server": {"auth": {"allow_anonymous": True}},
        "channels": {"m": {"type": "email", "to": ["a@example.org"]}},
        "routes": [{"channels": ["n"]}],
    }
    with pytest.raises(ValueError, match=r"there is no channel 'n'"):
        Config.model_validate(raw)


def test_no_secret_is_in_any_error_or_repr(folder: Folder) -> None:
    marker = "MARKER5ECRET"
    texts = [
        changed('"42:token"', f"{marker} with blanks"),
        changed("letmein", f"[{marker}, {{}}]"),
        BASE + f"slack: {{bot_token: {{{marker}: 1}}}}\n",
        BASE + f"database: {{url: 'mysql://u:{marker}@h/d'}}\n",
        BASE + f"smtp: {{host: h, from: a@b.example, password: {marker}}}\n",
        BASE.replace("routes:", f"  s: {{type: slack, webhook_url: '{marker}'}}\nroutes:"),
        BASE.replace("routes:", f"  s: {{type: http, url: 'https://h', headers: {{X: [{marker}]}}}}\nroutes:"),
        BASE + f"heartbeat: {{url: 'ftp://{marker}'}}\n",
        BASE + f"telegram2: *{marker}\n",
        BASE + f"smtp: {{password: !{marker} x}}\n",
        BASE + f"smtp: {{password: !{marker}!x y}}\n",
        BASE + f"smtp: {{password: @{marker}}}\n",
        BASE + f"smtp: {{password: {marker}: x}}\n",
        BASE + f'smtp: {{password: "{marker}\n',
        BASE + f"telegram: {{bot_token: {marker}}}\n",
        BASE + f"alertmanagers: [{{name: a, urls: ['http://u:{marker}@h']}}]\n",
    ]
    for text in texts:
        for problem in folder.problems(text):
            shown = str(problem).replace(f"slack.bot_token.{marker}", "")
            assert marker not in shown, text
    config = load(EXAMPLE, SECRETS)
    assert "marker" not in repr(config)
    assert "marker" not in str(config.model_dump())
    secrets = {one.get_secret_value().removeprefix("Bearer ") for one in config.every_secret()}
    assert secrets == set(SECRETS.values())
