"""Where the demo's alerts come from: a real Alertmanager if one is installed, else its stand-in and webhooks of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import aiohttp
import yaml

from relay.alerts import fingerprint_of
from relay.clock import Millis, system_clock
from relay.demo.alertmanager import FakeAlertmanager
from relay.demo.alertmanager_rules import rfc3339
from relay.demo.programs import Program, find_program, free_port

ALERTMANAGERS = ("prometheus-alertmanager", "alertmanager")
"""What the program is called: by Debian, and by its makers."""
GROUP_BY = ("service", "line")
RECEIVER = "relay"
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as a rule of Prometheus makes it."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """Where webhooks go, and the token that opens the door."""

    url: str
    token: str


Group = tuple[tuple[str, str], ...]
"""The labels by which Alertmanager groups, as an alert has them."""


class Source(Protocol):
    """An Alertmanager, as far as the story is concerned."""

    url: str
    told: str
    """What the page says about it."""

    async def start(self, relay: Address) -> None: ...
    async def fire(self, alerts: Sequence[Alert]) -> None: ...
    async def resolve(self, alerts: Sequence[Alert]) -> None: ...
    async def stop(self) -> None: ...


def find_alertmanager() -> str | None:
    """The path of an Alertmanager that is installed, or unpacked in a checkout."""
    return find_program(*ALERTMANAGERS)


class RealAlertmanager:
    """A real one in a process of its own. Its address is known before it runs, for the relay's config names it."""

    def __init__(self, program: str, folder: Path) -> None:
        port = free_port()
        self._folder = folder
        self._config = folder / "alertmanager.yml"
        self.url = f"http://127.0.0.1:{port}"
        self.told = "A real Alertmanager groups the alerts and keeps the silences."
        words = [
            program,
            f"--config.file={self._config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ]
        self._program = Program(words, url=self.url, log=folder / "alertmanager.log")

    async def start(self, relay: Address) -> None:
        """Returns when it is ready; raises `RuntimeError` when it does not become so."""
        self._folder.mkdir(exist_ok=True)
        self._config.write_text(yaml.safe_dump(_config(relay), sort_keys=False), encoding="utf-8")
        await self._program.start()

    async def fire(self, alerts: Sequence[Alert]) -> None:
        await self._post([_posted(alert) for alert in alerts])

    async def resolve(self, alerts: Sequence[Alert]) -> None:
        ended = rfc3339(system_clock())
        await self._post([{**_posted(alert), "endsAt": ended} for alert in alerts])

    async def stop(self) -> None:
        await self._program.stop()

    async def _post(self, alerts: Sequence[object]) -> None:
        url = f"{self.url}/api/v2/alerts"
        async with aiohttp.ClientSession() as session, session.post(url, json=alerts) as answer:
            answer.raise_for_status()


class StandInAlertmanager:
    """The stand-in keeps alerts and silences; the webhooks, which it cannot send, are ours."""

    def __init__(self) -> None:
        self._server = FakeAlertmanager(port=free_port(), receiver=RECEIVER)
        self._relay = Address("", "")
        self._firing: dict[str, tuple[Alert, Millis]] = {}
        self.url = self._server.url
        self.told = "No Alertmanager program was found: silences act on a stand-in."

    async def start(self, relay: Address) -> None:
        self._relay = relay
        await self._server.start()

    async def fire(self, alerts: Sequence[Alert]) -> None:
        now = system_clock()
        for alert in alerts:
            self._server.put_alert(alert.labels, alert.annotations, generator_url=alert.source)
            self._firing.setdefault(fingerprint_of(alert.labels), (alert, now))
        await self._tell(alerts, {})

    async def resolve(self, alerts: Sequence[Alert]) -> None:
        now = system_clock()
        ended = {}
        for alert in alerts:
            self._server.end_alert(alert.labels)
            fingerprint = fingerprint_of(alert.labels)
            if fingerprint in self._firing:
                ended[fingerprint] = (*self._firing.pop(fingerprint), now)
        await self._tell(alerts, ended)

    async def stop(self) -> None:
        await self._server.stop()

    async def _tell(self, alerts: Sequence[Alert], ended: Mapping[str, tuple[Alert, Millis, Millis]]) -> None:
        """One webhook for each group that changed, with all of the group, as Alertmanager does it."""
        groups: dict[Group, list[dict[str, object]]] = {_group_of(alert): [] for alert in alerts}
        for alert, starts in self._firing.values():
            groups.get(_group_of(alert), []).append(_listed(alert, starts, None))
        for alert, starts, ends in ended.values():
            groups[_group_of(alert)].append(_listed(alert, starts, ends))
        headers = {"Authorization": f"Bearer {self._relay.token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            for group, listed in groups.items():
                if listed:
                    async with session.post(f"{self._relay.url}/webhook", json=self._message(group, listed)) as answer:
                        answer.raise_for_status()

    def _message(self, group: Group, listed: Sequence[Mapping[str, object]]) -> dict[str, object]:
        return {
            "version": "4",
            "groupKey": f"{{}}:{{{', '.join(f'{name}={json.dumps(value)}' for name, value in group)}}}",
            "truncatedAlerts": 0,
            "status": "firing" if any(one["status"] == "firing" for one in listed) else "resolved",
            "receiver": RECEIVER,
            "groupLabels": dict(group),
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": self.url,
            "alerts": listed,
        }


def _config(relay: Address) -> Mapping[str, object]:
    """Faster than anybody would want it, and without an end to alerts that are not posted again."""
    authorization = {"type": "Bearer", "credentials": relay.token}
    webhook = {
        "url": f"{relay.url}/webhook",
        "send_resolved": True,
        "http_config": {"authorization": authorization},
    }
    return {
        "global": {"resolve_timeout": "24h"},
        "route": {
            "receiver": RECEIVER,
            "group_by": list(GROUP_BY),
            "group_wait": "1s",
            "group_interval": "2s",
            "repeat_interval": "4h",
        },
        "receivers": [{"name": RECEIVER, "webhook_configs": [webhook]}],
    }


def _group_of(alert: Alert) -> Group:
    return tuple((name, alert.labels[name]) for name in GROUP_BY if name in alert.labels)


def _posted(alert: Alert) -> dict[str, object]:
    return {"labels": alert.labels, "annotations": alert.annotations, "generatorURL": alert.source}


def _listed(alert: Alert, starts: Millis, ends: Millis | None) -> dict[str, object]:
    return {
        **_posted(alert),
        "status": "firing" if ends is None else "resolved",
        "startsAt": rfc3339(starts),
        "endsAt": _NEVER if ends is None else rfc3339(ends),
        "fingerprint": fingerprint_of(alert.labels),
    }
