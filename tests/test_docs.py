"""Every command and every config in README and docs works, every link leads somewhere, and the Russian README keeps up."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command
from typer.testing import CliRunner

from relay.cli import create_program
from relay.config import Config, load
from relay.config.environment import VARIABLES
from tests import markdown
from tests.config_files import EXAMPLE
from tests.markdown import Block
from tests.programs import ROOT
from tests.relay_process import RelayProcess

README = ROOT / "README.md"
QUICKSTART = ROOT / "docs" / "quickstart.md"
BACKUP = ROOT / "docs" / "howto" / "backup.md"
DEPLOY_REPLICAS = ROOT / "docs" / "howto" / "deploy-replicas.md"
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES = {*COMPOSE["services"], "relay-2", "balancer", "postgres"}
"""Those of compose.yaml, and those that compose.replicas.yaml adds."""
ELSEWHERE = {
    "amtool",
    "prometheus-alertmanager",
    "python3",
    "/opt/relay/bin/pip",
    "df",
    "journalctl",
    "cp",
    "mkdir",
    "head",
    "printf",
    "chmod",
    "install",
    "curl",
    "systemctl",
    "createuser",
    "createdb",
    "pg_dump",
    "pg_restore",
    "/opt/relay/bin/python3",
    "sed",
    "kubectl",
    "helm",
    "git",
    "rm",
}
"""Programs of the system that the pages may use, beside `make`, `docker` and the project's own."""
COMPOSE_COMMANDS = {"up", "ps", "exec", "stop", "start", "restart", "logs", "build", "run", "cp", "down"}


def where(value: object) -> str:
    return str(value) if isinstance(value, Block) else ""


# -- links ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", markdown.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for target in markdown.links(page):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        if not found.exists() or (anchor and anchor not in markdown.anchors(found)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_docs_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "docs" / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        targets = [target.partition("#")[0] for target in markdown.links(page) if not re.match(r"[a-z]+:", target)]
        waiting += [(page.parent / target).resolve() for target in targets if target]
    missing = [page for page in (ROOT / "docs").rglob("*.md") if page not in seen and page.parent.name != "decisions"]
    assert [str(page.relative_to(ROOT)) for page in missing] == []


FOLDERS = "relay|tests|docs|templates|tools|bench|deploy|docker|grafana|prometheus|alertmanager"


@pytest.mark.parametrize("page", markdown.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    named = re.findall(rf"`((?:{FOLDERS})/[\w./-]+)(?:::\w+)?`", page.read_text(encoding="utf-8"))
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


# -- configs -------------------------------------------------------------------------------------------------------------


def kind_of(values: object) -> str:
    keys = set(values) if isinstance(values, dict) else set()
    for kind, some in {
        "compose": {"services"},
        "alertmanager": {"receivers", "route"},
        "rules": {"groups"},
        "prometheus": {"scrape_configs", "alerting", "remote_write"},
    }.items():
        if keys & some:
            return kind
    return "relay" if keys and keys <= set(Config.model_fields) else "unknown"


YAML: dict[str, list[Block]] = {
    kind: [] for kind in ("relay", "alertmanager", "prometheus", "rules", "compose", "unknown")
}
for _block in markdown.every_block("yaml"):
    YAML[kind_of(yaml.safe_load(_block.text))].append(_block)


def test_no_yaml_of_the_pages_goes_unchecked() -> None:
    assert [str(block) for block in YAML["unknown"]] == []
    assert len(YAML["relay"]) >= 5
    assert YAML["alertmanager"]


class Stage:
    """A folder in which a config of the pages finds the files that it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def place(self, values: Any, path: tuple[str, ...] = ()) -> Any:
        """The same config with every secret file replaced by one in this folder."""
        if isinstance(values, dict):
            return {
                key: self._files(value, path, str(key))
                if str(key).endswith("_file")
                else self.place(value, (*path, str(key)))
                for key, value in values.items()
            }
        return [self.place(value, path) for value in values] if isinstance(values, list) else values

    def _files(self, value: Any, path: tuple[str, ...], key: str) -> Any:
        if isinstance(value, list):
            return [self._files(one, path, key) for one in value]
        file = self.folder / Path(value).name
        file.write_text(self._secret(path, key))
        return str(file)

    def _secret(self, path: tuple[str, ...], key: str) -> str:
        if key == "url_file":
            return (
                "postgresql://relay:secret@localhost/relay" if path == ("database",) else "https://example.org/secret"
            )
        return {"webhook_url_file": "https://example.org/secret", "secret_token_file": "secret"}.get(key, "42:secret")

    def write(self, values: Mapping[str, Any]) -> Path:
        file = self.folder / "relay.yml"
        file.write_text(yaml.safe_dump(self.place(dict(values)), allow_unicode=True, sort_keys=False))
        if isinstance(values.get("templates"), str):
            (self.folder / str(values["templates"])).mkdir(parents=True)
        return file


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """A part of a config with the least that is missing for a whole one."""
    whole: dict[str, Any] = {
        "server": {"auth": {"bearer_token": "token"}},
        "telegram": {"bot_token": "42:token"},
        "slack": {"bot_token": "xoxb-token"},
        "smtp": {"host": "smtp.example.org", "from": "alerts@example.org"},
        "channels": {},
        **values,
    }
    if "auth" not in whole["server"]:
        whole["server"] = {**whole["server"], "auth": {"bearer_token": "token"}}
    named = {name for route in values.get("routes", ()) for name in route.get("channels", ())}
    named |= {channel["fallback"] for channel in whole["channels"].values() if "fallback" in channel}
    for one in values.get("alertmanagers", ()):
        named |= set(one.get("watchdog", {}).get("channels", ()))
    others = {name: {"type": "telegram", "chat_id": -100} for name in sorted(named - set(whole["channels"]))}
    whole["channels"] = {**whole["channels"], **others} or {"chat": {"type": "telegram", "chat_id": -100}}
    whole.setdefault("routes", [{"channels": sorted(whole["channels"])}])
    return whole


@pytest.mark.parametrize("block", YAML["relay"], ids=where)
def test_a_relay_config_of_the_pages_loads(block: Block, tmp_path: Path) -> None:
    values = yaml.safe_load(block.text)
    whole = values if {"server", "channels", "routes"} <= set(values) else completed(values)
    names = re.findall(r"(?<!\$)\$\{(\w+)\}", block.text)
    environ = {name: "https://example.org/" if re.search("URL|HOOK", name) else "42:token" for name in names}
    config = load(Stage(tmp_path).write(whole), environ)
    assert set(config.channels) >= set(values.get("channels", ()))


@pytest.mark.parametrize("block", YAML["alertmanager"], ids=where)
def test_an_alertmanager_config_of_the_pages_is_good(block: Block, tmp_path: Path, amtool_path: Path) -> None:
    values = yaml.safe_load(block.text)
    values.setdefault("receivers", [{"name": values.get("route", {}).get("receiver", "relay")}])
    values.setdefault("route", {"receiver": values["receivers"][0]["name"]})
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(values))
    run([amtool_path, "check-config", file])


@pytest.mark.parametrize(("kind", "block"), [(k, b) for k in ("prometheus", "rules") for b in YAML[k]], ids=where)
def test_a_prometheus_config_of_the_pages_is_good(kind: str, block: Block, tmp_path: Path, promtool_path: Path) -> None:
    file = tmp_path / "file.yml"
    file.write_text(block.text)
    run([promtool_path, "check", "config" if kind == "prometheus" else "rules", file])


@pytest.mark.parametrize("block", YAML["compose"], ids=where)
def test_an_override_for_compose_names_its_services(block: Block) -> None:
    assert set(yaml.safe_load(block.text)["services"]) <= SERVICES


# -- commands ------------------------------------------------------------------------------------------------------------


def run(command: list[Any], **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, **options
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def check_relay(words: list[str]) -> None:
    """The command exists and knows these options."""
    known: Mapping[str, Any] = get_command(create_program()).commands  # type: ignore[attr-defined]  # a group of commands
    if words[:1] == ["--help"]:
        return
    assert words, "relay alone"
    assert words[0] in known, f"there is no relay {words[0]}"
    command = known[words[0]]
    if hasattr(command, "commands"):
        assert words[1] in command.commands, f"there is no relay {words[0]} {words[1]}"
        command = command.commands[words[1]]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
    given = {word.partition("=")[0] for word in words[1:] if word.startswith("-") and word != "-"}
    assert given <= options, f"relay {words[0]} does not know {sorted(given - options)}"


def check_make(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in words if "=" not in word} <= targets


VALUED = ("--volume", "--entrypoint", "--since", "--tail")
"""Options of compose whose value is a word of its own."""


def without(options: Sequence[str], words: list[str]) -> list[str]:
    """The words but for these options with their values."""
    return [
        word for before, word in zip(["", *words], words, strict=False) if word not in options and before not in options
    ]


def check_compose(words: list[str]) -> None:
    while words[0] == "-f":
        assert (ROOT / words[1]).is_file(), words[1]
        words = words[2:]
    command, rest = words[0], [word for word in without(VALUED, words[1:]) if word[0] != "-"]
    assert command in COMPOSE_COMMANDS
    services = [rest[0].partition(":")[0]] if command in {"exec", "run", "cp"} else rest
    assert set(services) <= SERVICES
    if command == "exec" and rest[1] == "relay":
        check_relay(words[words.index("relay") + 2 :])
    if command == "run" and "--entrypoint" not in words:
        check_relay(words[words.index("relay") + 1 :])


def check_pip(words: list[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [extra] = re.findall(r"^\.(?:\[(\w+)\])?$", words[0])  # from the checkout: a name could be anybody's
    assert not extra or extra in project["optional-dependencies"]


SUBSTITUTION = r"\$\(([^()]+)\)"


def check(command: str) -> None:
    for inner in re.findall(SUBSTITUTION, command):
        check(inner)
    command = re.sub(SUBSTITUTION, "", command)
    words = shlex.split(command.partition(" | ")[0].partition(" > ")[0])
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    program = words[0].removeprefix(".venv/bin/")
    if program == "relay":
        check_relay(words[1:])
    elif program == "make":
        check_make(words[1:])
    elif words[:2] == ["docker", "compose"]:
        check_compose(words[2:])
    elif words[:2] == ["pip", "install"]:
        check_pip(words[2:])
    elif words[0].startswith((".venv/bin/", "tools/", ".ci/")):
        assert (ROOT / words[0]).exists() or shutil.which(program), f"{words[0]} does not exist"
    else:
        assert words[0] in ELSEWHERE or words[:2] in (["docker", "build"], ["docker", "image"]), (
            f"nobody checks {words[0]}"
        )


@pytest.mark.parametrize("block", markdown.every_block("sh", "bash", "console"), ids=where)
def test_a_command_of_the_pages_exists_with_its_options(block: Block) -> None:
    lines = list(markdown.commands(block))
    assert lines
    for command in lines:
        check(command.partition("   #")[0].strip())


def setup_of(page: Path) -> str:
    """The lines that make the files of the stack, without those that start it."""
    [block] = [block for block in markdown.blocks(page, "sh") if "cp .env.example" in block.text]
    return "\n".join(line for line in markdown.commands(block) if not line.startswith("docker"))


@pytest.mark.parametrize("page", [README, ROOT / "README.ru.md", QUICKSTART], ids=lambda page: page.name)
def test_the_first_steps_make_a_config_that_the_container_starts_with(page: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / ".env.example", tmp_path)
    run(["bash", "-euo", "pipefail", "-c", setup_of(page)], cwd=tmp_path)
    secrets = tmp_path / "secrets"
    assert {file.name for file in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in secrets.iterdir()} == {0o644}
    assert len((secrets / "webhook_token").read_text()) > 30
    environ = variables(tmp_path / ".env") | COMPOSE["services"]["relay"]["environment"]
    environ = {name: value.replace("/run/secrets", str(secrets)) for name, value in environ.items()}
    config = load(None, environ)
    assert list(config.channels) == ["telegram"]
    assert [one.name for one in config.alertmanagers] == ["main"]


def test_the_steps_to_two_relays_need_nothing_that_a_small_system_lacks(tmp_path: Path) -> None:
    [block] = [block for block in markdown.blocks(DEPLOY_REPLICAS, "sh") if "compose.replicas.yaml" in block.text]
    shutil.copy(ROOT / ".env.example", tmp_path / ".env")
    shutil.copytree(ROOT / "alertmanager", tmp_path / "alertmanager")
    steps = "\n".join(line for line in markdown.commands(block) if not line.startswith("docker"))
    run(["bash", "-euo", "pipefail", "-c", steps], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"})
    environ = variables(tmp_path / ".env")
    assert len(environ["POSTGRES_PASSWORD"]) > 15
    assert environ["POSTGRES_PASSWORD"].isalnum(), "it becomes a part of an address"
    assert all((ROOT / file).is_file() for file in environ["COMPOSE_FILE"].split(":"))
    receivers = yaml.safe_load((tmp_path / "alertmanager" / "alertmanager.yml").read_text())["receivers"]
    assert receivers[0]["webhook_configs"][0]["url"] == "http://balancer:8080/webhook/main"


def variables(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_the_env_file_of_the_pages_is_the_one_that_is_shipped() -> None:
    shipped = (ROOT / ".env.example").read_text()
    for page in (README, ROOT / "README.ru.md", QUICKSTART):
        [block] = markdown.blocks(page, "ini")
        assert block.text in shipped


def test_every_variable_of_the_env_file_is_known() -> None:
    names = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    of_the_example = set(re.findall(r"(?<!\$)\$\{(\w+)\}", EXAMPLE.read_text())) - {"NAME"}
    assert len(names) > 5
    assert of_the_example <= names <= VARIABLES | of_the_example | {"RELAY_CONFIG"}


def test_the_readme_config_does_what_the_readme_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = [block for block in markdown.blocks(README, "yaml") if "channels" in yaml.safe_load(block.text)]
    Stage(tmp_path).write(yaml.safe_load(block.text))
    monkeypatch.chdir(tmp_path)
    [shown] = [block for block in markdown.blocks(README, "sh") if "relay route" in block.text]
    said = [CliRunner().invoke(create_program(), shlex.split(line)[1:]) for line in markdown.commands(shown)]
    assert [one.exit_code for one in said] == [0, 0, 0], [one.output for one in said]
    assert "3 channels, 3 routes" in said[0].output
    assert "channels: oncall, team, mail" in said[1].output
    assert said[2].output.strip()


def code_of_the_backup_page(word: str, folder: Path) -> list[str]:
    """The Python of the lines with this word, its files in this folder."""
    lines = [line for block in markdown.blocks(BACKUP, "sh") for line in markdown.commands(block)]
    found = [shlex.split(line)[-1] for line in lines if "sqlite3.connect" in line and word in line]
    assert found
    return [
        re.sub(r"(?<=[':])/(?:data/|var/lib/relay/|var/backups/)?(?=\w+\.db)", f"{folder}/", code) for code in found
    ]


def kept(file: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return [value for (value,) in database.execute("SELECT value FROM kept ORDER BY value")]


def test_the_backup_commands_copy_a_database_in_use_and_bring_it_back(tmp_path: Path) -> None:
    [in_compose, under_systemd] = [
        *code_of_the_backup_page(" exec ", tmp_path),
        *code_of_the_backup_page("/opt/", tmp_path),
    ]
    assert in_compose == under_systemd
    [restore] = code_of_the_backup_page(" run ", tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "relay.db")) as live:
        live.execute("PRAGMA journal_mode=WAL")
        live.execute("CREATE TABLE kept (value)")
        live.execute("INSERT INTO kept VALUES (42)")
        live.commit()
        run([sys.executable, "-c", in_compose], env={"PATH": os.environ["PATH"]})
        assert kept(tmp_path / "backup.db") == [42]
        live.execute("INSERT INTO kept VALUES (43)")
        live.commit()
        for name in ("relay.db", "relay.db-wal", "relay.db-shm"):  # as a crash leaves them
            shutil.copy(tmp_path / name, tmp_path / f"old-{name}")
    for name in ("relay.db", "relay.db-wal", "relay.db-shm"):
        shutil.move(tmp_path / f"old-{name}", tmp_path / name)
    (tmp_path / "backup.db").chmod(0o444)
    run([sys.executable, "-c", restore], env={"PATH": os.environ["PATH"]})
    assert kept(tmp_path / "relay.db") == [42]


# -- the Russian README --------------------------------------------------------------------------------------------------


def structure(page: Path) -> dict[str, list[Any]]:
    text = markdown.prose(page)
    return {
        "headings": [heading.split()[0] for heading in markdown.headings(page)],
        "code": [(block.language, block.text) for block in markdown.blocks(page)],
        "links": [target for target in markdown.links(page) if not target.startswith("README")],
        "tables": [line.count("|") for line in text.splitlines() if line.startswith("|")],
        "lists": [line[:2] for line in text.splitlines() if line.startswith("- ")],
    }


def test_the_russian_readme_has_the_structure_and_the_code_of_the_english_one() -> None:
    english, russian = structure(README), structure(ROOT / "README.ru.md")
    assert english["code"]
    for what, parts in english.items():
        assert russian[what] == parts, what


def test_the_russian_readme_is_in_russian() -> None:
    letters = [letter for letter in markdown.prose(ROOT / "README.ru.md") if letter.isalpha()]
    assert sum("а" <= letter.lower() <= "я" or letter in "ёЁ" for letter in letters) > 0.5 * len(letters)


# -- the reference of HTTP -----------------------------------------------------------------------------------------------


def shape(value: Any) -> Any:
    """The keys of an answer without its values; what has names of the config for keys counts by one of them."""
    if not isinstance(value, dict):
        return None
    return {
        key: shape(next(iter(one.values())) if key in ("channels", "alertmanagers") else one)
        for key, one in value.items()
    }


async def test_health_answers_in_the_shape_of_its_page(tmp_path: Path) -> None:
    [shown] = [json.loads(block.text) for block in markdown.blocks(ROOT / "docs/reference/http.md", "json")]
    relay = RelayProcess(
        tmp_path,
        {
            "alertmanagers": [{"name": "main", "urls": ["http://127.0.0.1:9"]}],
            "smtp": {"host": "127.0.0.1", "port": 9, "from": "relay@example.org"},
            "channels": {"oncall": {"type": "email", "to": ["ops@example.org"]}},
            "routes": [{"channels": ["oncall"]}],
        },
    )
    await relay.start()
    try:
        code, health = await relay.get("/health")
    finally:
        await relay.stop()
    assert code == 200
    assert shape(health) == shape(shown)
