"""Replaces `${NAME}` inside values by the environment's, after parsing: no value can change the file's structure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relay.config.problems import Document, KeyPath, Problem

_REFERENCE = re.compile(r"\$(?P<escaped>\$\{)|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<bad>\$\{)")


def substitute(document: Document, environ: Mapping[str, str]) -> Document:
    """The document with every `${NAME}` replaced and `$${` as `${`; unset names make their values unusable."""
    run = _Substitution(document, environ)
    values = run.value(document.values, ())
    return Document(values, document.places, run.originals, {**document.unusable, **run.unusable})


class _Substitution:
    def __init__(self, document: Document, environ: Mapping[str, str]) -> None:
        self._document = document
        self._environ = environ
        self.unusable: dict[KeyPath, Problem] = {}
        self.originals: dict[str, str] = {}

    def value(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {key: self.value(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item, (*path, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        replaced = _REFERENCE.sub(lambda found: self._replacement(found, path), value)
        self.originals[replaced] = value
        return replaced

    def _replacement(self, found: re.Match[str], path: KeyPath) -> str:
        if found["escaped"]:
            return "${"
        if found["bad"]:
            self._complain(
                path, "${ must be followed by a variable's name and }; write $${ for the characters themselves"
            )
            return ""
        if found["name"] not in self._environ:
            self._complain(path, f"the environment variable {found['name']} is not set")
        return self._environ.get(found["name"], "")

    def _complain(self, path: KeyPath, message: str) -> None:
        self.unusable[path] = self._document.problem(path, message)
