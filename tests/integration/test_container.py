"""The files that run the relay elsewhere: image, stack, Alertmanager's and Prometheus' configs, systemd unit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from relay.app.relay import GRACE
from relay.demo.players.server import CONTROL_PORT, SYSTEMS
from relay.durations import parse_duration
from tests.programs import ROOT
from tests.relay_process import TOKEN, RelayProcess
from tests.servers import AlertmanagerStarter, PrometheusStarter
from tests.shipped import post_alerts_until_one_is_inhibited

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: Mapping[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]
ALERTMANAGER = ROOT / "alertmanager" / "alertmanager.yml"
PROMETHEUS: Mapping[str, Any] = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())


def run(*command: object, good: bool = True) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode == 0) is good, done.stdout + done.stderr
    return done.stdout


# -- the image -------------------------------------------------------------------------------------------------------------


def instructions(name: str) -> list[str]:
    """What follows each instruction of this name, its continued lines joined."""
    lines = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [line.split(maxsplit=1)[1].strip() for line in lines if line.split(maxsplit=1)[:1] == [name]]


def test_every_stage_stands_on_the_base_that_the_builder_may_choose() -> None:
    stages = instructions("FROM")
    assert len(stages) == 2
    assert all(stage.split()[0] == "${BASE}" for stage in stages)
    assert DOCKERFILE.index("ARG BASE=") < DOCKERFILE.index("FROM")


def test_the_image_runs_as_a_user_by_number_and_stops_on_sigterm() -> None:
    last = DOCKERFILE.rpartition("\nFROM")[2]
    [user] = re.findall(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert int(user[0]) >= 10000
    assert instructions("STOPSIGNAL") == ["SIGTERM"]
    assert [json.loads(one) for one in instructions("ENTRYPOINT") + instructions("CMD")] == [["relay"], ["serve"]]


def test_the_build_takes_nothing_without_a_hash_and_builds_nothing_from_source() -> None:
    installs = [one for one in instructions("RUN") if "pip" in one]
    assert installs
    assert all("--require-hashes" in one and "--only-binary=:all:" in one for one in installs)
    assert "apt-get" not in DOCKERFILE
    assert "ADD " not in DOCKERFILE


def test_what_the_build_copies_exists_and_is_sent_to_the_builder() -> None:
    sources = [line.split()[0] for line in instructions("COPY") if not line.startswith("--from")]
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert len(sources) >= 4
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch(source, pattern) for pattern in kept), f".dockerignore hides {source}"
    assert not any(re.search(r"secret|\.env|\.git", pattern) for pattern in kept)


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/-/healthy" else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_the_health_check_tells_a_healthy_relay_from_one_that_is_not() -> None:
    [text] = instructions("HEALTHCHECK")
    command = json.loads(text[text.index("CMD ") + 4 :])
    assert command[:2] == ["python3", "-c"]
    assert "http://127.0.0.1:8080/-/healthy" in command[2]
    assert instructions("EXPOSE") == ["8080"]
    server = HTTPServer(("127.0.0.1", 0), Health)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        codes = []
        for path in ("/-/healthy", "/elsewhere"):
            url = f"http://127.0.0.1:{server.server_address[1]}{path}"
            environment = {"RELAY_HEALTH_URL": url, "http_proxy": "http://127.0.0.1:9"}
            done = subprocess.run(
                [sys.executable, "-c", command[2]], env=environment, capture_output=True, timeout=30, check=False
            )
            codes.append(done.returncode)
        assert codes == [0, 1]
    finally:
        server.shutdown()
        server.server_close()


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / lock).read_text()
    assert "://" not in text, "a lock names no address"
    entries = re.split(r"^(?=\w)", text, flags=re.MULTILINE)[1:]
    assert all("--hash=sha256:" in entry for entry in entries)
    return {one[1].lower(): one[2] for entry in entries if (one := re.match(r"([\w.-]+)==([\w.!+-]+)", entry))}


def test_the_image_installs_the_same_versions_that_are_tested_and_nothing_for_developers() -> None:
    runtime, every = pins("requirements-runtime.lock"), pins("requirements.lock")
    assert runtime.items() <= every.items(), "run `make lock`"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["apprise"]]
    names = {re.split(r"[\[<>=~! ]", one)[0].lower().replace("_", "-") for one in wanted}
    assert names <= set(runtime)
    assert not {"pytest", "ruff", "mypy", "playwright"} & set(runtime)


# -- the stack -------------------------------------------------------------------------------------------------------------


def test_the_stack_has_all_five_and_each_says_whether_it_is_well() -> None:
    assert set(SERVICES) == {"relay", "alertmanager", "prometheus", "grafana", "players"}
    ours = {name for name, service in SERVICES.items() if service["image"] == SERVICES["relay"]["image"]}
    assert all(("healthcheck" in service) is (name not in ours) for name, service in SERVICES.items())
    assert instructions("HEALTHCHECK"), "the relay's own is in its image"
    assert SERVICES["players"]["environment"]["RELAY_HEALTH_URL"] == f"http://127.0.0.1:{CONTROL_PORT}/-/healthy"


def test_services_use_only_secrets_volumes_and_services_that_exist() -> None:
    used: set[str] = set()
    for service in SERVICES.values():
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        used |= set(service.get("secrets", ()))
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_dir() if source.startswith("./") else source in COMPOSE["volumes"]
        text = json.dumps(service)
        assert set(re.findall(r"/run/secrets/(\w+)", text)) <= set(service.get("secrets", ()))
    assert used == set(COMPOSE["secrets"])
    assert all(one["file"].startswith("./secrets/") for one in COMPOSE["secrets"].values())


def test_secrets_are_never_committed_or_built_into_the_image() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {"secrets/", ".env"} <= {line.lstrip("/") for line in ignored}


def test_ports_are_open_on_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    assert len(ports) == 5
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_relay_has_time_to_stop_and_may_write_to_its_data_alone() -> None:
    relay = SERVICES["relay"]
    assert parse_duration(relay["stop_grace_period"]) > GRACE * 1000
    assert relay["read_only"] is True
    assert relay["cap_drop"] == ["ALL"]
    assert [volume.partition(":")[2] for volume in relay["volumes"]] == instructions("VOLUME")[0].strip('[]"').split()
    assert relay["environment"]["RELAY_DATABASE_URL"].startswith("sqlite:////data/")


# -- Alertmanager and Prometheus -------------------------------------------------------------------------------------------


def test_alertmanager_posts_where_the_relay_listens_with_the_token_that_the_relay_reads() -> None:
    config = yaml.safe_load(ALERTMANAGER.read_text())
    [webhook] = config["receivers"][0]["webhook_configs"]
    [port] = instructions("EXPOSE")
    assert webhook["url"] == f"http://relay:{port}/webhook/main"
    token = webhook["http_config"]["authorization"]["credentials_file"]
    assert token == SERVICES["relay"]["environment"]["RELAY_WEBHOOK_TOKEN_FILE"]
    assert SERVICES["relay"]["environment"]["ALERTMANAGER_URL"] == "http://alertmanager:9093"


def test_a_critical_alert_mutes_the_warning_of_its_instance_and_no_other(
    start_alertmanager: AlertmanagerStarter,
) -> None:
    url = start_alertmanager(ALERTMANAGER.read_text())
    here = {"service": "db", "instance": "db-1"}
    alerts: list[dict[str, str]] = [
        {"alertname": "Down", "severity": "critical", **here},
        {"alertname": "NowhereDown", "severity": "critical"},
        {"alertname": "Slow", "severity": "warning", **here},
        {"alertname": "SlowElsewhere", "severity": "warning", "service": "db", "instance": "db-2"},
        {"alertname": "SlowNowhere", "severity": "warning"},
        {"alertname": "Note", "severity": "info", **here},
    ]
    muted = post_alerts_until_one_is_inhibited(url, alerts)
    assert [labels["alertname"] for labels in muted] == ["Slow"]


def test_promtool_takes_the_prometheus_config_and_its_rules(promtool_path: Path) -> None:
    run(promtool_path, "check", "config", ROOT / "prometheus" / "prometheus.yml")
    rules = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    assert rules
    run(promtool_path, "check", "rules", *rules)


def test_prometheus_watches_every_service_of_the_stack_and_every_player() -> None:
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    assert set(SERVICES) - {"players"} <= set(jobs)
    for number, system in enumerate(SYSTEMS, 1):
        [file] = jobs[system.name]["file_sd_configs"][0]["files"]
        [group] = yaml.safe_load((ROOT / "prometheus" / file).read_text())
        assert group["targets"] == [f"players:{CONTROL_PORT + number}"]
        assert jobs[system.name].get("metrics_path", "/metrics") == system.path


def test_the_players_run_from_the_image_with_a_module_that_it_has() -> None:
    players = SERVICES["players"]
    assert players["image"] == SERVICES["relay"]["image"]
    assert players["ports"] == [f"127.0.0.1:{CONTROL_PORT}:{CONTROL_PORT}"]
    program = [*players["entrypoint"], *players["command"], "--help"]
    assert "--host" in run(sys.executable, *program[1:])


def test_whatever_leaves_prometheus_says_where_it_is_from_and_a_pair_sends_the_same_alerts() -> None:
    external = set(PROMETHEUS["global"]["external_labels"])
    dropped = {rule["regex"] for rule in PROMETHEUS["alerting"]["alert_relabel_configs"]}
    assert external == {"environment", "replica"}
    assert dropped == {"replica"}


RULES_TEST = """
rule_files: [{rules}]
evaluation_interval: 15s
tests:
  - interval: 15s
    input_series:
      - {{series: 'up{{job="relay", instance="relay:8080"}}', values: '1x4 0x20'}}
      - {{series: 'up{{job="grafana", instance="grafana:3000"}}', values: '1x30'}}
    alert_rule_test:
      - eval_time: 1m30s
        alertname: TargetDown
        exp_alerts: []
      - eval_time: 3m
        alertname: TargetDown
        exp_alerts:
          - exp_labels: {{job: relay, instance: 'relay:8080', service: relay, severity: critical}}
            exp_annotations:
              summary: relay on relay:8080 does not answer
              description: Prometheus could not scrape it for a minute.
"""


def test_a_target_that_is_down_for_a_minute_fires(promtool_path: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.yml"
    file.write_text(RULES_TEST.format(rules=ROOT / "prometheus" / "rules" / "example.yml"))
    run(promtool_path, "test", "rules", file)
    file.write_text(file.read_text().replace("eval_time: 1m30s", "eval_time: 4m"))
    run(promtool_path, "test", "rules", file, good=False)


def test_grafana_finds_the_prometheus_of_the_stack() -> None:
    [source] = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"] is True


# -- systemd ---------------------------------------------------------------------------------------------------------------


def unit() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (ROOT / "deploy" / "relay.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_systemd_unit_checks_starts_and_gives_time_to_stop() -> None:
    service = unit()
    assert service["ExecStartPre"][0].split()[1:] == ["check", "--config", "/etc/relay/relay.yml"]
    assert service["ExecStart"][0].split()[1:] == ["serve", "--config", "/etc/relay/relay.yml"]
    assert parse_duration(service["TimeoutStopSec"][0]) > GRACE * 1000
    assert service["WorkingDirectory"] == [f"/var/lib/{service['StateDirectory'][0]}"]


def test_the_systemd_unit_may_do_little() -> None:
    service = unit()
    on = ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces")
    assert [service[name] for name in on] == [["yes"]] * len(on)
    assert service["ProtectSystem"] == ["strict"]
    assert service["CapabilityBoundingSet"] == [""]


@pytest.mark.parametrize("name", ["webhook", "telegram"])
def test_the_secrets_of_the_unit_are_those_of_the_page_on_security(name: str) -> None:
    assert f"{name}:/etc/relay/secrets/{name}" in unit()["LoadCredential"]
    assert f"/run/credentials/relay.service/{name}" in (ROOT / "docs/howto/security.md").read_text()


# -- all of it together ----------------------------------------------------------------------------------------------------


async def test_an_alert_of_the_shipped_rules_finds_its_way_through_the_shipped_configs(
    start_prometheus: PrometheusStarter, start_alertmanager: AlertmanagerStarter, tmp_path: Path
) -> None:
    """The same files as in the stack; only names of hosts and the rhythm of Prometheus are others."""
    relay = RelayProcess(
        tmp_path,
        {
            "alertmanagers": [{"name": "main", "urls": ["http://127.0.0.1:9"], "poll": 0}],
            "smtp": {"host": "127.0.0.1", "port": 9, "from": "relay@example.org", "tls": "none"},
            "channels": {"mail": {"type": "email", "to": ["ops@example.org"]}},
            "routes": [{"channels": ["mail"]}],
        },
    )
    await relay.start()
    try:
        (tmp_path / "webhook_token").write_text(TOKEN)
        config = ALERTMANAGER.read_text().replace("http://relay:8080", relay.url)
        alertmanager = start_alertmanager(config.replace("/run/secrets", str(tmp_path)))
        targets = f"files: [{ROOT}/prometheus/targets/"
        prometheus = (ROOT / "prometheus" / "prometheus.yml").read_text().replace("15s", "1s")
        prometheus = prometheus.replace("files: [targets/", targets)
        prometheus = prometheus.replace("alertmanager:9093", alertmanager.removeprefix("http://"))
        start_prometheus(
            prometheus.replace("rules/*.yml", "example.yml"),
            rules={"example.yml": (ROOT / "prometheus" / "rules" / "example.yml").read_text()},
            arguments=["--rules.alert.resend-delay=5s"],
        )
        await relay.until_channel(lambda mail: mail["pending"] == 1, "mail")
        _, health = await relay.get("/health")
        assert health["alertmanagers"]["main"]["last_webhook"]
    finally:
        await relay.kill()
