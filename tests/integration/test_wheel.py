"""What users install: the wheel, built from the source archive, works far from any checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import relay
from tests.programs import ROOT


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """What the command says on stdout; fails the test with all that it says when it ends with another code than 0."""
    environment = os.environ | environment
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the unpacked wheel alone; its dependencies are those of the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", ROOT, cwd=folder)
    wheel = next((folder / "dist").glob("*.whl"))
    pip = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--no-deps", "--no-index", "--no-compile", "--target", folder / "site", wheel, cwd=folder)
    return folder


def relay_command(installed: Path, *words: str) -> str:
    return run(sys.executable, "-m", "relay", *words, cwd=installed, PYTHONPATH=str(installed / "site"))


def files_below(folder: Path, pattern: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.glob(pattern) if path.is_file()}


def test_the_package_that_is_imported_is_the_installed_one(installed: Path) -> None:
    code = "import relay, json; print(json.dumps([relay.__file__, relay.__version__]))"
    place, version = json.loads(run(sys.executable, "-c", code, cwd=installed, PYTHONPATH=str(installed / "site")))
    assert Path(place).is_relative_to(installed)
    assert version == relay.__version__


def test_the_wheel_carries_every_template_text_and_migration(installed: Path) -> None:
    package = installed / "site" / "relay"
    assert files_below(package / "templates", "**/*") == files_below(ROOT / "templates", "**/*") != set()
    assert files_below(package, "locale/**/*.po") == files_below(ROOT / "relay", "locale/**/*.po") != set()
    assert files_below(package, "migrations/**/*.py") == files_below(ROOT / "relay", "migrations/**/*.py") != set()
    assert files_below(package, "py.typed")


def test_the_installed_relay_tells_its_version(installed: Path) -> None:
    assert relay.__version__ in relay_command(installed, "version")


def test_the_installed_relay_renders_with_the_templates_of_the_wheel(installed: Path) -> None:
    assert relay_command(installed, "render", "--type", "telegram").strip()
    assert relay_command(installed, "render", "--type", "email").strip()
