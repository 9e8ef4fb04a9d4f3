"""Silences that stand: the list, and ending, prolonging and making one again, by command and by button."""

from __future__ import annotations

import re
from dataclasses import replace

from relay.alertmanager import SilenceNotFound
from relay.bot.commands import silence_events
from relay.bot.commands import silence_flow as flow
from relay.bot.commands import silence_pages as pages
from relay.bot.commands.silence_bounds import ensure_allowed, ensure_clusters
from relay.bot.commands.silence_events import Deed
from relay.bot.commands.written import read_length, unreadable
from relay.bot.desk import Desk
from relay.bot.troubles import tell_trouble
from relay.bot.values import Answer, Button, Request, Sorry, Tap
from relay.clock import Millis
from relay.durations import parse_duration
from relay.matchers import Matcher, format_matchers
from relay.queries import parse_filter
from relay.silencing import Plan, Standing, choices_of, silence_code
from relay.store.conversations import View, find_view, save_view
from relay.terms import plain_word, read_terms
from relay.text import one_line

PER_PAGE = 6
VIEW = "silences"
_CODE = re.compile(r"s[a-z]{5}|[0-9a-f]{8}-[0-9a-f-]{27}")
_ACTION = re.compile(r"(p)(\d{1,4})|([ex])(s[a-z]{5})")


async def silences(desk: Desk, request: Request) -> Answer:
    ensure_clusters(desk, request)
    _read(request, request.rest)  # so that a bad filter is told before anything is asked
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
    length = read_length(request, written, f"/extend {one_line(code, 40)} 2h")
    return await _extend(desk, request, one, length)


async def tap_list(desk: Desk, request: Request, view: View, action: str) -> Tap:
    found = _ACTION.fullmatch(action)
    if found is None:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    if found[1]:
        return Tap(then=lambda: _show(desk, request, view, int(found[2]), edit=True))
    deed, code = found[3], found[4]

    async def then() -> Answer:
        one = await _find(desk, request, code, "/silences")
        if deed == "e":
            return await _extend(desk, request, one, parse_duration("1h"))
        return await _end(desk, request, one, edit=False)

    return Tap(then=then)


async def tap_made(desk: Desk, request: Request, view: View, action: str) -> Tap:
    """Undo, end, prolong or bring back one silence. A second tap finds what the first one made of it."""

    async def then() -> Answer:
        async with desk.turns.of(view.token):
            now = await desk.database.read(find_view, view.token, request.now)
            return await _change(desk, request, now or view, action)

    if action not in {"x", "b", "e1h", "e4h"}:
        raise Sorry(request.own_texts.gettext("This button no longer works. /alerts shows what fires now."))
    return Tap(then=then)


async def _change(desk: Desk, request: Request, view: View, action: str) -> Answer:
    state = view.state
    one = await _get(desk, request, str(state["alertmanager"]), str(state["id"]))
    if action == "x":
        if one.silence.state != "expired":
            answer = await _end(desk, request, one, edit=True)
            await _remember(desk, view, ended_by=request.person.name)
            return answer
        until_then = replace(one, silence=replace(one.silence, ends_at=state["ends"]))
        ended_by = str(state.get("ended_by", ""))
        return await pages.standing(desk, request, until_then, edit=True, ended=True, ended_by=ended_by)
    if action == "b" and one.silence.state != "expired":
        return await pages.standing(desk, request, one, edit=True)
    if action == "b":
        changed = await _again(desk, request, one, int(state["ends"] or 0))
    else:
        changed = await _prolonged(desk, request, one, parse_duration(action[1:]))
    await _remember(desk, view, id=changed.silence.id, ends=changed.silence.ends_at)
    return await pages.made(desk, request, changed.alertmanager, changed.silence.id, fresh=False, edit=True)


async def _remember(desk: Desk, view: View, **changed: object) -> None:
    """For the other taps on the same buttons."""
    await desk.database.write(save_view, replace(view, state={**view.state, **changed}))


async def tap_pick(desk: Desk, request: Request, view: View, action: str) -> Tap:
    """Which alerts `/silence` meant."""

    async def then() -> Answer:
        wanted = parse_filter("", who="", channels=frozenset(view.state["scope"]))
        found = await (await desk.queries.firing()).narrowed(wanted)
        chosen = next((one for one in pages.picks_of(found) if f"n{one.key}" == action), None)
        if chosen is None:
            return Answer(text=request.texts.gettext("It no longer fires. /alerts shows what fires now."), edit=True)
        choices = choices_of([one.view for one in chosen.alerts])
        return await flow.begin_from(desk, request, Plan(alertmanager=chosen.alertmanager, choices=choices))

    return Tap(then=then)


async def _show(desk: Desk, request: Request, view: View, number: int, *, edit: bool) -> Answer:
    _ = request.texts.gettext
    matchers, words = _read(request, str(view.state["filter"]))
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
        request, "silences", rows=rows, edit=edit, total=len(found), several=desk.several,
        page=number + 1, pages=last + 1, filter=one_line(str(view.state["filter"]), 100),
        problems=[tell_trouble(problem, request.texts) for problem in problems],
        shown=[(one, one.silence, format_matchers(one.silence.matchers)) for one in page],
    )  # fmt: skip


def _read(request: Request, text: str) -> tuple[list[Matcher], list[str]]:
    """Matchers that a silence must hold word for word, as Alertmanager's own filter means it, and words it must say."""
    try:
        matchers, terms = read_terms(text)
    except ValueError as error:
        raise unreadable(request, error, '/silences instance="db-1"') from None
    return matchers, [plain_word(term) for term in terms]


def _text(one: Standing) -> str:
    silence = one.silence
    said = [one.code, one.alertmanager, silence.created_by, silence.comment, format_matchers(silence.matchers)]
    return "\n".join(said).lower()


async def _find(desk: Desk, request: Request, code: str, example: str) -> Standing:
    _ = request.texts.gettext
    ensure_clusters(desk, request)
    code = code.strip().lower()
    if not _CODE.fullmatch(code):
        what = one_line(code, 40) or "—"
        raise Sorry(
            _("%(what)s is no ID of a silence. /silences shows them, for example: %(example)s")
            % {"what": what, "example": example}
        )
    found = await desk.silencer.find(code)
    if not found:
        raise _no_silence(request, code)
    if len(found) > 1:
        ids = ", ".join(f"{format_matchers(one.silence.matchers)} ({one.silence.id})" for one in found)
        raise Sorry(
            _("Several silences have the ID %(code)s: %(silences)s. Say which one by the ID in brackets.")
            % {"code": code, "silences": ids}
        )
    return found[0]


async def _get(desk: Desk, request: Request, alertmanager: str, silence_id: str) -> Standing:
    try:
        return await desk.silencer.get(alertmanager, silence_id)
    except SilenceNotFound:
        raise _no_silence(request, silence_code(alertmanager, silence_id)) from None


def _no_silence(request: Request, code: str) -> Sorry:
    _ = request.texts.gettext
    return Sorry(_("There is no silence %(code)s, or it has ended. /silences shows what there is.") % {"code": code})


async def _end(desk: Desk, request: Request, one: Standing, *, edit: bool) -> Answer:
    await desk.silencer.end(one)
    await _after(desk, request, one, "unsilenced")
    return await pages.standing(desk, request, one, edit=edit, ended=True, ended_by=request.person.name)


async def _extend(desk: Desk, request: Request, one: Standing, length: Millis) -> Answer:
    changed = await _prolonged(desk, request, one, length)
    return await pages.made(desk, request, changed.alertmanager, changed.silence.id, fresh=False, edit=False)


async def _prolonged(desk: Desk, request: Request, one: Standing, length: Millis) -> Standing:
    """Later than its end by that much; one that has ended begins again."""
    ends = max(one.silence.ends_at or 0, request.now) + length
    ensure_allowed(desk, request, ends)
    changed = await desk.silencer.extend(one, ends)
    await _after(desk, request, changed, "extended")
    return changed


async def _again(desk: Desk, request: Request, one: Standing, ends: Millis) -> Standing:
    ensure_allowed(desk, request, ends)
    changed = await desk.silencer.extend(one, ends)
    await _after(desk, request, changed, "silenced")
    return changed


async def _after(desk: Desk, request: Request, one: Standing, deed: Deed) -> None:
    await silence_events.note(desk, request, deed, one.alertmanager, one.silence.id, one.silence.matchers)
    await desk.refresh(one.alertmanager)
