"""Making a silence step by step: how long, which labels, what it would hit, confirm. A draft belongs to one person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from relay.alertmanager import AlertmanagerError
from relay.bot.commands import silence_events
from relay.bot.commands import silence_pages as pages
from relay.bot.commands.silence_bounds import EXAMPLE, ensure_allowed, ensure_clusters, next_morning
from relay.bot.commands.subject import Subject, post_subject
from relay.bot.commands.written import read_length, unreadable
from relay.bot.desk import Desk
from relay.bot.troubles import tell_trouble
from relay.bot.values import Answer, Request, Sorry, Tap
from relay.clock import HOUR, Millis
from relay.matchers import parse_matchers
from relay.silencing import Choice, Plan, choices_of
from relay.store.conversations import Draft, drafts_of, drop_draft, find_draft, note_question, save_draft
from relay.terms import TERM, split_terms
from relay.text import Entity, one_line, utf16_len

KEEP: Millis = HOUR
KIND = "silence"
MAX_REASON = 500
_DASHES = frozenset({"--", "—", "–"})  # Telegram's desktop clients make one of two


async def tap_silence(desk: Desk, request: Request) -> Tap:
    """The button below an alert."""
    subject = await post_subject(desk, request)
    return begin(desk, request, subject)


def begin(desk: Desk, request: Request, subject: Subject) -> Tap:
    _ = request.own_texts.gettext
    if not subject.firing:
        return Tap(toast=_("%(what)s is resolved already.") % {"what": subject.title})
    if subject.view.alertmanager not in desk.clusters:
        return Tap(toast=_("No Alertmanager is configured: nothing can be asked or silenced."), alert=True)
    plan = Plan(
        alertmanager=subject.view.alertmanager,
        choices=choices_of(subject.view.firing),
    )

    async def then() -> Answer:
        draft = await _keep(desk, request, _new(desk, request), plan)
        return pages.durations(desk, request, draft, plan)

    return Tap(then=then)


async def command(desk: Desk, request: Request) -> Answer:
    """`/silence DURATION MATCHER … [-- reason]`. Raises `Sorry` that says what is wrong."""
    ensure_clusters(desk, request)
    if not request.rest:
        return await pages.pick(desk, request)
    plan = _parse(request)
    ensure_allowed(desk, request, plan.ends(request.now))
    hits = await desk.silencer.hits(plan.matchers)
    hit = [name for name, count in hits if count]
    silent = any(count is None for _, count in hits)  # one that does not answer may have them too
    if len(hits) == 1 or (len(hit) == 1 and not silent):
        plan = replace(plan, alertmanager=hit[0] if hit else hits[0][0])
    draft = await _keep(desk, request, _new(desk, request), plan)
    if not plan.alertmanager:
        return pages.clusters(desk, request, draft, plan, hits)
    return await pages.preview(desk, request, draft, plan, edit=False)


async def awaits(desk: Desk, request: Request) -> bool:
    """Whether we asked what somebody wrote an answer to."""
    return await _asked(desk, request) is not None


async def reply(desk: Desk, request: Request) -> Answer | None:
    """What somebody wrote in answer to our question; None if we asked nothing."""
    draft = await _asked(desk, request)
    if draft is None:
        return None
    async with desk.turns.of(draft.token):
        now = await _asked(desk, request)
        return await _take_reply(desk, request, now, Plan.from_json(now.state)) if now is not None else None


async def _asked(desk: Desk, request: Request) -> Draft | None:
    for draft in await desk.database.read(drafts_of, request.person.id, request.place.chat_id, request.now):
        if Plan.from_json(draft.state).is_answered_by(request.reply_to):
            return draft
    return None


async def _take_reply(desk: Desk, request: Request, draft: Draft, plan: Plan) -> Answer:
    if plan.asking == "reason":
        plan = replace(plan, reason=one_line(request.rest, MAX_REASON), asked=None, asking="")
        await _keep(desk, request, draft, plan)
        return await pages.preview(desk, request, draft, plan, edit=False)
    try:
        plan = replace(plan, length=read_length(request, request.rest, "90m"), until=None, asked=None, asking="")
        ensure_allowed(desk, request, plan.ends(request.now))
    except Sorry as problem:
        return await _ask(desk, request, draft, "length", problem.text)
    await _keep(desk, request, draft, plan)
    return pages.labels(desk, request, draft, plan, edit=False)


async def tap_draft(desk: Desk, request: Request, draft: Draft, action: str) -> Tap:
    """A button of a draft; only its owner's taps count."""
    _ = request.own_texts.gettext
    if draft.owner != request.person.id:
        return Tap(toast=_("Somebody else is composing this. Tap Silence below the alert for your own."), alert=True)
    step = _STEPS.get(action[:1])
    if step is None:
        raise Sorry(_("This button no longer works. /alerts shows what fires now."))
    if action[:1] in "cy":
        toasted = replace(request, texts=request.own_texts)
        ensure_allowed(desk, toasted, Plan.from_json(draft.state).ends(request.now))

    async def then() -> Answer | None:
        async with desk.turns.of(draft.token):
            now = await desk.database.read(find_draft, draft.token, request.now)
            return await step(desk, request, now, action[1:]) if now is not None else None

    return Tap(then=then)


async def _choose_length(desk: Desk, request: Request, draft: Draft, chosen: str) -> Answer:
    plan = Plan.from_json(draft.state)
    if chosen == "o":
        return await _ask(desk, request, draft, "length")
    if chosen == "m":
        plan = replace(plan, until=next_morning(request), length=None)
    else:
        plan = replace(plan, length=read_length(request, chosen, "1h"), until=None)
    ensure_allowed(desk, request, plan.ends(request.now))
    await _keep(desk, request, draft, plan)
    return pages.labels(desk, request, draft, plan, edit=True)


async def _toggle(desk: Desk, request: Request, draft: Draft, index: str) -> Answer:
    plan = Plan.from_json(draft.state).toggled(_number(index))
    await _keep(desk, request, draft, plan)
    return pages.labels(desk, request, draft, plan, edit=True)


async def _show_labels(desk: Desk, request: Request, draft: Draft, _rest: str) -> Answer:
    return pages.labels(desk, request, draft, Plan.from_json(draft.state), edit=True)


async def _preview(desk: Desk, request: Request, draft: Draft, _rest: str) -> Answer:
    return await pages.preview(desk, request, draft, Plan.from_json(draft.state), edit=True)


async def _choose_cluster(desk: Desk, request: Request, draft: Draft, index: str) -> Answer:
    names = desk.silencer.clusters
    if not 0 <= (number := _number(index)) < len(names):
        raise Sorry(request.texts.gettext("This button no longer works. /alerts shows what fires now."))
    plan = replace(Plan.from_json(draft.state), alertmanager=names[number])
    await _keep(desk, request, draft, plan)
    return await pages.preview(desk, request, draft, plan, edit=True)


async def _ask_reason(desk: Desk, request: Request, draft: Draft, _rest: str) -> Answer:
    return await _ask(desk, request, draft, "reason")


async def _ask(desk: Desk, request: Request, draft: Draft, what: str, problem: str = "") -> Answer:
    _ = request.texts.gettext
    question = _("How long? Reply with a duration such as 90m or 2d.") if what == "length" else _("Why? Reply to this.")
    plan = Plan.from_json(draft.state)
    plan = replace(plan, asking=what, asked=None, asked_after=request.message_id or 0)
    await _keep(desk, request, draft, plan)

    async def sent(message_id: int) -> None:
        await desk.database.write(note_question, draft.token, message_id, request.now)

    name, text = request.person.name, f"{problem}\n{question}".strip()
    if request.place.private:
        return Answer(text=text, asks=True, sent=sent)
    # In a group Telegram offers the reply to whom the text mentions; the message that it answers is our own.
    mention = Entity(type="text_link", offset=0, length=utf16_len(name), url=f"tg://user?id={request.person.id}")
    return Answer(text=f"{name}: {text}", entities=[mention], asks=True, sent=sent)


async def _cancel(desk: Desk, request: Request, draft: Draft, _rest: str) -> Answer:
    await desk.database.write(drop_draft, draft.token)
    return Answer(text=request.texts.gettext("Cancelled, nothing was silenced."), edit=True)


async def _confirm(desk: Desk, request: Request, draft: Draft, seen: str) -> Answer | None:
    """Asks a second time where that is wise, else makes it. `seen` is the sign of the plan that was shown."""
    plan = Plan.from_json(draft.state)
    if seen != plan.sign:
        return await pages.preview(desk, request, draft, plan, edit=True)
    return await pages.second_thought(desk, request, draft, plan) or await _make(desk, request, draft, seen)


async def _make(desk: Desk, request: Request, draft: Draft, seen: str) -> Answer | None:
    """Makes it. The draft is gone first, so that two taps make one silence, and back if Alertmanager refuses."""
    plan = Plan.from_json(draft.state)
    if seen != plan.sign:
        return await pages.preview(desk, request, draft, plan, edit=True)
    ends = plan.ends(request.now)
    if ends is None or ends <= request.now:
        return pages.durations(desk, request, draft, plan, edit=True)
    if not await desk.database.write(drop_draft, draft.token):
        return None
    comment = plan.reason or request.texts.gettext("Silenced from Telegram")
    try:
        silence_id = await desk.silencer.create(plan, ends, request.person.signature, comment)
    except AlertmanagerError as error:
        await _keep(desk, request, draft, plan)
        return await pages.preview(desk, request, draft, plan, edit=True, problem=tell_trouble(error, request.texts))
    await silence_events.note(desk, request, "silenced", plan.alertmanager, silence_id, plan.matchers)
    await desk.refresh(plan.alertmanager)
    return await pages.made(desk, request, plan.alertmanager, silence_id, fresh=True, edit=True)


_STEPS: Mapping[str, Callable[[Desk, Request, Draft, str], Awaitable[Answer | None]]] = MappingProxyType(
    {
        "d": _choose_length,
        "t": _toggle,
        "l": _show_labels,
        "p": _preview,
        "k": _choose_cluster,
        "r": _ask_reason,
        "c": _confirm,
        "y": _make,
        "x": _cancel,
    }
)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() else -1


def _new(desk: Desk, request: Request) -> Draft:
    return Draft(
        token=desk.new_token(),
        owner=request.person.id,
        chat=request.place.chat_id,
        kind=KIND,
        state={},
        expires_at=request.now + KEEP,
    )


async def _keep(desk: Desk, request: Request, draft: Draft, plan: Plan) -> Draft:
    kept = replace(draft, state=plan.as_json(), expires_at=request.now + KEEP)
    await desk.database.write(save_draft, kept)
    return kept


async def begin_from(desk: Desk, request: Request, plan: Plan) -> Answer:
    """A draft for what was picked from a list."""
    draft = await _keep(desk, request, _new(desk, request), plan)
    return pages.durations(desk, request, draft, plan)


def _parse(request: Request) -> Plan:
    _ = request.texts.gettext
    dash = next((term for term in TERM.finditer(request.rest) if term[0] in _DASHES), None)
    text, reason = (request.rest[: dash.start()], request.rest[dash.end() :]) if dash else (request.rest, "")
    first, *written = text.split(maxsplit=1) or [""]
    length = read_length(request, first, EXAMPLE)
    try:
        rest = split_terms("".join(written))
        matchers = parse_matchers(" ".join(rest)) if text.count("{") else [
            matcher for token in rest for matcher in parse_matchers(token.rstrip(","))
        ]  # fmt: skip
    except ValueError as error:
        raise unreadable(request, error, EXAMPLE) from None
    if not matchers:
        raise Sorry(_("Say which alerts. For example: %(example)s") % {"example": EXAMPLE})
    choices = tuple(
        Choice(name=one.name, value=one.value, is_regex=one.is_regex, is_equal=one.is_equal) for one in matchers
    )
    return Plan(choices=choices, length=length, reason=one_line(reason, MAX_REASON), typed=True)
