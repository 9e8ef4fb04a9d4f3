"""Silences that stand: the list, and ending, prolonging and making one again, by command and by button."""

from __future__ import annotations

import re

from relay.bot.commands import silence_events
from relay.bot.commands import silence_flow as flow
from relay.bot.commands import silence_pages as pages
from relay.bot.commands.lists import group
from relay.bot.commands.silence_bounds import ensure_allowed
from relay.bot.commands.silence_events import Deed
from relay.bot.desk import Desk
from relay.bot.values import Answer, Button, Request, Sorry, Tap
from relay.clock import Millis
from relay.durations import parse_duration
from relay.matchers import Matcher, format_matchers
from relay.queries import parse_filter, plain_word, read_terms
from relay.silencing import Plan, Standing, choices_of
from relay.store.conversations import View, save_view
from relay.text import one_line

PER_PAGE = 6
VIEW = "silences"
_CODE = re.compile(r"s[a-z]{5}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}")
_ACTION = re.compile(r"(p)(\d{1,4})|([ex])(s[a-z]{5})")


async def silences(desk: Desk, request: Request) -> Answer:
    _read(request.rest)  # so that a bad filter is told before anything is asked
    view = View(
        token=desk.new_token(),
        chat=request.place.chat_id,
        kind=VIEW,
        state={"filter": request.rest},
        expires_at=request.now + pages.KEEP_VIEW,
    )
    await desk.database.write(save_view, view)
    return await _show(desk, request, view, 0, edit=False)


async def unsilence(desk: Desk, request: Request) -> Answer:
    one = await _find(desk, request, request.rest, "/unsilence skzrpt")
    return await _end(desk, request, one, edit=False)


async def extend(desk: Desk, request: Request) -> Answer:
    code, _blank, written = request.rest.partition(" ")
    one = await _find(desk, request, code, "/extend skzrpt 2h")
    try:
        length = parse_duration(written)
    except ValueError as error:
        raise Sorry(f"{error}: /extend {one_line(code, 40)} 2h") from None
    return await _extend(desk, request, one, length, edit=False)


async def tap_list(desk: Desk, request: Request, view: View, action: str) -> Tap:
    found = _ACTION.fullmatch(action)
    if found is None:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    if found[1]:
        return Tap(then=lambda: _show(desk, request, view, int(found[2]), edit=True))
    one = await _find(desk, request, found[4], "/silences")
    if found[3] == "e":
        return Tap(then=lambda: _extend(desk, request, one, parse_duration("1h"), edit=False))
    return Tap(then=lambda: _end(desk, request, one, edit=False))


async def tap_made(desk: Desk, request: Request, view: View, action: str) -> Tap:
    """Undo, end, prolong or bring back one silence."""
    state = view.state

    async def then() -> Answer:
        one = await desk.silencer.get(str(state["alertmanager"]), str(state["id"]))
        if action == "x":
            return await _end(desk, request, one, edit=True)
        if action == "b":
            return await _again(desk, request, one, int(state["ends"] or 0))
        return await _extend(desk, request, one, parse_duration(action[1:]), edit=True)

    if action not in {"x", "b", "e1h", "e4h"}:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    return Tap(then=then)


async def tap_pick(desk: Desk, request: Request, view: View, action: str) -> Tap:
    """Which alerts `/silence` meant."""

    async def then() -> Answer:
        wanted = parse_filter("", who="", channels=frozenset(view.state["scope"]))
        found = await (await desk.queries.firing()).narrowed(wanted)
        names = [one.name for one in group(found) if f"n{one.key}" == action]
        chosen = [one for one in found if one.name in names]
        if not chosen:
            return Answer(text=request.texts.gettext("It no longer fires. /alerts shows what fires now."), edit=True)
        cluster = chosen[0].alertmanager
        alerts = [one.view for one in chosen if one.alertmanager == cluster]
        return await flow.begin_from(desk, request, Plan(alertmanager=cluster, choices=choices_of(alerts)))

    return Tap(then=then)


async def _show(desk: Desk, request: Request, view: View, number: int, *, edit: bool) -> Answer:
    _ = request.texts.gettext
    matchers, words = _read(str(view.state["filter"]))
    standing, problems = await desk.silencer.standing()
    found = [
        one
        for one in standing
        if all(matcher in one.silence.matchers for matcher in matchers) and all(word in _text(one) for word in words)
    ]
    last = max((len(found) - 1) // PER_PAGE, 0)
    number = min(number, last)
    page = found[number * PER_PAGE : (number + 1) * PER_PAGE]
    rows = [
        [
            Button(caption=f"{one.code} +1h", data=f"v:{view.token}:e{one.code}"),
            Button(caption=f"{one.code} {_('End')}", data=f"v:{view.token}:x{one.code}"),
        ]
        for one in page
    ]
    turn = [(number > 0, _("Back"), number - 1), (number < last, _("Next"), number + 1)]
    rows.append([Button(caption=text, data=f"v:{view.token}:p{to}") for there, text, to in turn if there])
    return desk.pages.show(
        request, "silences", rows=rows, edit=edit, problems=problems, total=len(found), several=desk.several,
        page=number + 1, pages=last + 1, filter=one_line(str(view.state["filter"]), 100),
        shown=[(one, one.silence, format_matchers(one.silence.matchers)) for one in page],
    )  # fmt: skip


def _read(text: str) -> tuple[list[Matcher], list[str]]:
    """Matchers that a silence must hold word for word, as Alertmanager's own filter means it, and words it must say."""
    try:
        matchers, terms = read_terms(text)
    except ValueError as error:
        raise Sorry(str(error)) from None
    return matchers, [plain_word(term) for term in terms]


def _text(one: Standing) -> str:
    silence = one.silence
    said = [one.code, one.alertmanager, silence.created_by, silence.comment, format_matchers(silence.matchers)]
    return "\n".join(said).lower()


async def _find(desk: Desk, request: Request, code: str, example: str) -> Standing:
    _ = request.texts.gettext
    code = code.strip()
    if not _CODE.fullmatch(code):
        what = one_line(code, 40) or "—"
        raise Sorry(
            _("%(what)s is no ID of a silence. /silences shows them, for example: %(example)s")
            % {"what": what, "example": example}
        )
    found = await desk.silencer.find(code)
    if found is None:
        raise Sorry(_("There is no silence %(code)s, or it has ended. /silences shows what there is.") % {"code": code})
    return found


async def _end(desk: Desk, request: Request, one: Standing, *, edit: bool) -> Answer:
    if one.silence.state == "expired":
        return await pages.standing(desk, request, one, fresh=False, edit=edit, ended_by="—")
    await desk.silencer.end(one)
    await _after(desk, request, one, "unsilenced")
    return await pages.standing(desk, request, one, fresh=False, edit=edit, ended_by=request.person.name)


async def _extend(desk: Desk, request: Request, one: Standing, length: Millis, *, edit: bool) -> Answer:
    """Later than its end by that much; one that has ended begins again."""
    ends = max(one.silence.ends_at or 0, request.now) + length
    ensure_allowed(desk, request, ends)
    changed = await desk.silencer.extend(one, ends)
    await _after(desk, request, changed, "extended")
    return await pages.made(desk, request, changed.alertmanager, changed.silence.id, fresh=False, edit=edit)


async def _again(desk: Desk, request: Request, one: Standing, ends: Millis) -> Answer:
    ensure_allowed(desk, request, ends)
    changed = await desk.silencer.extend(one, ends)
    await _after(desk, request, changed, "silenced")
    return await pages.made(desk, request, changed.alertmanager, changed.silence.id, fresh=False, edit=True)


async def _after(desk: Desk, request: Request, one: Standing, deed: Deed) -> None:
    await silence_events.note(desk, request, deed, one.alertmanager, one.silence.id, one.silence.matchers)
    await desk.refresh(one.alertmanager)
