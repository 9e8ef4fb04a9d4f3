"""Who must not be tried now: the whole destination after a failure that will pass, one channel after one that will not."""

from __future__ import annotations

from collections.abc import Iterable

from relay.notification import DeliveryError
from relay.store.destinations import pauses_channel


class Pauses:
    """Of one destination, in monotonic seconds. After each pause one post probes.

    What a platform refuses for good may be a matter of one channel alone, such as a topic that was deleted from a chat:
    the others of that chat go on. A restart forgets the pauses and so probes at once: people restart after they have
    mended something. What the database knows of the failure stays.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._until_by_channel: dict[str, float] = {}

    def free(self, channels: Iterable[str], now: float) -> list[str]:
        """The channels that may be tried."""
        if now < self._until:
            return []
        return [name for name in channels if now >= self._until_by_channel.get(name, 0.0)]

    def wait(self, channels: Iterable[str], now: float) -> float:
        """Seconds until the first of these channels may be tried."""
        first = min((self._until_by_channel.get(name, 0.0) for name in channels), default=0.0)
        return max(self._until, first) - now

    def count(self, error: DeliveryError) -> int:
        """How often the destination has failed in a row, this time included."""
        if pauses_channel(error):
            self._failures += 1
        return self._failures

    def pause(self, channel: str, error: DeliveryError, until: float) -> None:
        if error.permanent:
            self._until_by_channel[channel] = until
        else:
            self._until = until

    def lift(self, channel: str) -> None:
        """The channel works, or a person says so."""
        self._failures, self._until = 0, 0.0
        self._until_by_channel.pop(channel, None)
