"""Mirrors acks as short silences that carry the prefix other tools know (karma, kthxbye): renewed while the alert fires."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

from relay import logs
from relay.alertmanager import Alertmanager, AlertmanagerRefused, SilenceNotFound
from relay.clock import MINUTE, SECOND, Clock, Millis
from relay.matchers import Matcher
from relay.store.database import Database
from relay.store.mirrors import (
    AckedEpisode,
    Mirror,
    acked_episodes,
    drop_mirror,
    mirrors_of,
    save_mirror,
)

ACK_PREFIX = "ACK!"
LENGTH: Millis = 15 * MINUTE
RENEW_BEFORE: Millis = 5 * MINUTE
_ENDED_EARLY: Millis = 30 * SECOND


class AckMirror:
    """Keeps one cluster's mirrors. Only whoever holds the lease may call `keep`."""

    def __init__(self, client: Alertmanager, database: Database, clock: Clock) -> None:
        self._client = client
        self._database = database
        self._clock = clock
        self._refused: set[int] = set()  # what was told already
        self._log = logs.get("silencing")

    async def keep(self) -> bool:
        """One round; whether a silence was made or ended. Raises `AlertmanagerError` and `StoreUnavailable`."""
        name = self._client.name
        acked = {one.id: one for one in await self._database.read(acked_episodes, name)}
        mirrors = {one.episode_id: one for one in await self._database.read(mirrors_of, name)}
        if not acked and not mirrors:
            return False
        self._refused &= acked.keys()
        firing = await self._firing(acked.values())
        wanted = {id_: one for id_, one in acked.items() if one.fingerprint in firing}
        changed = False
        for id_, mirror in mirrors.items():
            if id_ not in wanted:
                await self._end(mirror)
                changed = True
        for id_, episode in wanted.items():
            changed |= await self._hold_if_taken(episode, mirrors.get(id_))
        return changed

    async def _firing(self, acked: Collection[AckedEpisode]) -> frozenset[str]:
        """Asked of Alertmanager: our own state alone would renew for ever what it no longer knows."""
        if not acked:
            return frozenset()
        return frozenset(alert.fingerprint for alert in await self._client.alerts_matching(()))

    async def _hold_if_taken(self, episode: AckedEpisode, mirror: Mirror | None) -> bool:
        """One silence that Alertmanager refuses (a label name it does not know) must not take the others along."""
        try:
            return await self._hold(episode, mirror)
        except AlertmanagerRefused as error:
            if error.status >= 500:
                raise
            if episode.id not in self._refused:
                self._log.warning("an ack is not mirrored", error=str(error), fingerprint=episode.fingerprint)
            self._refused.add(episode.id)
            return False

    async def _hold(self, episode: AckedEpisode, mirror: Mirror | None) -> bool:
        now = self._clock()
        if mirror is None:
            await self._create(episode)
            return True
        if mirror.ends_at is None or mirror.ends_at - now > RENEW_BEFORE:
            return False
        try:
            silence = await self._client.silence(mirror.silence_id)
        except SilenceNotFound:
            await self._create(episode)
            return True
        if silence.state == "expired" and now < mirror.ends_at - _ENDED_EARLY:
            await self._save(Mirror(episode_id=episode.id, silence_id=mirror.silence_id, ends_at=None))
            return False
        ends = now + LENGTH
        silence_id = await self._client.extend(mirror.silence_id, ends)
        await self._save(Mirror(episode_id=episode.id, silence_id=silence_id, ends_at=ends))
        return False

    async def _create(self, episode: AckedEpisode) -> None:
        now = self._clock()
        matchers = [Matcher(name, value) for name, value in sorted(episode.labels.items()) if value]
        comment = f"{ACK_PREFIX} {episode.ack_note or 'taken in the chat'}"
        silence_id = await self._client.create_silence(matchers, now, now + LENGTH, episode.acked_by, comment)
        await self._save(Mirror(episode_id=episode.id, silence_id=silence_id, ends_at=now + LENGTH))

    async def _end(self, mirror: Mirror) -> None:
        if mirror.ends_at is not None:
            with contextlib.suppress(SilenceNotFound):  # forgotten there: all the same
                await self._client.expire(mirror.silence_id)
        await self._database.write(drop_mirror, mirror.episode_id)

    async def _save(self, mirror: Mirror) -> None:
        await self._database.write(save_mirror, self._client.name, mirror)
