"""A stand-in for the Telegram Bot API on loopback: as strict as the real one, with people who write and press buttons.

Tests and the demo start it, point a bot at `url`, look at `chat(id).messages` and the `journal`, and script failures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from relay.demo.telegram_calls import QUERY_LIFETIME, Memory, Params, Query, Toast
from relay.demo.telegram_chats import Chat, ChatKind, Document, Message, Refusal, Topic, User
from relay.demo.telegram_faults import Fault, break_connection, wait_for_event
from relay.demo.telegram_flood import Floods
from relay.demo.telegram_methods import Methods
from relay.demo.telegram_updates import Updates

__all__ = ["TOKEN", "Call", "Chat", "FakeTelegram", "Fault", "Message", "Toast", "User"]

TOKEN = "424242:AAFakeTokenForTestsAndDemoOnly-123"  # noqa: S105  it opens nothing but this stand-in
_MAX_UPLOAD = 50 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Call:
    """One request: when (by the clock), what, and the answer; `status` is None while it runs or when it was broken off."""

    at: float
    method: str
    params: Mapping[str, Any]
    files: Mapping[str, Document] = field(default_factory=dict)
    status: int | None = None
    answer: Any = None


class FakeTelegram:
    """Serves one bot. `limits=False` switches flood control off; `local` takes webhooks on http, as an own server does."""

    def __init__(
        self,
        token: str = TOKEN,
        *,
        clock: Callable[[], float] = time.monotonic,
        limits: bool = True,
        burst: int = 3,
        username: str = "relay_bot",
        local: bool = False,
    ) -> None:
        self.token = token
        self.journal: list[Call] = []
        self.faults: list[Fault] = []
        self.floods = Floods(clock=clock, enabled=limits, burst=burst)
        bot = User(int(token.partition(":")[0]), "Relay", username, is_bot=True)
        self._memory = Memory(bot=bot, clock=clock, floods=self.floods)
        self._local = local
        self._ids = itertools.count(1)
        self._down = False
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._progress = asyncio.Event()
        self.updates = Updates(local=local, execute=self._execute)
        self._methods = Methods(self._memory, self.updates)
        self.url = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        app = web.Application(client_max_size=_MAX_UPLOAD)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1.0, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._stopping.set()
        await self.updates.close()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # What exists

    def add_user(self, user_id: int, name: str, username: str = "", language: str = "") -> User:
        """A person; `language` is that of their Telegram."""
        return self._memory.users.setdefault(user_id, User(user_id, name, username, language=language))

    def add_chat(self, chat_id: int, kind: ChatKind = "supergroup", title: str = "On-call", **values: Any) -> Chat:
        """A chat with the bot in it; `values` are fields of `Chat`, `topics` may be {id: name}."""
        topics = {number: Topic(name) for number, name in dict(values.pop("topics", {})).items()}
        chat = Chat(
            id=chat_id, kind=kind, title=title, topics=topics, forum=values.pop("forum", bool(topics)), **values
        )
        return self._memory.chats.setdefault(chat_id, chat)

    def chat(self, chat_id: int) -> Chat:
        return self._memory.chats[chat_id]

    @property
    def bot(self) -> User:
        return self._memory.bot

    @property
    def commands(self) -> Mapping[str, list[dict[str, Any]]]:
        """What the bot announced, by `scope[:chat]:language`."""
        return self._memory.commands

    def calls(self, method: str) -> list[Call]:
        return [call for call in self.journal if call.method.lower() == method.lower()]

    async def until(self, condition: Callable[[], object], *, within: float = 60.0) -> None:
        """Returns as soon as the condition holds; `TimeoutError` if it does not in time. Looks after every call."""
        async with asyncio.timeout(within):
            while not condition():
                self._progress.clear()
                await wait_for_event(self._progress, 0.05)  # a poll that begins to wait is no call's end

    # What happens

    def migrate(self, chat_id: int, new_id: int) -> Chat:
        """Upgrades a group to a supergroup: the old id is refused from now on, its messages stay behind."""
        old = self.chat(chat_id)
        new = self.add_chat(new_id, "supergroup", old.title, members=dict(old.members))
        old.migrated_to = new_id
        return new

    def fail_next(self, method: str | None = None, **how: Any) -> Fault:
        """The next calls (of this method) meet a `Fault`; `how` are its fields: text, status, body and so on."""
        fault = Fault(method=method, **how)
        self.faults.append(fault)
        return fault

    def down(self) -> None:
        """From now on every connection is reset, long polls included."""
        self._down = True
        self.updates.interrupt()

    def up(self) -> None:
        self._down = False
        self.updates.resume()

    def user_sends(
        self, chat_id: int, user_id: int, text: str, *, thread_id: int | None = None, reply_to: int | None = None
    ) -> Message:
        """A person writes. In groups the bot only hears commands to it, replies to it and its name: privacy mode."""
        chat, user = self.chat(chat_id), self._memory.users[user_id]
        command = text.split(maxsplit=1)[0] if text.startswith("/") and text.split() else ""
        entities = [{"type": "bot_command", "offset": 0, "length": len(command)}] if command else []
        message = Message(
            id=chat.next_id(), sender=user, text=text, entities=entities, thread_id=thread_id, reply_to=reply_to
        )
        chat.messages.append(message)
        if self._heard(chat, message, command):
            self.updates.push("message", chat.wire_message(message))
        return message

    def _heard(self, chat: Chat, message: Message, command: str) -> bool:
        if chat.kind == "private" or chat.bot_status == "administrator":
            return True
        name = self.bot.username.lower()
        addressed = command.partition("@")[2].lower() in {"", name}
        target = chat.find(message.reply_to)
        replies = target is not None and target.sender is self.bot
        return (bool(command) and addressed) or replies or f"@{name}" in message.text.lower()

    async def user_presses(self, chat_id: int, message_id: int, button: str, *, user_id: int | None = None) -> Toast:
        """A person presses the button with this caption or data; the bot's answer, or `TimeoutError` after 15 s."""
        chat = self.chat(chat_id)
        message = chat.find(message_id)
        if message is None:
            raise LookupError(f"no message {message_id} in chat {chat_id}")
        found = message.button(button)
        if "callback_data" not in found:
            raise LookupError(f"the button {button!r} is a link")
        user = self._memory.users[user_id or next(iter(self._memory.users))]
        answer: asyncio.Future[Toast] = asyncio.get_running_loop().create_future()
        query_id = f"{self.bot.id}{next(self._ids):010d}"
        self._memory.queries[query_id] = Query(self._memory.clock(), answer)
        query = {"id": query_id, "from": user.wire(), "chat_instance": str(chat.id), "data": found["callback_data"]}
        self.updates.push("callback_query", query | {"message": chat.wire_message(message)})
        return await asyncio.wait_for(answer, QUERY_LIFETIME)

    # How it is asked

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._respond(request)
        finally:
            self._progress.set()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        if self._down:
            return break_connection(request)
        method = request.match_info["method"]
        params = await _params(request)
        call = Call(at=self._memory.clock(), method=method, params=dict(params), files=params.files)
        self.journal.append(call)
        fault = self._fault(method, str(params.get("text", "")))
        if fault and not fault.after:
            return await self._fail(fault, call, request)
        if request.match_info["token"] != self.token:
            status, call.answer = 401, {"ok": False, "error_code": 401, "description": "Unauthorized"}
        else:
            status, call.answer = await self._answer(method, params)
        if self._down:
            return break_connection(request)
        if fault:
            return await self._fail(fault, call, request)
        call.status = status
        return web.json_response(call.answer, status=status, dumps=_dumps)

    async def _answer(self, method: str, params: Params) -> tuple[int, dict[str, Any]]:
        try:
            return 200, {"ok": True, "result": await self._methods.run(method, params)}
        except Refusal as refusal:
            body: dict[str, Any] = {"ok": False, "error_code": refusal.code, "description": refusal.description}
            return refusal.code, body | ({"parameters": refusal.parameters} if refusal.parameters else {})

    async def _execute(self, method: str, params: dict[str, Any]) -> Any:
        given = Params(params)
        given.files = {}
        self.journal.append(Call(at=self._memory.clock(), method=method, params=params))
        return await self._methods.run(method, given)

    def _fault(self, method: str, text: str) -> Fault | None:
        for fault in self.faults:
            if (fault.method is None or fault.method.lower() == method.lower()) and fault.text in text:
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    async def _fail(self, fault: Fault, call: Call, request: web.Request) -> web.StreamResponse:
        response = await fault.answer(request, self._stopping)
        call.status = fault.status
        return response


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


async def _params(request: web.Request) -> Params:
    params = Params(request.query)
    files: dict[str, Document] = {}
    if request.content_type == "application/json":
        params |= await request.json()
    else:
        for name, value in (await request.post()).items():
            if isinstance(value, web.FileField):
                files[name] = Document(value.filename, value.file.read(), value.content_type)
            else:
                params[name] = value
    params.files = files
    return params
