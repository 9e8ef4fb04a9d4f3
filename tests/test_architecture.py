"""Rules of the code base that no linter knows; the direction of imports is import-linter's (see `pyproject.toml`)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import ROOT

LONGEST_MODULE = 300
LONGEST_FUNCTION = 40
VAGUE = re.compile(r"(^|_)(utils?|helpers?|managers?|common|misc)$|Manager$|Helper$|^Base[A-Z]")
SOURCES = sorted((ROOT / "relay").rglob("*.py"))
HANDWRITTEN = [path for path in SOURCES if "versions" not in path.parts] + sorted((ROOT / "grafana").rglob("*.py"))

# Written with classes of one letter, so that this file does not find itself.
FOREIGN = {
    "the address of a package registry": r"files\.python[h]osted|//[p]ypi\.|registry\.[n]pmjs|[d]eb\.debian",
    "a path of the machine that it was written on": r"/[w]ork/|/[f]arm/|/[r]oot/",
    "a private key or a token": r"BEGIN [A-Z ]*PRIVATE [K]EY|xox[bp]-\d{6,}|\b\d{9,10}:AA[\w-]{33}\b",
}


def shown(path: Path, line: int | None = None) -> str:
    return f"{path.relative_to(ROOT)}:{line}" if line else str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def project_files() -> list[Path]:
    """All files that belong to the project: those that git would take; of an unpacked archive, all."""
    words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    if (ROOT / ".git").exists():
        listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split("\0")
        return [ROOT / name for name in listed if name and (ROOT / name).is_file()]
    hidden = re.compile(r"/(\.venv|\.cache|\.[a-z]+_cache|__pycache__)/")
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden.search(str(path))]


def test_there_is_code_to_look_at() -> None:
    assert len(HANDWRITTEN) > 20
    assert ROOT / "pyproject.toml" in project_files()


def test_no_module_outgrows_one_screenful_of_thought() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in HANDWRITTEN}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_no_function_is_too_long_to_be_read_at_once() -> None:
    too_long = [
        f"{shown(path, function.lineno)} {function.name}: {length} lines"
        for path in HANDWRITTEN
        for function in functions(path)
        if (length := (function.end_lineno or 0) - function.lineno + 1) > LONGEST_FUNCTION
    ]
    assert too_long == []


def test_every_module_says_what_it_owns() -> None:
    assert [shown(path) for path in HANDWRITTEN if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_names_say_what_a_thing_is() -> None:
    vague = [shown(path) for path in HANDWRITTEN if VAGUE.search(path.stem)]
    for path in HANDWRITTEN:
        classes = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef))
        vague += [f"{shown(path, node.lineno)} {node.name}" for node in classes if VAGUE.search(node.name)]
    assert vague == []


def test_no_test_patches_our_own_modules() -> None:
    patching = re.compile(
        r"\b(?:mock\.)?patch(?:\.object|\.dict)?\(|monkeypatch\.setattr\(\s*[\"']?relay|MagicMock|AsyncMock"
    )
    found = [
        shown(path, number)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if patching.search(line)
    ]
    assert found == []


def test_a_test_is_left_out_only_for_want_of_a_tool() -> None:
    """Only `tests/programs.py` skips: it knows what `RELAY_REQUIRE` forbids to skip."""
    leaving = re.compile(r"pytest\.(?:skip|importorskip|xfail)\(|mark\.(?:skip|skipif|xfail)\b")
    allowed = {Path(__file__), ROOT / "tests" / "programs.py"}
    found = [
        shown(path, number)
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path not in allowed
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if leaving.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("what", FOREIGN)
def test_no_file_names_what_is_not_the_projects(what: str) -> None:
    pattern = re.compile(FOREIGN[what].encode())
    found = [
        f"{shown(path, number)}: {line[:80].decode(errors='replace')}"
        for path in project_files()
        for number, line in enumerate(path.read_bytes().split(b"\n"), 1)
        if pattern.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("module", ["relay.cli", "relay.app", "relay.config", "relay.alerts", "relay.matchers"])
def test_importing_starts_nothing_and_loads_no_telegram_library(module: str) -> None:
    """aiogram costs 2 s and 170 MB, so it is loaded when Telegram is configured and no sooner."""
    code = f"import sys, threading, {module}; print('aiogram' in sys.modules, threading.active_count())"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout.strip(), run.stderr) == ("False 1", "")
