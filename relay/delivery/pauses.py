"""Who must not be tried now: the whole destination after a failure that will pass, one channel after one that will not."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from relay.notification import DeliveryError
from relay.store.destinations import pauses_channel

OWN_FAULT = 2
"""So often others of its channel must have gone through meanwhile for a post's failures to count as its own."""
MOST_SUSPECTS = 100
"""More are no fault of theirs: the destination fails."""


Call = int | tuple[int | str, ...]
"""What is tried again and again: a post, or one step of a digest, which begins with the digest's id."""


class Pauses:
    """Of one destination, in monotonic seconds. After each pause one post probes, each time another one if there are any.

    A digest is a post among the others there: what looks like a failure of the destination may be that of the digest.

    What a platform refuses for good may be a matter of one channel alone, such as a topic that was deleted from a chat:
    the others of that chat go on. A restart forgets the pauses and so probes at once: people restart after they have
    mended something. What the database knows of the failure stays.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until = 0.0
        self._until_by_channel: dict[str, float] = {}
        self._failed: dict[Call, str] = {}  # with their channels, since that has last taken something
        self._suspects: dict[Call, int] = {}  # how often others have gone through where it had failed

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

    @property
    def failed(self) -> Collection[int]:
        """Posts that others go before: what looks like a failure of the destination may be one of this post alone."""
        return tuple(call for call in self._failed if isinstance(call, int))

    @property
    def failed_digests(self) -> Collection[int | str]:
        """Digests that others go before, for the same reason."""
        return {call[0] for call in self._failed if isinstance(call, tuple)}

    def judge(self, error: DeliveryError, call: Call, channel: str) -> DeliveryError:
        """The failure as it is; or as the call's own, if the channel has taken others each time that this one failed."""
        if not pauses_channel(error) or error.reason in ("rate_limited", "unauthorized"):
            return error
        if self._suspects.get(call, 0) >= OWN_FAULT:
            return DeliveryError(error.reason, error.detail, scope="post", retry_after=error.retry_after)
        self._failed[call] = channel
        _forget_oldest(self._failed)
        return error

    def worked(self, channel: str, call: Call) -> None:
        """The channel took that."""
        self._failed.pop(call, None)
        self._suspects.pop(call, None)
        for failed in [one for one, where in self._failed.items() if where == channel]:
            del self._failed[failed]
            self._suspects[failed] = self._suspects.pop(failed, 0) + 1
        _forget_oldest(self._suspects)
        self.lift(channel)

    def lift(self, channel: str) -> None:
        """The channel works, or a person says so."""
        self._failures, self._until = 0, 0.0
        self._until_by_channel.pop(channel, None)


def _forget_oldest(noted: dict[Call, Any]) -> None:
    for call in list(noted)[:-MOST_SUSPECTS]:
        del noted[call]
