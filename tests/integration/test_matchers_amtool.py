"""Our matchers against Alertmanager's own: `amtool` says of generated texts whether they parse and what they match."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from relay import matchers
from relay.matchers import Matcher, format_matchers, parse_matchers
from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap
from tests.programs import AlertmanagerProgram

NAMES = ["a", "b", "severity", "a_1", "a:b", ":c", "_d", "1a", "a.b", '"a b"', '"a.b"', "ж", '"a\\"b"', "a-b", "", '""']
OPERATORS = ["=", "!=", "=~", "!~", "=", "=~", "==", "~", "!", " = ", "= ~", "=!"]
FRAGMENTS = [
    "x", "y", "foo", "db-1", "db-2", "\\", "\\\\", '"', '\\"', "\\n", "\n", "\\t", "\\d", ".", ".*", ".+", "|",
    "(", ")", "(?:", "(?i)", "[a-c]", "[", "]", "{2}", "{1001}", "{", "}", "^", "$", "\\b", "\\pL", "\\z",
    "\\Q", "\\E", "\\C", "(?=", "\\1", ",", " ", "\t", "'", "`", "=", "!", "~", "ж", "💩", "\u00a0", "\u2028",
    "\x1f", "\\u0041", "\\xff", "\\x41", "\\101", "\\u00e9", "\\ud800", "\\U0010ffff", "*", "+", "?", "**",
    "?P<n>", "(?s)", "(?m)", "1", "9", "é",
]  # fmt: skip
# Left out is what differs between versions of Go (`(?<n>`) or only in how much memory a pattern may take.
PATTERNS = [
    "a", "b", "ж", "x", "foo", "[^a]", "[a-z]", "[[:alpha:]]", "[[:foo:]]", "[]a]", "[a-", "\\p{Greek}", "\\pL",
    "\\PN", "\\p{Foo}", "\\x{10FFFF}", "\\x{110000}", "\\x41", "\\07", "\\8", "\\e", "\\v", "\\h", "\\A", "\\z",
    "\\Z", "\\b", "\\G", "\\C", "\\Q", "\\E", "(", ")", "(?:", "(?i)", "(?-i)", "(?i-s:", "(?U)", "(?x)",
    "(?P<n>", "(?P<ж>", "(?P=n)", "(?#c)", "(?=", "(?!", "(?<=", "(?>", "|", "*", "+", "?", "*?", "+?", "*+",
    "{2}", "{2,}", "{3,2}", "{,3}", "{1001}", "{0}", "{a}", "^", "$", ".", "\\d", "\\D", "\\w", "\\s",
    "[\\d-z]", "[\\pL]", "[\\b]", "\\", " ", "\\/", "\\_", "\\é", "(?s:.)", "(?m:^b$)", "(?i:Ж)", "(?i)k", ".*",
    "y",
]  # fmt: skip
LABELS: list[dict[str, str]] = [
    {},
    {"a": "x"},
    {"a": "foo", "b": "y"},
    {"a": "FOO", "severity": "x"},
    {"a": "db-1\n", "b": "db-2"},
    {"a": 'x"y', "b": "\\d"},
    {"a": "xyж", "b": "foo,x", "a_1": "y"},
    {"b": "\\n", "severity": "foo y", "a": "1"},
    {"a": "\n", "b": "}", "_d": "é", ":c": "x", "a:b": "foo"},
]


def generate(seed: int, count: int) -> list[str]:
    chance = random.Random(seed)

    def value() -> str:
        text = "".join(chance.choices(FRAGMENTS, k=chance.randint(0, 4)))
        style = chance.random()
        if style < 0.4:
            return f'"{text}"'
        if style < 0.6:
            return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
        return text

    def matcher() -> str:
        blank = chance.choice(["", "", " ", "\t", "\u00a0"])
        return (
            blank
            + chance.choice(NAMES[:4] * 5 + NAMES)
            + chance.choice(OPERATORS[:4] * 5 + OPERATORS)
            + value()
            + blank
        )

    def text() -> str:
        joined = chance.choice([",", ", ", ",,"]).join(matcher() for _ in range(chance.choice([1, 1, 1, 2, 3])))
        return chance.choice(["{%s}", "{%s", "%s}", "%s,", "{%s,}", "%s", "%s", "%s", "%s"]) % joined

    return list(dict.fromkeys(text() for _ in range(count)))


def write_tree(path: Path, routes: Sequence[dict[str, Any]]) -> Path:
    receivers = [{"name": "root"}, *({"name": route["receiver"]} for route in routes)]
    written = json.dumps({"route": {"receiver": "root", "routes": list(routes)}, "receivers": receivers})
    path.write_text(written.replace("\\ud83d\\udca9", "\\U0001f4a9"))  # YAML knows no surrogate pairs
    return path


def write_config(path: Path, texts: Sequence[str]) -> Path:
    return write_tree(
        path, [{"receiver": f"r{at}", "matchers": [text], "continue": True} for at, text in enumerate(texts)]
    )


def accepted(amtool: Path, folder: Path, texts: Sequence[str]) -> list[bool]:
    """Which texts amtool takes as `matchers:` of a route."""
    files = [write_config(folder / f"{at}.yml", [text]) for at, text in enumerate(texts)]
    done = subprocess.run(
        [str(amtool), "check-config", *map(str, files)], capture_output=True, text=True, check=False, timeout=60
    )
    verdicts = {}
    for block in done.stdout.split("Checking '")[1:]:
        name, _, verdict = block.partition("'")
        verdicts[name] = "  SUCCESS\n" in verdict  # newer versions log warnings in between
    return [verdicts[str(file)] for file in files]


def matched(amtool: Path, folder: Path, texts: Sequence[str], labels: dict[str, str]) -> set[int]:
    """Which of many routes amtool takes for a label set; the routes all say `continue: true`."""
    return chosen(amtool, write_config(folder / "all.yml", texts), labels)


def chosen(amtool: Path, config: Path, labels: dict[str, str]) -> set[int]:
    """The numbers of the routes that amtool takes; {} if it falls back to the root."""
    given = [str(Matcher(name, value)) for name, value in labels.items()]
    command = [str(amtool), "config", "routes", "test", f"--config.file={config}", *given]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    receivers = done.stdout.strip().splitlines()[-1].split(",")  # newer versions log warnings before
    return {int(receiver[1:]) for receiver in receivers if receiver != "root"}


def meaning(text: str, version: tuple[int, ...]) -> list[Matcher] | None:
    """What the text means to that version: Alertmanager knows the newer grammar since 0.27."""
    try:
        return parse_matchers(text) if version >= (0, 27) else matchers._parse_classic(text)
    except ValueError:
        return None


def check_meanings(program: AlertmanagerProgram, folder: Path, readings: dict[str, list[Matcher]]) -> None:
    texts = list(readings)
    for labels in LABELS:
        expected = {at for at, text in enumerate(texts) if all(one.matches(labels) for one in readings[text])}
        assert matched(program.amtool, folder, texts, labels) == expected, labels


@pytest.mark.parametrize("seed", range(4))
def test_generated_texts_are_taken_and_meant_as_by_amtool(
    alertmanager_program: AlertmanagerProgram, tmp_path: Path, seed: int
) -> None:
    texts = generate(seed, 300)
    readings = {text: meaning(text, alertmanager_program.version) for text in texts}
    verdicts = dict(zip(texts, accepted(alertmanager_program.amtool, tmp_path, texts), strict=True))
    assert {text: reading is not None for text, reading in readings.items()} == verdicts
    understood = {text: reading for text, reading in readings.items() if reading is not None}
    assert 50 < len(understood) < 250
    check_meanings(alertmanager_program, tmp_path, understood)


@pytest.mark.parametrize("seed", range(4))
def test_generated_regular_expressions_compile_and_match_as_in_amtool(
    alertmanager_program: AlertmanagerProgram, tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    patterns = list(dict.fromkeys("".join(chance.choices(PATTERNS, k=chance.randint(1, 4))) for _ in range(300)))
    texts = [f"a=~{str(Matcher('a', pattern)).removeprefix('a=')}" for pattern in patterns]
    readings = {text: meaning(text, alertmanager_program.version) for text in texts}
    verdicts = dict(zip(texts, accepted(alertmanager_program.amtool, tmp_path, texts), strict=True))
    assert {text: reading is not None for text, reading in readings.items()} == verdicts
    check_meanings(
        alertmanager_program, tmp_path, {text: found for text, found in readings.items() if found is not None}
    )


def test_what_we_write_every_version_reads_as_meant(alertmanager_program: AlertmanagerProgram, tmp_path: Path) -> None:
    chance = random.Random(7)
    written = {}
    for _ in range(300):
        value = "".join(chance.choices(FRAGMENTS, k=chance.randint(0, 5)))
        matcher = Matcher(chance.choice(["a", "b", "severity", "a:b", "_d"]), value, is_equal=chance.random() < 0.5)
        written[format_matchers([matcher])] = [matcher]
    assert all(accepted(alertmanager_program.amtool, tmp_path, list(written)))
    check_meanings(alertmanager_program, tmp_path, written)


def test_routes_are_tried_in_alertmanagers_order(alertmanager_program: AlertmanagerProgram, tmp_path: Path) -> None:
    """The same list of routes, some with continue, chooses the same receivers there and channels here."""
    chance = random.Random(11)
    for _ in range(8):
        routes: list[dict[str, Any]] = [
            {
                "matchers": [
                    chance.choice(['a="x"', 'a!="foo"', 'b=~".+"', 'a=~"x.*"', 'severity=""', 'b!~"y|foo,x"'])
                ],
                "continue": chance.random() < 0.5,
            }
            for _ in range(6)
        ]
        configs = [RouteConfig.model_validate({**route, "channels": [f"r{at}"]}) for at, route in enumerate(routes)]
        router = Router(configs, SeverityMap(label="no such label"))
        tree = [{**route, "receiver": f"r{at}"} for at, route in enumerate(routes)]
        config = write_tree(tmp_path / "tree.yml", tree)
        for labels in LABELS:
            channels = router.route(labels, receiver="any", alertmanager="any")
            assert {f"r{at}" for at in chosen(alertmanager_program.amtool, config, labels)} == set(channels), labels
