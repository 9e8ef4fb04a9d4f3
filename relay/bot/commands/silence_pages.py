"""How the steps of a silence look: the questions, the preview, and the silence that was made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.alertmanager import AlertmanagerError
from relay.alertmanager.guard import ANY_VALUE, FITS_ABSENT, NO_MATCHER, ONLY_NEGATIVE
from relay.bot.commands.silence_bounds import EXAMPLE, longest, next_morning
from relay.bot.desk import Desk
from relay.bot.troubles import tell_trouble
from relay.bot.values import Answer, Button, Request
from relay.clock import DAY, HOUR, MINUTE
from relay.durations import format_duration
from relay.ids import button_code
from relay.matchers import format_matchers
from relay.queries import Found, parse_filter
from relay.silencing import Plan, Standing
from relay.store.conversations import Draft, View, save_view
from relay.text import one_line

LENGTHS = (15 * MINUTE, HOUR, 2 * HOUR, 4 * HOUR, 24 * HOUR)
KEEP_VIEW = 7 * DAY
MADE, PICK = "silence", "pick"
MAX_PICKS = 12
MAX_NAMED = 5


def durations(desk: Desk, request: Request, draft: Draft, plan: Plan, *, edit: bool = False) -> Answer:
    _ = request.texts.gettext
    limit = longest(desk, request)
    lengths = [length for length in LENGTHS if limit is None or length <= limit]
    offered = [_button(draft, _spoken(length), f"d{_spoken(length)}") for length in lengths]
    later = [_button(draft, _("Other…"), "do"), _button(draft, _("Cancel"), "x")]
    if limit is None or next_morning(request) - request.now <= limit:
        later.insert(0, _button(draft, _("until 09:00"), "dm"))
    return _page(desk, request, "duration", plan, [offered, later], edit=edit)


def labels(desk: Desk, request: Request, draft: Draft, plan: Plan, *, edit: bool) -> Answer:
    _ = request.texts.gettext
    toggles = [
        _button(draft, f"{'☑' if choice.on else '☐'} {one_line(str(choice.matcher), 40)}", f"t{index}")
        for index, choice in enumerate(plan.choices)
    ]
    rows = [[toggle] for toggle in toggles] if len(toggles) <= 8 else _pairs(toggles)
    rows.append([_button(draft, _("Preview"), "p"), _button(draft, _("Cancel"), "x")])
    return _page(desk, request, "labels", plan, rows, edit=edit)


def clusters(desk: Desk, request: Request, draft: Draft, plan: Plan, hits: Sequence[tuple[str, int | None]]) -> Answer:
    _ = request.texts.gettext
    rows = [
        [_button(draft, f"{one_line(name, 40)} ({'?' if count is None else count})", f"k{index}")]
        for index, (name, count) in enumerate(hits)
    ]
    return _page(desk, request, "cluster", plan, [*rows, [_button(draft, _("Cancel"), "x")]], edit=False)


async def preview(desk: Desk, request: Request, draft: Draft, plan: Plan, *, edit: bool, problem: str = "") -> Answer:
    """What it would hit. An Alertmanager that is away leaves the draft as it is: it can be tried again."""
    _ = request.texts.gettext
    found = None
    if plan.matchers:
        try:
            old = await desk.silencer.unreadable(plan.alertmanager, plan.matchers)
            found = None if old else await desk.silencer.preview(
                plan.alertmanager, plan.matchers, request.place.channels
            )  # fmt: skip
            problem = _too_old(request, plan, *old) if old else problem
        except AlertmanagerError as error:
            problem = problem or tell_trouble(error, request.texts)
    else:
        problem = _("No label is chosen.")
    first = [_button(draft, _("Confirm"), f"c{plan.sign}")] if found else [_button(draft, _("Try again"), "p")]
    second = [_button(draft, _("Reason…"), "r")]
    if not plan.typed:
        second.append(_button(draft, _("Labels"), "l"))
    rows = [[*first, _button(draft, _("Cancel"), "x")], second]
    elsewhere = [one_line(one.labels.get("alertname", ""), 40) for one in found.elsewhere] if found else []
    names = list(dict.fromkeys(elsewhere))
    return _page(
        desk, request, "preview", plan, rows, edit=edit, problem=problem, preview=found,
        elsewhere=len(elsewhere), named=names[:MAX_NAMED], more=len(names) > MAX_NAMED,
    )  # fmt: skip


def _too_old(request: Request, plan: Plan, version: str, name: str) -> str:
    _ = request.texts.gettext
    return _("Alertmanager %(alertmanager)s %(version)s does not know label names like “%(name)s”; 0.27 does.") % {
        "alertmanager": plan.alertmanager,
        "version": version,
        "name": one_line(name, 40),
    }


async def second_thought(desk: Desk, request: Request, draft: Draft, plan: Plan) -> Answer | None:
    """A second question for a silence that would mute nearly everything; None if it would not."""
    _ = request.texts.gettext
    try:
        found = await desk.silencer.preview(plan.alertmanager, plan.matchers, request.place.channels)
    except AlertmanagerError as error:
        return await preview(desk, request, draft, plan, edit=True, problem=tell_trouble(error, request.texts))
    if found.doubt is None:
        return None
    reasons = {
        NO_MATCHER: _("there is no matcher: it would silence every alert"),
        FITS_ABSENT: _("every matcher also fits alerts without the label: it would silence nearly every alert"),
        ONLY_NEGATIVE: _("it only says which alerts are left alone: it would silence every other one"),
        ANY_VALUE: _("its patterns fit almost any value: it would silence nearly every alert"),
    }
    count = len(found.hits)
    sure = request.texts.ngettext("Yes, silence %(num)s alert", "Yes, silence %(num)s alerts", count) % {"num": count}
    rows = [[_button(draft, sure, f"y{plan.sign}")], [_button(draft, _("Cancel"), "x")]]
    return _page(
        desk, request, "sure", plan, rows, edit=True, doubt=reasons.get(found.doubt, found.doubt), preview=found
    )


async def made(desk: Desk, request: Request, alertmanager: str, silence_id: str, *, fresh: bool, edit: bool) -> Answer:
    """The silence as Alertmanager has it now, with buttons to undo, prolong and end it."""
    one = await desk.silencer.get(alertmanager, silence_id)
    return await standing(desk, request, one, edit=edit, fresh=fresh)


async def standing(
    desk: Desk,
    request: Request,
    one: Standing,
    *,
    edit: bool,
    fresh: bool = False,
    ended: bool = False,
    ended_by: str = "",
) -> Answer:
    _ = request.texts.gettext
    token = desk.new_token()
    state = {"alertmanager": one.alertmanager, "id": one.silence.id, "ends": one.silence.ends_at}
    state |= {"ended_by": ended_by} if ended else {}
    view = View(token=token, chat=request.place.chat_id, kind=MADE, state=state, expires_at=request.now + KEEP_VIEW)
    await desk.database.write(save_view, view)
    if ended:
        again = (one.silence.ends_at or 0) - request.now > MINUTE
        rows = [[Button(caption=_("Silence again"), data=f"v:{token}:b")]] if again else []
    else:
        ending = Button(caption=_("Undo") if fresh else _("End"), data=f"v:{token}:x")
        rows = [[ending, *(Button(caption=f"+{text}", data=f"v:{token}:e{text}") for text in ("1h", "4h"))]]
    return desk.pages.show(
        request, "silence_made", rows=rows, edit=edit, one=one, silence=one.silence, ended=ended, ended_by=ended_by,
        matchers=format_matchers(one.silence.matchers), several=desk.several,
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """What one button of `/silence` offers: the alerts of a name, those of one cluster, as a silence is."""

    alertmanager: str
    name: str
    key: str
    alerts: Sequence[Found]


def picks_of(found: Sequence[Found]) -> list[Pick]:
    """In the order of their first alerts, which is that of severity and age."""
    picks: dict[tuple[str, str], list[Found]] = {}
    for one in found:
        picks.setdefault((one.alertmanager, one.name), []).append(one)
    return [
        Pick(alertmanager=alertmanager, name=name, key=button_code("pick", alertmanager, name), alerts=alerts)
        for (alertmanager, name), alerts in picks.items()
    ]


async def pick(desk: Desk, request: Request) -> Answer:
    """`/silence` alone: which alerts are meant?"""
    _ = request.texts.gettext
    wanted = parse_filter("", who="", channels=request.place.scope)
    picks = picks_of(await (await desk.queries.firing()).narrowed(wanted))[:MAX_PICKS]
    token = desk.new_token()
    view = View(
        token=token,
        chat=request.place.chat_id,
        kind=PICK,
        state={"scope": sorted(request.place.scope)},
        expires_at=request.now + KEEP_VIEW,
    )
    await desk.database.write(save_view, view)
    buttons = []
    for one in picks:
        where = f" · {one_line(one.alertmanager, 20)}" if desk.several else ""
        caption = f"{one_line(one.name, 24) or '—'} ×{len(one.alerts)}{where}"
        buttons.append(Button(caption=caption, data=f"v:{token}:n{one.key}"))
    return _page(desk, request, "pick", Plan(), _pairs(buttons), edit=False, example=EXAMPLE)


def _page(
    desk: Desk,
    request: Request,
    step: str,
    plan: Plan,
    rows: Sequence[Sequence[Button]],
    *,
    edit: bool,
    **more: Any,
) -> Answer:
    return desk.pages.show(
        request, "silence", rows=rows, edit=edit, step=step, plan=plan, ends=plan.ends(request.now),
        matchers=format_matchers(plan.matchers) if plan.choices else "", several=desk.several, **more,
    )  # fmt: skip


def _button(draft: Draft, caption: str, action: str) -> Button:
    return Button(caption=caption, data=f"f:{draft.token}:{action}")


def _pairs(buttons: Sequence[Button]) -> list[list[Button]]:
    return [list(buttons[start : start + 2]) for start in range(0, len(buttons), 2)]


def _spoken(length: int) -> str:
    """As buttons write it: 24h, not 1d."""
    return "24h" if length == DAY else format_duration(length)
