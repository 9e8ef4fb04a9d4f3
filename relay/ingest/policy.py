"""What the config says about changes, and how a membership's channels are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from relay.clock import Millis
from relay.routing import Router
from relay.severity import SeverityMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the config says about changes: where alerts go, how severe they are, how long an incident can continue."""

    router: Router
    severities: SeverityMap
    reopen: Mapping[str, Millis]  # channel -> how long after its end an incident continues

    @property
    def longest_reopen(self) -> Millis:
        return max(self.reopen.values(), default=0)


@lru_cache(maxsize=4096)
def channels_text(channels: frozenset[tuple[str, bool]]) -> str:
    """A membership's channels as they are stored."""
    return json.dumps(dict(sorted(channels)), ensure_ascii=False)


@lru_cache(maxsize=4096)
def channels_of(text: str) -> Mapping[str, bool]:
    """A membership's channels: name -> silent. Never change the answer: it is shared."""
    found: dict[str, bool] = json.loads(text or "{}")
    return found
