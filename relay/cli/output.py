"""What people read on the terminal: plain lines on stdout, colours only there, complaints of failing commands on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from relay.config import Problem


def say(text: str = "", style: str = "") -> None:
    """Prints to stdout; no wrapping and no colours into files and pipes."""
    Console(file=sys.stdout).print(Text(_harmless(text), style=style), soft_wrap=True)


def complain(text: str, style: str = "red") -> None:
    """Prints to stderr."""
    Console(file=sys.stderr).print(Text(_harmless(text), style=style), soft_wrap=True)


def fail(problems: Iterable[Problem | str]) -> NoReturn:
    """Prints every problem to stderr and exits with 1."""
    for one in problems:
        complain(str(one))
    raise typer.Exit(1)


def _harmless(text: str) -> str:
    """Without control characters, with which a label could paint on the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else "\ufffd" for char in text)
