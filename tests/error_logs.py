"""Notices every error that is logged while a test runs, through `logging` and through structlog."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from types import TracebackType
from typing import Any, Self

import structlog

_SEVERE = {"error", "exception", "critical", "fatal"}


class ErrorLogs(logging.Handler):
    """`with ErrorLogs() as errors:` … `errors.seen` are the texts of what was logged as an error or worse."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []
        self._processors: list[Any] = []

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        self._processors = structlog.get_config()["processors"]
        self._processors.insert(0, self._look)  # in place: loggers that were bound before hold this very list
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)
        if self._look in self._processors:
            self._processors.remove(self._look)

    def emit(self, record: logging.LogRecord) -> None:
        cause = f" ({record.exc_info[1]!r})" if record.exc_info and record.exc_info[1] else ""
        self.seen.append(f"{record.name}: {record.getMessage()}{cause}")

    def _look(self, logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method in _SEVERE:
            self.seen.append(" ".join(f"{key}={value}" for key, value in event.items()))
        return event
