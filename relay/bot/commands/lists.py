"""What fires now, as a list in pages: filtered, grouped by name when there are many, turned and refreshed by buttons."""

from __future__ import annotations

import asyncio
import functools
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from relay.bot.commands.written import unreadable
from relay.bot.desk import Desk
from relay.bot.troubles import tell_trouble
from relay.bot.values import Answer, Button, Request, Sorry, Tap
from relay.clock import DAY, Millis
from relay.ids import CODE_LENGTH, button_code
from relay.notification import AlertState
from relay.queries import Away, Filter, Found, Picture, parse_filter
from relay.severity import Severity
from relay.store.conversations import View, save_view
from relay.text import one_line

MOMENT = 0.15
"""Seconds that Alertmanager gets before a page of what was known is made, in case its answer takes long."""
PATIENCE = 0.7
"""Seconds after which people get that page, so that they wait for less than one second in all."""
PER_PAGE = 8
KEEP = 7 * DAY
VIEW = "alerts"
_ACTION = re.compile(rf"([pn])([a-z]{{{2 * CODE_LENGTH}}})?(\d{{1,4}})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Alerts of one name. `severity` is the worst, `first` the newest of that."""

    name: str
    key: str
    count: int
    acked: int
    severity: Severity
    first: Found


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Which page of what: all alerts, or those of one name."""

    number: int = 0
    group: str = ""


async def alerts(desk: Desk, request: Request) -> Answer:
    _read(request, request.rest, request.person.name)  # so that a bad filter is told before anything is asked
    token = desk.new_token()
    state = {"filter": request.rest, "who": request.person.name, "scope": sorted(request.place.scope)}
    view = View(token=token, chat=request.place.chat_id, kind=VIEW, state=state, expires_at=request.now + KEEP)
    await desk.database.write(save_view, view)
    return await show(desk, request, view, Leaf(), edit=False)


async def tap_page(desk: Desk, request: Request, view: View, action: str) -> Tap:
    found = _ACTION.fullmatch(action)
    if found is None:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    leaf = Leaf(number=int(found[3]), group=found[2] or "")

    async def then() -> Answer:
        return await show(desk, request, view, leaf, edit=True)

    return Tap(then=then)


async def show(desk: Desk, request: Request, view: View, leaf: Leaf, *, edit: bool) -> Answer:
    """The page of now. If Alertmanager takes its time, that of what was known before, which the one of now follows."""
    fresh = asyncio.create_task(_page(desk, request, view, leaf, desk.queries.firing, edit=edit))
    known = asyncio.create_task(_known(desk, request, view, leaf, edit=edit))
    try:
        await asyncio.wait({fresh}, timeout=PATIENCE)
        if not fresh.done():
            await asyncio.wait({fresh, known}, return_when=asyncio.FIRST_COMPLETED)
        return fresh.result() if fresh.done() else replace(known.result(), later=fresh)
    except BaseException:
        fresh.cancel()
        raise
    finally:
        known.cancel()
        await asyncio.gather(known, return_exceptions=True)


async def _known(desk: Desk, request: Request, view: View, leaf: Leaf, *, edit: bool) -> Answer:
    """Made while Alertmanager is still busy with its answer; a short list is there before."""
    await asyncio.sleep(MOMENT)
    recalled = functools.partial(desk.queries.recalled, request.now)
    return await _page(desk, request, view, leaf, recalled, edit=edit)


async def _page(
    desk: Desk, request: Request, view: View, leaf: Leaf, ask: Callable[[], Awaitable[Picture]], *, edit: bool
) -> Answer:
    wanted = _read(request, str(view.state["filter"]), str(view.state["who"]), frozenset(view.state["scope"]))
    picture = await ask()
    found = await picture.narrowed(wanted)
    if leaf.group:
        of_name = [one for one in found if _key(one.name) == leaf.group]
        found, leaf = (of_name, leaf) if of_name else (found, Leaf())  # a name that is gone leads back to all
    groups = group(found) if not leaf.group and len(found) > PER_PAGE else []
    grouped = 1 < len(groups) < len(found)
    items: Sequence[Found | Group] = groups if grouped else found
    last = max((len(items) - 1) // PER_PAGE, 0)
    number = min(leaf.number, last)
    page = items[number * PER_PAGE : (number + 1) * PER_PAGE]
    listed = [one for one in page if isinstance(one, Found)]
    return desk.pages.show(
        request,
        "alerts",
        alerts=[one.view for one in listed] or [one.first.view for one in page if isinstance(one, Group)],
        rows=_rows(request, view.token, page, Leaf(number=number, group=leaf.group), last),
        edit=edit,
        groups=[one for one in page if isinstance(one, Group)],
        clusters=[one.alertmanager for one in listed] if desk.several else [],
        counts=_counts(found),
        total=len(found),
        hidden=_hidden(picture, wanted),
        filter=one_line(str(view.state["filter"]), 100),
        scoped=bool(wanted.channels) and not wanted.everything,
        page=number + 1,
        pages=last + 1,
        away=[(tell_trouble(one.error, request.texts), _known_at(desk, one)) for one in picture.away],
        late=picture.late,
        complete=picture.complete,
    )


def _known_at(desk: Desk, away: Away) -> Millis | None:
    """Our own state was brought up to date by the last webhook or, if that was later, by the last poll."""
    answered_at = desk.contacts[away.alertmanager].answered_at
    return away.since if away.since is None or answered_at is None else max(away.since, answered_at)


def group(found: Sequence[Found]) -> list[Group]:
    """By name, in the order of their first alerts, which is that of severity and age."""
    names: dict[str, list[Found]] = {}
    for one in found:
        names.setdefault(one.name, []).append(one)
    return [
        Group(
            name=name,
            key=_key(name),
            count=len(members),
            acked=sum(bool(one.acked_by) for one in members),
            severity=members[0].severity,
            first=members[0],
        )
        for name, members in names.items()
    ]


def _key(name: str) -> str:
    return button_code("name", name)


def _read(request: Request, text: str, who: str, scope: frozenset[str] = frozenset()) -> Filter:
    try:
        return parse_filter(text, who=who, channels=scope)
    except ValueError as error:
        raise unreadable(request, error, '/alerts critical instance=~"db.*"') from None


def _counts(found: Sequence[Found]) -> list[tuple[Severity, int]]:
    counts = Counter(one.severity for one in found)
    return sorted(counts.items(), reverse=True)


def _hidden(picture: Picture, wanted: Filter) -> dict[str, int]:
    """How many are silenced or inhibited and therefore not shown, unless somebody asked for them."""
    if wanted.states or wanted.everything or wanted.holder or wanted.acked:
        return {}
    muted = [one for one in picture.alerts if one.state is not AlertState.FIRING]
    in_scope = [one for one in muted if not wanted.channels or not wanted.channels.isdisjoint(one.channels)]
    return dict(Counter(one.state.value for one in in_scope))


def _rows(request: Request, token: str, page: Sequence[Found | Group], leaf: Leaf, last: int) -> list[list[Button]]:
    _: Callable[[str], str] = request.texts.gettext
    opened = [
        Button(caption=f"{one_line(one.name, 20) or '—'} ×{one.count}", data=f"v:{token}:n{one.key}0")
        for one in page
        if isinstance(one, Group)
    ]
    turn = [
        (leaf.number > 0, _("Back"), f"p{leaf.group}{leaf.number - 1}"),
        (True, _("Refresh"), f"p{leaf.group}{leaf.number}"),
        (leaf.number < last, _("Next"), f"p{leaf.group}{leaf.number + 1}"),
    ]
    rows = [opened[start : start + 2] for start in range(0, len(opened), 2)]
    rows.append([Button(caption=caption, data=f"v:{token}:{action}") for there, caption, action in turn if there])
    if leaf.group:
        rows.append([Button(caption=_("All names"), data=f"v:{token}:p0")])
    return rows
