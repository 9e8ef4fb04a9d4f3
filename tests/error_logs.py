"""Notices every error that is logged while a test runs."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self


class ErrorLogs(logging.Handler):
    """`with ErrorLogs() as errors:` … `errors.seen` are the texts of what was logged as an error or worse."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        cause = f" ({record.exc_info[1]!r})" if record.exc_info and record.exc_info[1] else ""
        fields = "".join(f" {name}={value}" for name, value in getattr(record, "relay_fields", {}).items())
        self.seen.append(f"{record.name}: {record.getMessage()}{fields}{cause}")
