"""The configs that are shipped for the stack, with the addresses and secrets of this machine in them.

Everything else in them stays: what runs here are the same rules, groups, routes, channels and texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from relay.demo.stack.rhythm import INTERVAL, quicken_routes, quicken_rules

NEEDED = ("prometheus/prometheus.yml", "prometheus/rules", "alertmanager/alertmanager.yml", "relay.example.yml")
_SWIFT = {"per_second": 20, "per_minute": 1000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything listens, as HOST:PORT; `systems` holds the targets of each job of the five."""

    prometheus: str
    alertmanager: str
    relay: str
    systems: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Platforms:
    """The stand-ins' addresses."""

    telegram: str
    slack: str
    mail_host: str
    mail_port: int


@dataclass(frozen=True, slots=True)
class Shipped:
    """The configs of a checkout. `quick` is the pace of `relay.demo.stack.rhythm`."""

    root: Path
    quick: bool = True

    def missing(self) -> list[str]:
        """What of the files is not there: only a checkout has them, an installed package has not."""
        return [name for name in NEEDED if not (self.root / name).exists()]

    def prometheus(self, at: Addresses, folder: Path) -> str:
        """Prometheus' config, with its rules in the folder. Jobs whose programs do not run here are left out."""
        config = self._read("prometheus/prometheus.yml")
        config["rule_files"] = [str(folder / "*.yml")]
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [at.alertmanager]}]}]
        own = {"prometheus": [at.prometheus], "alertmanager": [at.alertmanager], "relay": [at.relay]}
        targets = {**own, **at.systems}
        config["scrape_configs"] = [
            self._job(job, targets[job["job_name"]]) for job in config["scrape_configs"] if job["job_name"] in targets
        ]
        if self.quick:
            config["global"] |= {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
        return _written(config)

    def write_rules(self, folder: Path) -> None:
        """All rules into the folder: to be done when every target was scraped once, or what is not yet seen counts as down.

        At the shipped pace the rules are patient enough for a start; at the quick one a second is long.
        """
        for file in sorted((self.root / "prometheus" / "rules").glob("*.yml")):
            text = file.read_text(encoding="utf-8")
            (folder / file.name).write_text(quicken_rules(text) if self.quick else text, encoding="utf-8")

    def _job(self, job: Mapping[str, Any], targets: Sequence[str]) -> Mapping[str, Any]:
        dropped = {"file_sd_configs", "static_configs", *(["scrape_interval"] if self.quick else ())}
        kept = {key: value for key, value in job.items() if key not in dropped}
        return {**kept, "static_configs": [{"targets": list(targets)}]}

    def alertmanager(self, webhook: str, token_file: Path) -> str:
        """Alertmanager's config, which posts to `webhook` with the token in the file."""
        text = (self.root / "alertmanager/alertmanager.yml").read_text(encoding="utf-8")
        config = yaml.safe_load(quicken_routes(text) if self.quick else text)
        for receiver in config["receivers"]:
            for hook in receiver.get("webhook_configs", ()):
                hook["url"] = webhook
                hook["http_config"]["authorization"]["credentials_file"] = str(token_file)
        return _written(config)

    def relay(self, at: Addresses, platforms: Platforms, folder: Path) -> dict[str, Any]:
        """The relay's example config, `${NAME}`s still in it, that talks to stand-ins, as fast as they like."""
        config = self._read("relay.example.yml")
        config["server"]["listen"] = at.relay
        config["database"]["url"] = f"sqlite:///{folder / 'relay.db'}"
        config["alertmanagers"][0]["urls"] = [f"http://{at.alertmanager}"]
        if self.quick:
            config["alertmanagers"][0]["poll"] = "2s"
        config["telegram"]["api_url"] = platforms.telegram
        config["slack"]["api_url"] = platforms.slack
        sender = config["smtp"]["from"]
        config["smtp"] = {"host": platforms.mail_host, "port": platforms.mail_port, "from": sender, "tls": "none"}
        for channel in config["channels"].values():
            channel["limits"] = _SWIFT
        return config

    def _read(self, name: str) -> dict[str, Any]:
        read: dict[str, Any] = yaml.safe_load((self.root / name).read_text(encoding="utf-8"))
        return read


def _written(config: Mapping[str, Any]) -> str:
    return yaml.safe_dump(config, allow_unicode=True, sort_keys=False)
