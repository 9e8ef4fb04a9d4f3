"""How the relay, its channels and the Alertmanagers are, and how many alerts there were."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from relay import __version__
from relay.alertmanager import AlertmanagerError
from relay.bot.commands.written import read_length
from relay.bot.desk import Desk
from relay.bot.troubles import PATIENCE, tell_slow, tell_trouble
from relay.bot.values import Answer, Request
from relay.clock import DAY, Millis
from relay.rendering.reasons import tell_failure
from relay.store.overview import ChannelFigures, overview
from relay.store.statistics import statistics

DEFAULT_STRETCH: Millis = 7 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFigures:
    """One Alertmanager as it is now; `error` is set when it does not answer."""

    name: str
    version: str = ""
    cluster: str = ""
    peers: int = 0
    error: str = ""
    last_webhook: Millis | None = None


async def status(desk: Desk, request: Request) -> Answer:
    found = await desk.database.read(overview)
    clusters = await asyncio.gather(
        *(_cluster(desk, request, name, found.last_webhook.get(name)) for name in desk.clusters)
    )
    channels = [(name, found.channels.get(name, ChannelFigures())) for name in desk.channels]
    failures = {name: tell_failure(figures.reason, figures.detail, request.texts) for name, figures in channels}
    return desk.pages.show(
        request,
        "status",
        version=__version__,
        uptime=desk.clock() - desk.started_at,
        channels=channels,
        failures=failures,
        pending=sum(figures.pending for _, figures in channels),
        clusters=clusters,
        firing=sum(found.alerts.values()),
    )


async def _cluster(desk: Desk, request: Request, name: str, last_webhook: Millis | None) -> ClusterFigures:
    try:
        async with asyncio.timeout(PATIENCE):
            said = await desk.clusters[name].status()
    except TimeoutError:
        return ClusterFigures(name=name, error=tell_slow(name, request.texts), last_webhook=last_webhook)
    except AlertmanagerError as error:
        return ClusterFigures(name=name, error=tell_trouble(error, request.texts), last_webhook=last_webhook)
    return ClusterFigures(
        name=name,
        version=said.version,
        cluster=said.cluster_status,
        peers=len(said.peers),
        last_webhook=last_webhook,
    )


async def stats(desk: Desk, request: Request) -> Answer:
    stretch = DEFAULT_STRETCH
    if request.rest:
        stretch = read_length(request, request.rest, "/stats 7d")
    found = await desk.database.read(statistics, request.now - stretch)
    return desk.pages.show(request, "stats", figures=found, stretch=stretch)
