"""The shipped example of the relay's config: each alert of the five systems reaches exactly the channels it must."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from relay.cli import create_program
from relay.config import load
from relay.matchers import parse_matchers
from tests.config_files import EXAMPLE, SECRETS
from tests.programs import ROOT
from tests.shipped import SYSTEMS, alerts, destinations, every_alert, table_row


@pytest.mark.parametrize(("service", "name"), every_alert(), ids=lambda part: part)
def test_relay_route_shows_the_channels_of_the_alert(service: str, name: str) -> None:
    labels = {"alertname": name, **alerts(service)[name]["labels"]}
    words = [f"{label}={value}" for label, value in labels.items()]
    expected = ",".join(sorted(destinations(service, name)))
    said = CliRunner().invoke(
        create_program(), ["route", "--config", str(EXAMPLE), *words, "--expect", expected], env=SECRETS
    )
    assert said.exit_code == 0, said.output


def test_the_table_of_the_docs_is_what_the_routes_do() -> None:
    rows = re.findall(r"^\| \w+ \| `\w+` \|.*$", (ROOT / "docs/howto/stack.md").read_text(), re.MULTILINE)
    assert rows == [table_row(*alert) for alert in every_alert()]


def test_only_what_is_for_information_arrives_without_sound() -> None:
    silent = [route.matchers for route in load(EXAMPLE, SECRETS).routes if route.silent]
    assert all(not matchers or 'severity="info"' in matchers for matchers in silent)
    assert len(silent) == 3


def test_every_route_and_every_channel_of_a_system_is_used() -> None:
    """A route that names a label value which no alert has would never match, and nobody would notice."""
    values = {name for service in SYSTEMS for name in alerts(service)}
    config = load(EXAMPLE, SECRETS)
    for route in config.routes:
        for matcher in parse_matchers("{" + ",".join(route.matchers) + "}") if route.matchers else ():
            if matcher.name == "alertname":
                assert matcher.value in values, f"relay.example.yml: no rule makes an alert {matcher.value}"
            if matcher.name == "service":
                assert matcher.value in SYSTEMS, f"relay.example.yml: no rule has the service {matcher.value}"
    teams = {name for name in config.channels if re.match("|".join(SYSTEMS), name)}
    assert teams == {channel for alert in every_alert() for channel in destinations(*alert)}
