"""How much a destination may be sent: sliding windows, and pauses the platform asked for. Time is handed in, in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count

Window = tuple[int, float]
"""At most so many messages in so many seconds."""


def strictest(windows: Iterable[Window]) -> tuple[Window, ...]:
    """What holds where several were given: of each length the one that allows least."""
    found: dict[float, int] = {}
    for allowed, seconds in windows:
        found[seconds] = min(allowed, found.get(seconds, allowed))
    return tuple((allowed, seconds) for seconds, allowed in sorted(found.items()))


class Limiter:
    """One budget. A message counts from when its call ended: only then is it certain when the platform saw it.

    Args:
        windows: all of them hold; none means no limit.
        reserved: of the longest window's budget, kept for urgent messages (answers to people who press buttons).
        shared_by: among how many relays the budget is divided.
    """

    def __init__(
        self, windows: Sequence[Window], *, reserved: int = 0, shared_by: Callable[[], int] = lambda: 1
    ) -> None:
        self._windows = tuple(sorted(windows, key=lambda window: window[1]))
        self._reserved = reserved
        self._shared_by = shared_by
        self._ids = count()
        self._taken: deque[tuple[float, int]] = deque()
        self._paused_until = 0.0

    def delay(self, now: float, *, urgent: bool = False, keep: int = 0) -> float:
        """Seconds until a message may be sent; 0.0 for now. `keep`: leave so many more for what matters more."""
        wait = max(self._paused_until - now, 0.0)
        for room, seconds in self._rooms(urgent=urgent, keep=keep):
            if len(self._taken) >= room:
                wait = max(wait, self._taken[-room][0] + seconds - now)
        return wait

    def drain(self, messages: int, now: float) -> float:
        """Seconds until the last of so many messages may be sent, if nothing else is."""
        times, rooms = [at for at, _ in self._taken], self._rooms()
        at = max(now, self._paused_until)
        for _ in range(messages):
            at = max([at, *(times[-room] + seconds for room, seconds in rooms if len(times) >= room)])
            times.append(at)
        return at - now

    def _rooms(self, *, urgent: bool = False, keep: int = 0) -> list[Window]:
        """Our part of the windows, of the longest without what is reserved in it."""
        kept, relays = keep if urgent else self._reserved + keep, self._shared_by()
        ours = [(max(allowed // relays, 1), seconds) for allowed, seconds in self._windows]
        return [*ours[:-1], *((max(allowed - kept, 1), seconds) for allowed, seconds in ours[-1:])]

    def take(self, now: float) -> int:
        """Counts a message; give the answer to `settle` when its call has ended."""
        ticket = next(self._ids)
        if self._windows:
            horizon = now - self._windows[-1][1]
            while self._taken and self._taken[0][0] < horizon:
                self._taken.popleft()
            self._taken.append((now, ticket))
        return ticket

    def settle(self, ticket: int, now: float) -> None:
        for position, (_, other) in enumerate(self._taken):
            if other == ticket:
                del self._taken[position]
                self._taken.append((now, ticket))
                return

    def recall(self, times: Iterable[float]) -> None:
        """Counts messages that somebody else has sent, then."""
        self._taken = deque(sorted([*self._taken, *((at, next(self._ids)) for at in times)]))

    def pause(self, until: float) -> None:
        """The platform told us to wait; never shortens a longer pause."""
        self._paused_until = max(self._paused_until, until)
