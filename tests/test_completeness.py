"""What exists is also documented, shown by example and tested: channel types, metrics, commands."""

from __future__ import annotations

import re
from functools import cache
from typing import get_args

import pytest
from prometheus_client import CollectorRegistry
from typer.main import get_command

from relay import channels
from relay.channels.options import ChannelOptions
from relay.cli import create_program
from relay.config import Config
from relay.metrics import Metrics
from tests.programs import ROOT

OPTIONS: tuple[type[ChannelOptions], ...] = get_args(get_args(channels.AnyChannelOptions)[0])
TYPES = {str(get_args(model.model_fields["type"].annotation)[0]): model for model in OPTIONS}


@cache
def documentation() -> str:
    return "\n".join(path.read_text() for path in sorted((ROOT / "docs").rglob("*.md")))


def channel_modules() -> set[str]:
    names = {path.stem for path in (ROOT / "relay" / "channels").iterdir() if path.suffix == ".py" or path.is_dir()}
    return {name for name in names if not name.startswith("__") and name != "options" and not name.endswith("_options")}


def metric_names() -> list[str]:
    registry = CollectorRegistry()
    Metrics(registry)
    families = registry.collect()
    return sorted(family.name + ("_total" if family.type == "counter" else "") for family in families)


def command_names() -> list[str]:
    return sorted(getattr(get_command(create_program()), "commands", {}))


def test_every_channel_module_is_a_type_of_the_config_and_the_other_way_round() -> None:
    assert channel_modules() == set(TYPES)


@pytest.mark.parametrize("kind", TYPES)
def test_a_channel_type_has_a_page_with_an_example_of_each_of_its_options(kind: str) -> None:
    page = ROOT / "docs" / "channels" / f"{kind}.md"
    assert page.is_file(), f"{page.relative_to(ROOT)} is missing"
    text = page.read_text()
    assert re.search(rf"```yaml[^`]*type: {kind}\b", text), "no example of the config"
    own = set(TYPES[kind].model_fields) - set(ChannelOptions.model_fields) - {"type"}
    assert {name for name in own if name not in text} == set()


@pytest.mark.parametrize("kind", TYPES)
def test_a_channel_type_has_templates(kind: str) -> None:
    assert list((ROOT / "templates" / kind).glob("*.j2"))


@pytest.mark.parametrize("kind", TYPES)
def test_a_channel_type_has_a_contract_test(kind: str) -> None:
    assert list((ROOT / "tests" / "contract").glob(f"test_{kind}*.py"))


def test_every_metric_is_documented() -> None:
    names = metric_names()
    assert names
    assert [name for name in names if name not in documentation()] == []


def test_every_command_is_documented() -> None:
    names = command_names()
    assert {"serve", "check", "version"} <= set(names)
    assert [name for name in names if f"relay {name}" not in documentation()] == []


def test_every_key_of_the_config_is_documented() -> None:
    assert [
        key for key in Config.model_fields if f"`{key}" not in documentation() and f"{key}:" not in documentation()
    ] == []
