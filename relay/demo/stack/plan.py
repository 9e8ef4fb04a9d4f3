"""What somebody who starts the stack asks for, and the ports that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relay.demo.players.server import CONTROL_PORT, SYSTEMS
from relay.demo.programs import free_port, is_free
from relay.demo.stack.shipped import Addresses

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where the stack listens; `players` is the first of six in a row."""

    page: int = 8090
    relay: int = 8080
    prometheus: int = 9090
    alertmanager: int = 9093
    players: int = CONTROL_PORT

    @property
    def systems(self) -> Mapping[str, int]:
        return {system.name: self.players + number for number, system in enumerate(SYSTEMS, 1)}

    @property
    def addresses(self) -> Addresses:
        return Addresses(
            prometheus=f"{HOST}:{self.prometheus}",
            alertmanager=f"{HOST}:{self.alertmanager}",
            relay=f"{HOST}:{self.relay}",
            systems={name: [f"{HOST}:{port}"] for name, port in self.systems.items()},
        )

    def taken(self) -> list[str]:
        """Those that somebody else listens on, each with what it was for."""
        wanted = {
            "the page": self.page,
            "the relay": self.relay,
            "Prometheus": self.prometheus,
            "Alertmanager": self.alertmanager,
            "the players": self.players,
            **{f"the player {name}": port for name, port in self.systems.items()},
        }
        return [f"port {port} of {HOST}, for {what}, is taken" for what, port in wanted.items() if not is_free(port)]


def free_ports() -> Ports:
    """Any that are free now."""
    while True:
        found = Ports(
            page=free_port(),
            relay=free_port(),
            prometheus=free_port(),
            alertmanager=free_port(),
            players=free_port(),
        )
        if not found.taken():
            return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`config` is a relay's config of somebody's own, with accounts of their own; without it stand-ins are used."""

    root: Path
    ports: Ports
    prometheus: str
    alertmanager: str
    config: Path | None = None
    quick: bool = True
    play: str = ""
    keep: bool = False
