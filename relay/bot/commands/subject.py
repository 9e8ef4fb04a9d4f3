"""What a button or a typed code means: some alerts, with what is known of them here and in Alertmanager."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from relay.acking import Identity, Listed
from relay.alertmanager import ListedAlert
from relay.bot.desk import Desk
from relay.bot.keyboard import from_base36
from relay.bot.values import Request, Sorry
from relay.clock import Millis
from relay.ids import CODE_LENGTH, alert_code
from relay.notification import AlertState, AlertView, IncidentView
from relay.store import subjects
from relay.store.subjects import RECENT, AlertIdentity, SharedCode
from relay.text import one_line

_GROUP = re.compile(rf"g[a-z]{{{CODE_LENGTH}}}")
_CODE = re.compile(rf"g?[a-z]{{{CODE_LENGTH}}}|[0-9a-f]{{16}}")
"""Of an alert, of a group; or Alertmanager's own of an alert, its fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An incident, or one alert of it. `listed` are those of which only Alertmanager's API knows that they fire."""

    view: IncidentView
    post_id: int | None = None
    listed: Mapping[Identity, Listed] = field(default_factory=dict)

    @property
    def firing(self) -> Mapping[Identity, AlertView]:
        return {(self.view.alertmanager, alert.fingerprint): alert for alert in self.view.firing}

    @property
    def title(self) -> str:
        """The name of one alert, or of several and how many."""
        alerts = self.view.firing or self.view.alerts
        names = list(dict.fromkeys(alert.name for alert in alerts if alert.name)) or [self.view.code]
        return one_line(", ".join(names), 80) + (f" ×{len(alerts)}" if len(alerts) > 1 else "")

    @property
    def acked_at(self) -> Millis | None:
        return min((alert.acked_at for alert in self.view.acked if alert.acked_at is not None), default=None)


async def post_subject(desk: Desk, request: Request) -> Subject:
    """The incident behind a message's button, if that message stands in the chat of the tap; else raises `Sorry`."""
    post_id = from_base36(request.rest.partition(":")[2])
    found = None
    if post_id is not None:
        found = await desk.database.read(subjects.of_post, post_id, request.now, several=desk.several)
    here = found is not None and (
        found.remote.get("chat_id") == request.place.chat_id or found.channel in request.place.channels
    )
    if found is None or not here:
        _ = request.own_texts.gettext
        raise Sorry(_("This button no longer works. /alerts shows what fires now."))
    return Subject(view=found.view, post_id=post_id)


async def find_subject(desk: Desk, request: Request, code: str, example: str) -> Subject:
    """What a typed code means: a group, an alert we know, or one that only Alertmanager knows. Raises `Sorry`."""
    _ = request.texts.gettext
    code = code.strip().lower()
    if not _CODE.fullmatch(code):
        what = one_line(code, 40) or "—"
        raise Sorry(
            _("%(what)s is no ID of an alert. Messages show it, for example: %(example)s")
            % {"what": what, "example": example}
        )
    found = await (_group if _GROUP.fullmatch(code) else _alert)(desk, request, code)
    if found is None:
        raise Sorry(_("I know no alert %(code)s. /alerts shows what fires now.") % {"code": code})
    return found


async def _group(desk: Desk, request: Request, code: str) -> Subject | None:
    try:
        view = await desk.database.read(subjects.of_group, code, request.now, several=desk.several)
    except SharedCode:
        _ = request.texts.gettext
        raise Sorry(
            _("Several groups have the ID %(code)s: use the buttons below the message, or the ID of one of its alerts.")
            % {"code": code}
        ) from None
    return Subject(view=view) if view else None


async def _alert(desk: Desk, request: Request, code: str) -> Subject | None:
    """What fires or ended lately, here or in Alertmanager; else what we knew before. Never one of several.

    Raises `AlertmanagerError` if there is none, and one that does not answer may list it.
    """
    known = {(one.alertmanager, one.fingerprint): one for one in await desk.database.read(subjects.of_code, code)}
    fires = any(one.firing and one.incident_id is not None for one in known.values())
    lists, troubles = _lists_in_hand(desk) if fires else await _lists(desk)
    listed = {
        (name, alert.fingerprint): alert
        for name, alerts in lists.items()
        for alert in alerts
        if code in (alert_code(name, alert.fingerprint), alert.fingerprint)
    }
    fresh = {one for one, held in known.items() if held.firing or (held.ends_at or 0) >= request.now - RECENT}
    meant = sorted(fresh | listed.keys() or known)
    if len(meant) > 1:
        names = {one: alert.labels.get("alertname", "") for one, alert in listed.items()}
        names |= {one: held.name for one, held in known.items()}
        raise _ask_which(request, code, [(names[one], *one) for one in meant])
    if not meant:
        if troubles:
            raise troubles[0]
        return None
    [identity] = meant
    held = known.get(identity)
    subject = await known_alert(desk, request, held) if held is not None and (held.firing or not listed) else None
    if subject is None and identity in listed:
        return listed_subject(desk, request, identity[0], listed[identity], held)
    return subject


def _ask_which(request: Request, code: str, alerts: Iterable[tuple[str, str, str]]) -> Sorry:
    """`alerts`: name, alertmanager, fingerprint. Of one fingerprint in several clusters each has a code of its own."""
    _ = request.texts.gettext
    by_code = len(code) != CODE_LENGTH
    named = [
        f"{one_line(name, 40)} ({alert_code(alertmanager, fingerprint) if by_code else fingerprint})"
        for name, alertmanager, fingerprint in alerts
    ]
    return Sorry(
        _("Several alerts have the ID %(code)s: %(alerts)s. Say which one by the ID in brackets.")
        % {"code": code, "alerts": ", ".join(named)}
    )


async def known_alert(desk: Desk, request: Request, identity: AlertIdentity) -> Subject | None:
    """One alert that some webhook brought, in the frame of its newest incident."""
    if identity.incident_id is None:
        return None
    view = await desk.database.read(
        subjects.of_incident, identity.incident_id, request.now, several=desk.several, fingerprint=identity.fingerprint
    )
    return Subject(view=view) if view.alerts else None


Lists = tuple[Mapping[str, Sequence[ListedAlert]], Sequence[BaseException]]
"""What each cluster lists, and what went wrong."""


def _lists_in_hand(desk: Desk) -> Lists:
    """The last ones, for a code of which we know what it means: nobody has to wait for Alertmanager."""
    return {name: one.latest.alerts for name, one in desk.clusters.items() if one.latest is not None}, ()


async def _lists(desk: Desk) -> Lists:
    answers = await asyncio.gather(
        *(cluster.alerts_matching(()) for cluster in desk.clusters.values()), return_exceptions=True
    )
    said = dict(zip(desk.clusters, answers, strict=True))
    troubles = [one for one in answers if isinstance(one, BaseException)]
    return {name: one for name, one in said.items() if not isinstance(one, BaseException)}, troubles


def listed_subject(
    desk: Desk, request: Request, alertmanager: str, alert: ListedAlert, held: AlertIdentity | None
) -> Subject:
    """A subject of an alert that no webhook has brought; `held` if somebody took it all the same."""
    starts_at = alert.starts_at if alert.starts_at is not None else request.now
    silenced = AlertState.SILENCED if alert.silenced_by else AlertState.FIRING
    view = AlertView(
        code=alert_code(alertmanager, alert.fingerprint),
        fingerprint=alert.fingerprint,
        labels=alert.labels,
        annotations=alert.annotations,
        severity=desk.severities.of(alert.labels),
        state=AlertState.INHIBITED if alert.inhibited_by and not alert.silenced_by else silenced,
        starts_at=starts_at,
        generator_url=alert.generator_url,
        acked_by=held.acked_by or None if held and held.firing else None,
        acked_at=held.acked_at if held and held.firing else None,
        ack_note=held.ack_note if held and held.firing else "",
    )
    incident = IncidentView(
        id=0,
        code=view.code,
        alertmanager=alertmanager,
        receiver="",
        group_labels={},
        external_url="",
        alerts=(view,),
        revision=0,
        opened_at=starts_at,
        several_alertmanagers=desk.several,
    )
    listed = Listed(
        labels=alert.labels,
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        generator_url=alert.generator_url,
    )
    return Subject(view=incident, listed={(alertmanager, alert.fingerprint): listed})
