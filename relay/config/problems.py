"""How the config's errors and warnings are told: place, key, what is wrong and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value came from: a line of a file, or an environment variable."""

    file: str | None = None
    line: int | None = None
    variable: str | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning. `key` is `channels.oncall.chat_id`, or the variable's name when there is no file."""

    message: str
    key: str = ""
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:{self.line}: " if self.line else f"{self.file}: "
        return f"{place}{self.key}: {self.message}" if self.key else f"{place}{self.message}"


class ConfigError(Exception):
    """The config cannot be used; `problems` are all of its errors in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(sorted(problems, key=lambda one: (one.file or "", one.line or 0))))
        super().__init__("\n".join(str(one) for one in self.problems))


def key_text(path: Iterable[str | int]) -> str:
    """`routes[0].channels[1]` of its parts."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass(slots=True)
class Document:
    """Values as written, and the place of every key and list item. Plain YAML scalars are texts here; models type them."""

    values: dict[Any, Any] = field(default_factory=dict)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)  # what stood there before ${NAME} was replaced
    unusable: dict[KeyPath, Problem] = field(default_factory=dict)  # what could not be read at all, and why
    words: Mapping[str, str] = field(default_factory=dict)  # what to say instead of words that only fit a file

    def spoils(self, path: KeyPath) -> bool:
        """Whether an error there only follows from a value that could not be read."""
        return any(path[:length] in self.unusable for length in range(len(path) + 1))

    def problem(self, path: KeyPath, message: str) -> Problem:
        """The problem at the closest known place; with a variable there, that is the key."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                break
        else:
            place = Place()
        for value, original in self.originals.items():
            message = message.replace(repr(value), repr(original))
        for of_a_file, of_this in self.words.items():
            message = message.replace(of_a_file, of_this)
        if place.variable and path:
            message = _with_variable(message, str(path[-1]).removesuffix("_file"), place.variable.removesuffix("_FILE"))
        return Problem(message, place.variable or key_text(path), place.file, place.line)


def _with_variable(message: str, key: str, variable: str) -> str:
    """`give KEY or KEY_file, not both` with the names that there are without a file."""
    return re.sub(rf"\b{re.escape(key)}(_file)?\b", lambda found: variable + (found[1] or "").upper(), message)
