"""Reads YAML into a `Document`: values with their lines, every error with its own, nothing executed or guessed.

Plain scalars stay texts: `0123` as a password or `no` as a name arrive as written, and the models turn texts into numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from relay.config.problems import ConfigError, Document, KeyPath, Place, Problem, key_text

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TAGS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "seq", "map", "merge", "value"})
_MOST_NODES = 100_000  # aliases of aliases multiply
_QUOTED = re.compile(r"'(?!<)[^' ]{2,}'")


def read_yaml(path: Path) -> Document:
    """The file's values and places; raises `ConfigError` if it cannot be read as YAML."""
    file = str(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError([Problem(f"cannot be read: {error.strerror}", file=file)]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise ConfigError([Problem("is not UTF-8 text", file=file, line=line)]) from None
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax_problem(error, text, file)]) from None
    except RecursionError:
        raise ConfigError([Problem("is nested too deeply", file=file, line=1)]) from None
    except ValueError:  # PyYAML on a character number that is none, such as "\UFFFFFFFF"
        raise ConfigError([Problem("holds an escape that is no character", file=file, line=1)]) from None
    return _Reading(file).document(root)


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    if isinstance(error, yaml.reader.ReaderError):
        line = text[: error.position].count("\n") + 1
        return Problem("holds a control character that YAML does not allow", file=file, line=line)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = mark.line + 1 if mark else 1
    said = getattr(error, "problem", None) or getattr(error, "context", None) or "is not valid"
    if "alias" in said or "anchor" in said:
        said = "an unquoted * or & begins an alias or anchor; put a text that begins so into quotes"
    elif "cannot start any token" in said:
        said += "; put a text that begins with it into quotes, and indent with blanks, never with tabs"
    elif "expected ','" in said:
        said += "; inside of { } and [ ] put ${NAME} into quotes"
    elif "mapping values are not allowed" in said:
        said += "; check the indentation, and put a text with ': ' into quotes"
    # What stands in quotes there may be a piece of somebody's secret.
    return Problem("is no YAML: " + _QUOTED.sub("'…'", said), file=file, line=line)


class _Reading:
    """One walk over the nodes of a file."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: dict[KeyPath, Problem] = {}
        self._places: dict[KeyPath, Place] = {}
        self._open: set[int] = set()
        self._count = 0

    def document(self, root: yaml.Node | None) -> Document:
        self._places[()] = Place(self._file, 1)
        if root is None or (isinstance(root, yaml.ScalarNode) and root.value in _NULLS):
            return Document({}, self._places)
        if not isinstance(root, yaml.MappingNode):
            raise ConfigError([Problem("must hold keys such as server: and channels:", file=self._file, line=1)])
        try:
            values = self._value(root, ())
        except RecursionError:
            raise ConfigError([Problem("is nested too deeply", file=self._file, line=1)]) from None
        return Document(values, self._places, unusable=self._problems)

    def _complain(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self._problems[path] = Problem(message, key_text(path), self._file, node.start_mark.line + 1)

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self._count += 1
        if self._count > _MOST_NODES:
            raise ConfigError([Problem("holds too many values, through aliases of aliases", file=self._file, line=1)])
        if node.tag.removeprefix("tag:yaml.org,2002:") not in _TAGS:
            self._complain(node, path, "tags are not supported; put a text that begins with ! into quotes")
            return None
        if isinstance(node, yaml.ScalarNode):
            return None if node.style is None and node.value in _NULLS else node.value
        if id(node) in self._open:
            line = self._places[path].line  # where the alias stands; the node is where its anchor does
            message = "an alias must not stand inside of what it repeats"
            self._problems[path] = Problem(message, key_text(path), self._file, line)
            return None
        self._open.add(id(node))
        try:
            return self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        finally:
            self._open.discard(id(node))

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        values = []
        for index, item in enumerate(node.value):
            self._places.setdefault((*path, index), self._place(item))
            values.append(self._value(item, (*path, index)))
        return values

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        lines: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, item in node.value:
            if key.tag.endswith(":merge"):
                merged.append(item)
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._complain(key, path, "a key must be a text; put a value that begins with { or [ into quotes")
                continue
            name, line = key.value, key.start_mark.line + 1
            if name in lines:
                self._complain(key, (*path, name), f"is given twice, first in line {lines[name]}")
                continue
            lines[name] = line
            self._places.setdefault((*path, name), Place(self._file, line))  # merged keys come later
            values[name] = self._value(item, (*path, name))
        for item in merged:
            for source in self._merge_sources(item, path):
                for name, value in self._mapping(source, path).items():
                    values.setdefault(name, value)
        return values

    def _merge_sources(self, node: yaml.Node, path: KeyPath) -> Iterator[yaml.MappingNode]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(source, yaml.MappingNode) and id(source) not in self._open:
                yield source
            else:
                self._complain(source, path, "<< must be an alias of keys and values")

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._file, node.start_mark.line + 1)
