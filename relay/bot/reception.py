"""The one door of all commands and taps: who is it, may this person, is it still meant, what came of it."""

from __future__ import annotations

import gettext
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from relay import logs
from relay.access import Role
from relay.alertmanager import AlertmanagerError
from relay.bot.commands import COMMANDS
from relay.bot.desk import Desk
from relay.bot.people import Account
from relay.bot.taps import find_tap
from relay.bot.troubles import tell_trouble
from relay.bot.values import MAX_TOAST, Answer, Person, Place, Request, Seat, Sorry, Tap
from relay.clock import MINUTE, Millis
from relay.store.chronicle import record_event
from relay.store.database import StoreUnavailable
from relay.store.rows import HistoryRow
from relay.text import cut, one_line

TOO_OLD: Millis = 5 * MINUTE
T = TypeVar("T")
_COMMAND = re.compile(r"/([A-Za-z0-9_]+)(?:@(\w+))?(?:\s+(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message or a tap, as Telegram tells it. `text` is the message's text or the button's data."""

    account: Account
    chat_id: int
    chat_name: str = ""  # of a public chat, without @
    private: bool
    thread_id: int | None = None
    message_id: int | None = None
    text: str = ""
    sent_at: Millis | None = None  # nobody knows when a button was tapped
    reply_to: int | None = None
    forwarded: bool = False


class Reception:
    """Every way in ends with an answer; nothing that happens behind it gets out."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._log = logs.get("bot")

    async def message(self, incoming: Incoming, username: str) -> Answer | None:
        """Answers a command or an expected reply; None for what is not meant for us."""
        found = _COMMAND.fullmatch(incoming.text.strip())
        if found is None:
            return await self._reply(incoming)
        addressed = incoming.private or (found[2] or "").lower() == username.lower()
        if found[2] and not addressed:
            return None
        name = found[1].lower()
        command = COMMANDS.get(name)
        request = self._request(incoming, (found[3] or "").strip())
        if command is None:
            _ = request.texts.gettext
            self._count("unknown", "refused")
            return Answer(text=_("I do not know this command. /help lists what I can do.")) if addressed else None
        refusal = self._not_meant(incoming, request) or self._refusal(request, command.role)
        if refusal:
            await self._note_refusal(request, name, incoming)
            return Answer(text=refusal)
        return await self._guarded(name, request, lambda: command.run(self._desk, request), _as_answer)

    async def tap(self, incoming: Incoming) -> tuple[str, Request, Tap]:
        """The command's name for the metrics, who asked, and the answer to a tap."""
        request = self._request(incoming, incoming.text)
        try:
            kind = await find_tap(self._desk, request)
        except Exception as error:  # noqa: BLE001  whatever it is, the tap is answered
            self._count("unknown", "error")
            return "unknown", request, _as_tap(self._excuse(error, "unknown", request.own_texts))
        if kind is None:
            _ = request.own_texts.gettext
            self._count("unknown", "refused")
            return "unknown", request, Tap(toast=_("This button no longer works. /alerts shows what fires now."))
        refusal = self._refusal(request, kind.role, own=True)
        if refusal:
            await self._note_refusal(request, kind.command, incoming)
            return kind.command, request, Tap(toast=_short(refusal), alert=True)
        tap = await self._guarded(kind.command, request, lambda: kind.run(self._desk, request), _as_tap)
        return kind.command, request, tap or Tap()

    async def carry_out(self, name: str, request: Request, tap: Tap) -> Answer | None:
        """What a tap does once its text has arrived."""
        return await self._guarded(name, request, tap.then, _as_answer, count=False) if tap.then else None

    async def _reply(self, incoming: Incoming) -> Answer | None:
        if incoming.reply_to is None:
            return None
        request = self._request(incoming, incoming.text.strip())
        command = COMMANDS["silence"]
        assert command.reply is not None
        assert command.awaits is not None
        reply, awaits = command.reply, command.awaits
        objection = self._not_meant(incoming, request) or self._refusal(request, command.role)

        async def take() -> Answer | None:
            if not objection:
                return await reply(self._desk, request)
            if not await awaits(self._desk, request):
                return None
            await self._note_refusal(request, "silence", incoming)
            return Answer(text=objection)

        return await self._guarded("silence", request, take, _as_answer, count=False)

    # -- who and where ---------------------------------------------------------------------------------------------

    def _request(self, incoming: Incoming, rest: str) -> Request:
        # A group that became a supergroup keeps the role that the config gives it under its old number.
        homes = [one.home for one in self._desk.seats() if one.chat == incoming.chat_id and isinstance(one.home, int)]
        person = self._desk.people.meet(incoming.account, incoming.chat_id, *homes)
        place = self._place(incoming, person)
        languages = self._desk.languages
        return Request(
            person=person,
            place=place,
            texts=languages[place.language],
            own_texts=languages[person.language],
            now=self._desk.clock(),
            rest=rest,
            message_id=incoming.message_id,
            reply_to=incoming.reply_to,
        )

    def _place(self, incoming: Incoming, person: Person) -> Place:
        seats = self._desk.seats()
        name = f"@{incoming.chat_name}".lower() if incoming.chat_name else None
        here = [seat for seat in seats if seat.chat == incoming.chat_id or str(seat.chat).lower() == name]
        topic = [seat for seat in here if _topic(seat) == incoming.thread_id] or here
        example = next(iter([*topic, *seats]), None)
        language = person.language if incoming.private or example is None else example.language
        return Place(
            chat_id=incoming.chat_id,
            private=incoming.private,
            thread_id=incoming.thread_id,
            channels=frozenset(seat.name for seat in here),
            scope=frozenset(seat.name for seat in topic),
            language=language if language in self._desk.languages else "en",
            zone=example.zone if example else self._desk.zone,
        )

    def _not_meant(self, incoming: Incoming, request: Request) -> str:
        """Why it is answered and not done: it was meant for another moment, or somebody else wrote it."""
        _ = request.texts.gettext
        if incoming.forwarded:
            return _("A forwarded command is not carried out: write it yourself.")
        if incoming.sent_at is None or request.now - incoming.sent_at <= TOO_OLD:
            return ""
        return _("I was away, please send it again.")

    def _refusal(self, request: Request, role: Role | None, *, own: bool = False) -> str:
        if role is None:
            return ""
        _ = (request.own_texts if own else request.texts).gettext
        if request.person.anonymous and (role > Role.VIEWER or not request.person.may(role)):
            return _("Nobody can tell who an anonymous admin or a channel is. Please do this as yourself.")
        if request.person.may(role):
            return ""
        if request.person.role is None:
            return _("I do not know you. Ask an admin; your id is %(id)s.") % {"id": request.person.id}
        return _("This needs the role %(role)s. Ask an admin; your id is %(id)s.") % {
            "role": role.label,
            "id": request.person.id,
        }

    async def _note_refusal(self, request: Request, command: str, incoming: Incoming) -> None:
        self._count(command, "refused")
        self._log.info("refused", command=command, user=request.person.id, chat=request.place.chat_id)
        row = HistoryRow(
            id=self._desk.new_id(),
            at=request.now,
            kind="refused",
            actor=request.person.signature,
            detail=f"{one_line(incoming.text, 200)} in chat {request.place.chat_id}",
        )
        try:
            await self._desk.database.write(record_event, row)
        except StoreUnavailable as error:
            self._log.warning("refusal not recorded", error=str(error))

    # -- what came of it -------------------------------------------------------------------------------------------

    async def _guarded(
        self,
        name: str,
        request: Request,
        run: Callable[[], Awaitable[T]],
        sorry: Callable[[str], T],
        *,
        count: bool = True,
    ) -> T:
        started = self._desk.monotonic()
        outcome = "error"
        try:
            result = await run()
            outcome = "ok"
        except Exception as error:  # noqa: BLE001  the door of commands: a bug in one must not take the others along
            return sorry(self._excuse(error, name, request.own_texts if sorry is _as_tap else request.texts))
        finally:
            if count or outcome != "ok":
                self._count(name, outcome)
            self._desk.metrics.bot_seconds.labels(name).observe(self._desk.monotonic() - started)
        return result

    def _excuse(self, error: Exception, command: str, texts: gettext.NullTranslations) -> str:
        """What people are told of an error that is being handled; what nobody expected is logged and counted."""
        _ = texts.gettext
        match error:
            case Sorry():
                return error.text
            case AlertmanagerError():
                return tell_trouble(error, texts)
            case StoreUnavailable():
                self._log.warning("store unavailable", error=str(error))
                return _("My memory is not there at the moment. Please try again.")
        self._desk.metrics.errors.labels("bot").inc()
        self._log.exception("command failed unexpectedly", command=command)
        return _("Something went wrong here; the reason is in my log.")

    def _count(self, command: str, outcome: str) -> None:
        self._desk.metrics.bot_commands.labels(command, outcome).inc()


def _topic(seat: Seat) -> int | None:
    return None if seat.topic == 1 else seat.topic


def _short(text: str) -> str:
    return cut(text, (), MAX_TOAST)[0]


def _as_answer(text: str) -> Answer | None:
    return Answer(text=cut(text, (), 4096)[0])


def _as_tap(text: str) -> Tap:
    return Tap(toast=_short(text), alert=True)
