"""What people read on the terminal: plain lines on stdout, colours only there, complaints of failing commands on stderr."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from relay.config import Problem

_UNSAFE = ("Cc", "Cs")


def say(text: str = "", style: str = "") -> None:
    """Prints to stdout; no wrapping and no colours into files and pipes."""
    Console(file=sys.stdout).print(Text(harmless(text), style=style), soft_wrap=True)


def complain(text: str, style: str = "red") -> None:
    """Prints to stderr."""
    Console(file=sys.stderr).print(Text(harmless(text), style=style), soft_wrap=True)


def fail(problems: Iterable[Problem | str]) -> NoReturn:
    """Prints every problem to stderr and exits with 1."""
    for one in problems:
        complain(str(one))
    raise typer.Exit(1)


def harmless(text: str) -> str:
    """Without control characters, with which a label could paint on the terminal."""
    return "".join("\ufffd" if unicodedata.category(char) in _UNSAFE and char not in "\n\t" else char for char in text)
