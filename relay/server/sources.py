"""Which Alertmanager cluster a message comes from."""

from __future__ import annotations

from collections.abc import Sequence

from relay.clusters import AlertmanagerConfig
from relay.ingest.accept import Source

NAMELESS = "default"
"""The source when the config names no Alertmanager: without poll and silences."""


class UnknownSource(Exception):
    """Nobody can tell which cluster this is; the text names the right path."""


class Sources:
    """The clusters of the config by name and by the address people open."""

    def __init__(self, configs: Sequence[AlertmanagerConfig]) -> None:
        self._by_name = {one.name: Source(name=one.name, has_api=one.poll > 0) for one in configs}
        self._by_url = {one.external_url.rstrip("/"): one.name for one in configs if one.external_url}
        if not configs:
            self._by_name[NAMELESS] = Source(name=NAMELESS, has_api=False)
        self._only = next(iter(self._by_name.values())) if len(self._by_name) == 1 else None
        self._paths = ", ".join(f"/webhook/{known}" for known in self._by_name)

    @property
    def names(self) -> list[str]:
        return list(self._by_name)

    def find(self, name: str | None, external_url: str) -> Source:
        """By the name in the path, the message's externalURL, or because there is only one."""
        if name:
            if name not in self._by_name:
                raise UnknownSource(f"no alertmanager {name[:60]!r} in the config; post to {self._paths}")
            return self._by_name[name]
        if self._only is not None:
            return self._only
        known = self._by_url.get(external_url.rstrip("/"))
        if known is None:
            raise UnknownSource(
                f"several alertmanagers are configured: post to one of {self._paths}, or set its external_url"
            )
        return self._by_name[known]
