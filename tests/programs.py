"""Where the real programs are that tests drive, and what happens when one is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNPACKED = ROOT / ".cache" / "servers"
"""Where `tools/servers` unpacks what is not installed."""
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"])
"""Servers lie in a folder that not every user looks into."""


def missing(tool: str, what: str) -> NoReturn:
    """Ends the test for want of a tool: skipped on a laptop, failed where `RELAY_REQUIRE` names the tool."""
    required = {name.strip() for name in os.environ.get("RELAY_REQUIRE", "").split(",")}
    if tool in required or "all" in required:
        pytest.fail(f"{what} is missing, and RELAY_REQUIRE names {tool}: run `make servers`")
    pytest.skip(f"{what} is missing: run `make servers`")


def find(tool: str, *names: str) -> Path:
    """The first program of these names, unpacked or on the PATH; skips or fails the test if there is none."""
    for name in names:
        unpacked = UNPACKED / "bin" / name
        found = shutil.which(name, path=_PATH) or (str(unpacked) if unpacked.exists() else None)
        if found:
            return Path(found)
    missing(tool, names[0])


@dataclass(frozen=True)
class AlertmanagerProgram:
    """One version of Alertmanager, with the `amtool` of the same version."""

    path: Path
    amtool: Path

    @cached_property
    def version(self) -> tuple[int, ...]:
        run = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=True, timeout=20)
        found = re.search(r"version (\d+)\.(\d+)\.(\d+)", run.stdout + run.stderr)
        assert found, f"{self.path} does not tell its version"
        return tuple(int(part) for part in found.groups())


def alertmanager_names() -> list[str]:
    """One name for each version that tests run against: `installed`, and each newer one; `newer` if none was unpacked."""
    newer = sorted(path.name.removeprefix("alertmanager-") for path in UNPACKED.glob("alertmanager-*"))
    return ["installed", *(newer or ["newer"])]


def find_alertmanager(name: str) -> AlertmanagerProgram:
    """The program for one of `alertmanager_names`; skips or fails the test if it is not there."""
    if name == "installed":
        return AlertmanagerProgram(
            find("alertmanager", "prometheus-alertmanager", "alertmanager"), find("amtool", "amtool")
        )
    folder = UNPACKED / f"alertmanager-{name}" / "usr" / "bin"
    if not folder.is_dir():
        missing("alertmanager", "a newer Alertmanager")
    return AlertmanagerProgram(folder / "prometheus-alertmanager", folder / "amtool")


def find_postgres() -> Path:
    """The folder of `initdb`, `postgres` and `psql`, the newest version if there are several."""
    folders: Iterable[Path] = [UNPACKED / "bin", *_newest_first(Path("/usr/lib/postgresql").glob("*/bin"))]
    on_path = shutil.which("initdb")
    for folder in [*folders, *([Path(on_path).resolve().parent] if on_path else [])]:
        if all((folder / name).exists() for name in ("initdb", "postgres", "psql")):
            return folder
    missing("postgres", "PostgreSQL")


def find_charts() -> Path:
    """The folder of modules that render Helm charts and know the shapes of Kubernetes' objects."""
    folder = UNPACKED / "charts"
    if not (folder / "helm_python").is_dir():
        missing("helm", "Helm")
    return folder


def find_chromium() -> Path:
    return find("chromium", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def _newest_first(folders: Iterable[Path]) -> list[Path]:
    return sorted(folders, key=lambda folder: float(folder.parent.name), reverse=True)
