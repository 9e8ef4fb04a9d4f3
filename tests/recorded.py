"""Webhook bodies as real Alertmanagers posted them, byte for byte (see `tests/payloads/README.md`)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.programs import ROOT

_FOLDER = ROOT / "tests" / "payloads"


@dataclass(frozen=True)
class Recorded:
    """One recorded body: the Alertmanager's version, the scenario (with `.01`, `.02` … for its parts), the bytes."""

    version: str
    name: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.version}/{self.name}"


def payload(name: str, version: str = "0.33.1") -> bytes:
    """The body of a scenario such as `firing_single` or `mixed_group.02`."""
    return (_FOLDER / version / f"{name}.json").read_bytes()


def all_payloads() -> list[Recorded]:
    """All bodies of all versions, in order, without `custom_payload`, which is no webhook message."""
    files = sorted(_FOLDER.glob("*/*.json"))
    return [Recorded(file.parent.name, file.stem, file.read_bytes()) for file in files if file.stem != "custom_payload"]
