"""What deploy/ ships: the Helm chart, the plain manifest, the balancer's config and the compose file for two relays."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from relay.config import Config, load
from tests import programs
from tests.charts import ChartRefused, lint, misshapen, render
from tests.programs import ROOT

CHART = ROOT / "deploy" / "helm"
MANIFEST = ROOT / "deploy" / "kubernetes" / "relay.yaml"
SECRETS = ("webhook_token", "telegram_token", "database_url")
EVERYTHING = {
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "relay-tls", "annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "podAnnotations": {"c": "d"},
    "service": {"type": "LoadBalancer", "port": 80, "annotations": {"e": "f"}},
    "replicas": 3,
}


def manifest() -> dict[str, dict[str, Any]]:
    return {one["kind"]: one for one in yaml.safe_load_all(MANIFEST.read_text())}


def config_in(objects: Mapping[str, Any], folder: Path) -> Config:
    """What the relay makes of the config map, with a file for each secret."""
    for name in SECRETS:
        (folder / name).write_text("postgresql://relay@host/relay" if name == "database_url" else "123:secret-of-bot")
    text = objects["ConfigMap"]["data"]["relay.yml"].replace("/run/secrets/relay", str(folder))
    (folder / "relay.yml").write_text(text)
    return load(folder / "relay.yml", {})


def pod_of(objects: Mapping[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return pod


def test_the_chart_is_without_fault() -> None:
    assert lint(CHART) == []


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
def test_what_the_chart_makes_is_what_kubernetes_takes(values: dict[str, Any], tmp_path: Path) -> None:
    objects = render(CHART, values)
    assert misshapen(list(objects.values())) == []
    assert objects["Deployment"]["spec"]["replicas"] == values.get("replicas", 2)
    assert {"ConfigMap", "Service", "Deployment", "PodDisruptionBudget"} <= objects.keys()
    assert ("ServiceMonitor" in objects, "Ingress" in objects) == (bool(values), bool(values))
    assert list(config_in(objects, tmp_path).channels) == ["oncall"]


def test_the_plain_manifest_is_what_kubernetes_takes_and_runs_the_relay_as_the_chart_does(tmp_path: Path) -> None:
    plain, made = manifest(), render(CHART, {})
    assert misshapen(list(plain.values())) == []
    assert plain.keys() == made.keys()
    assert config_in(plain, tmp_path) == config_in(made, tmp_path)
    ours, theirs = pod_of(plain), pod_of(made)
    assert ours["containers"][0] == {k: v for k, v in theirs["containers"][0].items() if k != "imagePullPolicy"}
    assert ours["securityContext"] == theirs["securityContext"]
    assert ours["volumes"] == theirs["volumes"]
    assert plain["Deployment"]["spec"]["strategy"] == made["Deployment"]["spec"]["strategy"]
    assert plain["PodDisruptionBudget"]["spec"]["minAvailable"] == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replica": 3}, "replica"),
        ({"replicas": 0}, "replicas"),
        ({"existingSecret": ""}, "existingSecret"),
        ({"config": {"database": {"url": "sqlite:////data/relay.db"}}}, "several replicas need PostgreSQL"),
        ({"config": {"database": {"url": "sqlite:////data/relay.db"}}, "replicas": 1}, "SQLite needs a volume"),
        ({"config": {"server": {"ops_listen": "127.0.0.1:8081"}}}, "the probes ask port 8080"),
        ({"config": {"server": {"listen": "0.0.0.0:9000"}}}, "the probes ask port 8080"),
    ],
)
def test_the_chart_refuses_what_cannot_work(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ChartRefused, match=said):
        render(CHART, values)


def test_what_the_operator_scrapes_is_called_as_the_rules_call_it() -> None:
    [endpoint] = render(CHART, EVERYTHING)["ServiceMonitor"]["spec"]["endpoints"]
    rules = (ROOT / "prometheus" / "rules" / "relay.yml").read_text()
    [job] = set(re.findall(r'job="(\w+)"', rules))
    assert {"targetLabel": "job", "replacement": job} in endpoint["relabelings"]


def test_one_relay_needs_no_budget_for_disruptions() -> None:
    assert "PodDisruptionBudget" not in render(CHART, {"replicas": 1})


def test_one_relay_keeps_sqlite_on_a_volume_that_two_pods_never_share(tmp_path: Path) -> None:
    database = {"url": "sqlite:////data/relay.db", "url_file": None}
    objects = render(CHART, {"replicas": 1, "existingClaim": "relay-data", "config": {"database": database}})
    assert misshapen(list(objects.values())) == []
    assert config_in(objects, tmp_path).database.url.get_secret_value() == "sqlite:////data/relay.db"
    pod = pod_of(objects)
    assert {"name": "data", "mountPath": "/data"} in pod["containers"][0]["volumeMounts"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "relay-data"}} in pod["volumes"]
    assert objects["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_secrets_are_files_and_nowhere_else() -> None:
    for objects in (manifest(), render(CHART, {})):
        container = pod_of(objects)["containers"][0]
        assert "env" not in container
        assert "envFrom" not in container
        assert [one["name"] for one in pod_of(objects)["volumes"] if "secret" in one] == ["secrets"]
        assert "Secret" not in objects


def test_the_balancers_config_is_one() -> None:
    addresses = {"RELAY_1": "127.0.0.1:1", "RELAY_2": "127.0.0.1:2", "LISTEN": "127.0.0.1:8080"}
    command = [str(programs.find("haproxy", "haproxy")), "-c", "-f", str(ROOT / "deploy" / "haproxy" / "haproxy.cfg")]
    run = subprocess.run(
        command, env={**os.environ, **addresses}, capture_output=True, text=True, check=False, timeout=20
    )
    assert run.returncode == 0, run.stderr
    assert "WARNING" not in run.stderr


def test_two_relays_of_the_compose_file_differ_in_nothing() -> None:
    single, override = read_compose("compose.yaml"), read_compose("compose.replicas.yaml")
    services = override["services"]
    assert services["relay"] == {name: value for name, value in services["relay-2"].items() if name != "extends"}
    assert services["relay-2"]["extends"] == {"file": "compose.yaml", "service": "relay"}
    environ = single["services"]["relay"]["environment"] | services["relay"]["environment"]
    assert environ["RELAY_DATABASE_URL"].endswith("@postgres/relay")
    balancer = services["balancer"]
    assert {balancer["environment"][name] for name in ("RELAY_1", "RELAY_2")} == {"relay:8080", "relay-2:8080"}
    assert balancer["ports"] == single["services"]["relay"]["ports"]
    assert (ROOT / balancer["volumes"][0].partition(":")[0] / "haproxy.cfg").is_file()
    assert set(override["volumes"]) == {"postgres-data"}


class _Compose(yaml.SafeLoader):
    """Knows compose's `!reset`, which empties what the first file said."""


_Compose.add_constructor("!reset", lambda _loader, _node: None)


def read_compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load((ROOT / name).read_text(), _Compose)  # a SafeLoader
    return found
