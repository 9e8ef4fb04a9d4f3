"""How the stand-in of Alertmanager is made to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(slots=True, kw_only=True)
class Fault:
    """What to do instead of an answer. With `after`, the request takes effect first: its sender cannot know that."""

    kind: Literal["answer", "hang", "hold", "reset"]
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str | None = None
    method: str | None = None
    after: bool = False
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Script:
    """The failures waiting to happen, each once; `path` (below `/api/v2/`) and `method` limit one."""

    faults: list[Fault] = field(default_factory=list)

    def answer(self, status: int, body: bytes = b"", content_type: str = "application/json", **options: Any) -> None:
        self.faults.append(Fault(kind="answer", status=status, body=body, content_type=content_type, **options))

    def hang(self, **options: Any) -> None:
        """Takes the request and never answers."""
        self.faults.append(Fault(kind="hang", **options))

    def hold(self, **options: Any) -> asyncio.Event:
        """Takes the request and answers it as things are once the event is set."""
        fault = Fault(kind="hold", **options)
        self.faults.append(fault)
        return fault.released

    def reset(self, **options: Any) -> None:
        """Breaks the connection instead of answering."""
        self.faults.append(Fault(kind="reset", **options))

    def take(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.path in (None, path) and fault.method in (None, method):
                self.faults.remove(fault)
                return fault
        return None
