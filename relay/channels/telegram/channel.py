"""The Telegram channel: addresses, limits and the one remote call of each notice, over a bot shared by all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType
from aiogram.types import (
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    MessageEntity,
    ReplyParameters,
)
from aiohttp import ClientTimeout

from relay.channels.telegram.checking import verdict_of
from relay.channels.telegram.content import Composer, Keyboard, TelegramContent
from relay.channels.telegram.digest import DigestComposer, DigestKeyboard
from relay.channels.telegram.errors import Judge
from relay.channels.telegram_options import TelegramConfig, TelegramOptions
from relay.checked import Checked
from relay.clock import Millis
from relay.notification import Capabilities, Content, DeliveryError, IncidentView, Kind, Limits, Notice, Remote, Sent
from relay.notification_digest import DigestCall, DigestLayout, DigestView
from relay.rendering import Renderer

Windows = tuple[tuple[int, float], ...]
CONNECT_TIMEOUT = 5.0
TOTAL_TIMEOUT = 30.0  # seconds; aiogram adds a long poll's own waiting

_GENERAL_TOPIC = 1  # its id is refused as "message thread not found": it is addressed by naming none


class _Session(AiohttpSession):
    """aiogram's session with a bound on connecting too, so that an unreachable host does not cost the whole timeout."""

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109  aiogram's signature
    ) -> TelegramType:
        bounds = ClientTimeout(total=self.timeout if timeout is None else timeout, sock_connect=CONNECT_TIMEOUT)
        return await super().make_request(bot, method, timeout=cast("int", bounds))  # handed to aiohttp as it is


def open_bot(config: TelegramConfig) -> Bot:
    """The one bot of the process; whoever opens it closes it with `await bot.session.close()`."""
    address = config.api_url.replace("{", "{{").replace("}", "}}")  # aiogram formats it with token and method
    session = _Session(
        proxy=config.proxy.get_secret_value() if config.proxy else None,
        api=TelegramAPIServer.from_base(address),
        timeout=TOTAL_TIMEOUT,
    )
    return Bot(config.bot_token.get_secret_value(), session=session)


class TelegramChannel:
    """A `relay.notification.Channel`; `remote` is {"chat_id", "message_id", "thread_id"} of the living message."""

    type = "telegram"
    capabilities = Capabilities(editable=True, attachable=True, removes=100)

    def __init__(
        self,
        name: str,
        options: TelegramOptions,
        *,
        bot: Bot,
        renderer: Renderer,
        keyboard: Keyboard | None = None,
        digest_keyboard: DigestKeyboard | None = None,
        bot_windows: Windows = ((30, 1.0),),
    ) -> None:
        self.name = name
        self._options = options
        self._bot = bot
        self._bot_windows = bot_windows
        self._chat_id = options.chat_id
        self._thread_id = None if options.topic_id == _GENERAL_TOPIC else options.topic_id
        self._composer = Composer(renderer, options, keyboard)
        self._digests = DigestComposer(renderer, options, digest_keyboard)
        self._judge = Judge(bot.token)

    @property
    def destination(self) -> str:
        return f"telegram:{self._chat_id}"

    @property
    def account(self) -> str:
        return f"telegram:{self._bot.id}"

    @property
    def limits(self) -> Limits:
        """https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this; the options go before."""
        in_private = isinstance(self._chat_id, int) and self._chat_id > 0
        windows = self._options.limits.windows(per_second=1.0, per_minute=None if in_private else 20)
        return Limits(
            destination=windows,
            account=self._bot_windows,
            reserved=min(3, windows[-1][0] - 1),
        )

    def overflows(self, view: IncidentView) -> bool:
        return self._composer.overflows(view)

    def render(self, notice: Notice) -> TelegramContent:
        return self._composer.compose(notice)

    async def send(self, content: Content) -> Sent:
        """One call. For anything but a new message `Sent.remote` is the living message's, as it was."""
        assert isinstance(content, TelegramContent)
        try:
            return await self._send(content)
        except DeliveryError:
            raise
        except Exception as error:  # noqa: BLE001  aiogram, aiohttp and proxies let a dozen kinds through
            failure = self._judge.classify(error, plain=content.plain, elsewhere=self._elsewhere(content))
        raise failure  # outside of the handler: the original, whose text may hold the token, is not chained to it

    def lay_out(
        self, view: DigestView, now: Millis, *, plain: bool = False, before: DigestLayout | None = None
    ) -> DigestLayout:
        return self._digests.lay_out(view, now, plain=plain, before=before)

    async def send_digest(self, call: DigestCall) -> Sent:
        """One call: as for notices, and one that removes up to a hundred messages."""
        if call.kind == "remove":
            return await self._remove(call)
        assert isinstance(call.content, TelegramContent)
        kind = {"post": Kind.NEW, "edit": Kind.EDIT, "attach": Kind.ATTACH}[call.kind]
        remote = None if call.kind == "post" else call.remote
        return await self.send(replace(call.content, kind=kind, remote=remote, silent=call.silent))

    async def _remove(self, call: DigestCall) -> Sent:
        chat_id = call.remotes[0].get("chat_id", self._chat_id)
        try:
            await self._bot.delete_messages(chat_id, [remote["message_id"] for remote in call.remotes])
        except Exception as error:  # noqa: BLE001  the same
            failure = self._judge.classify(error, plain=False, elsewhere=chat_id != self._chat_id)
        else:
            return Sent(remote=call.remote or {})
        raise failure

    def follow(self, moved_to: Mapping[str, Any]) -> None:
        self._chat_id = moved_to["chat_id"]

    def is_elsewhere(self, remote: Remote) -> bool:
        """In another chat or topic; of a chat that the config names as `@name` nobody can tell."""
        here = (self._chat_id, self._thread_id)
        return isinstance(self._chat_id, int) and (remote.get("chat_id"), remote.get("thread_id")) != here

    async def check(self) -> Checked:
        try:
            me = await self._bot.get_me()
            chat = await self._bot.get_chat(self._chat_id)
            member = None if chat.type == ChatType.PRIVATE else await self._bot.get_chat_member(chat.id, me.id)
        except Exception as error:  # noqa: BLE001  the same
            failure = self._judge.classify(error, plain=False, elsewhere=False)
        else:
            return verdict_of(f"@{me.username}", chat, member, self._thread_id)
        raise failure

    async def close(self) -> None:
        """The bot belongs to whoever opened it."""

    def _elsewhere(self, content: TelegramContent) -> bool:
        return content.kind is not Kind.NEW and content.remote is not None and self.is_elsewhere(content.remote)

    def _address(self, content: TelegramContent) -> tuple[int | str, int | None]:
        """Chat and topic: those of the living message where there is one, whatever the config says now."""
        if content.remote is None or content.kind is Kind.NEW:
            return self._chat_id, self._thread_id
        return content.remote.get("chat_id", self._chat_id), content.remote.get("thread_id")

    async def _send(self, content: TelegramContent) -> Sent:
        if content.kind is Kind.NEW:
            return await self._new(content)
        remote = content.remote
        if remote is None or "message_id" not in remote:
            raise DeliveryError("gone", "there is no message to refer to", scope="post", permanent=True)
        if content.kind in {Kind.EDIT, Kind.FAREWELL}:
            await self._edit(content, remote["message_id"])
        elif content.document:
            await self._attach(content, remote["message_id"])
        else:
            await self._message(content, reply_to=remote["message_id"])
        return Sent(remote=remote)

    async def _new(self, content: TelegramContent) -> Sent:
        chat_id, message_id = await self._message(content, reply_to=None)
        return Sent(remote={"chat_id": chat_id, "message_id": message_id, "thread_id": self._thread_id})

    async def _message(self, content: TelegramContent, *, reply_to: int | None) -> tuple[int, int]:
        chat_id, thread_id = self._address(content)
        sent = await self._bot.send_message(
            chat_id,
            content.text,
            message_thread_id=thread_id,
            entities=_entities(content),
            parse_mode=None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
            disable_notification=content.silent,
            reply_parameters=_reply(reply_to),
            reply_markup=_markup(content) if content.buttons else None,
        )
        return sent.chat.id, sent.message_id

    async def _edit(self, content: TelegramContent, message_id: int) -> None:
        chat_id, _ = self._address(content)
        try:
            await self._bot.edit_message_text(
                content.text,
                chat_id=chat_id,
                message_id=message_id,
                entities=_entities(content),
                parse_mode=None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_markup=_markup(content),
            )
        except TelegramBadRequest as error:
            if "message is not modified" not in str(error).lower():
                raise

    async def _attach(self, content: TelegramContent, message_id: int) -> None:
        assert content.document
        chat_id, thread_id = self._address(content)
        await self._bot.send_document(
            chat_id,
            BufferedInputFile(content.document.body, content.document.name),
            message_thread_id=thread_id,
            caption=content.text,
            parse_mode=None,
            disable_content_type_detection=True,
            disable_notification=content.silent,
            reply_parameters=_reply(message_id),
        )


def _entities(content: TelegramContent) -> list[MessageEntity] | None:
    return [
        MessageEntity(type=one.type, offset=one.offset, length=one.length, url=one.url, language=one.language)
        for one in content.entities
    ] or None


def _markup(content: TelegramContent) -> InlineKeyboardMarkup:
    rows = [
        [InlineKeyboardButton(text=one.caption, url=one.url or None, callback_data=one.data or None) for one in row]
        for row in content.buttons
    ]
    return InlineKeyboardMarkup(inline_keyboard=rows)


def _reply(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    return ReplyParameters(message_id=message_id, allow_sending_without_reply=True)
