"""A notice as Slack will get it: the message's text and blocks, or the document for its thread."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from relay.channels.slack.blocks import Block
from relay.notification import Kind, Remote


@dataclass(frozen=True, kw_only=True)
class SlackContent:
    """`text` is the fallback beside blocks and all there is without them; `remote` the message to edit or to answer."""

    kind: Kind
    text: str
    blocks: tuple[Block, ...] = ()
    remote: Remote | None = None
    broadcast: bool = False
    plain: bool = False
    document: bytes = b""
    file_name: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """What people see, as the Web API and webhooks take it; an edit without the empty list would keep old blocks."""
        return {"text": self.text, "blocks": list(self.blocks)}

    @cached_property
    def fingerprint(self) -> str:
        seen = json.dumps(self.message, ensure_ascii=False, sort_keys=True).encode() + self.document
        return hashlib.sha256(seen).hexdigest()

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        if self.document:
            return {self.file_name: self.document}
        return {"message.json": json.dumps(self.message, ensure_ascii=False, indent=2).encode() + b"\n"}
