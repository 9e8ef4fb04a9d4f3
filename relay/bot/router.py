"""From aiogram's updates to our values and back: each handler reads, asks the reception, and delivers."""

from __future__ import annotations

from aiogram import Bot, F, Router
from aiogram.types import CallbackQuery, InaccessibleMessage, Message

from relay.bot.messenger import Messenger, Spot
from relay.bot.people import Account
from relay.bot.reception import Incoming, Reception
from relay.clock import SECOND


def make_router(reception: Reception, messenger: Messenger) -> Router:
    """The handlers, bound to these parts."""
    router = Router(name="relay")

    @router.message(F.text)
    @router.channel_post(F.text)
    async def on_message(message: Message, bot: Bot) -> None:
        if message.is_automatic_forward:  # a channel's post, in its discussion group: we have read it in the channel
            return
        incoming = read_message(message)
        answer = await reception.message(incoming, (await bot.me()).username or "")
        if answer is not None:
            await messenger.deliver(_spot(incoming), answer, message_id=message.message_id)

    @router.callback_query()
    async def on_tap(query: CallbackQuery) -> None:
        if query.message is None or query.data is None:
            await messenger.toast(query.id, "", alert=False)
            return
        incoming = read_tap(query, query.message)
        name, request, tap = await reception.tap(incoming)
        if not await messenger.toast(query.id, tap.toast, alert=tap.alert):
            if tap.otherwise is not None:
                tap.otherwise()
            return
        answer = await reception.carry_out(name, request, tap)
        if answer is not None:
            await messenger.deliver(_spot(incoming), answer, message_id=incoming.message_id)

    return router


def read_message(message: Message) -> Incoming:
    sender = message.from_user
    account = Account(id=None, as_chat=True)
    if sender is not None:
        in_disguise = message.sender_chat is not None
        account = Account(id=sender.id, name=sender.full_name, language=sender.language_code or "", as_chat=in_disguise)
    return Incoming(
        account=account,
        chat_id=message.chat.id,
        chat_name=message.chat.username or "",
        private=message.chat.type == "private",
        thread_id=message.message_thread_id if message.is_topic_message else None,
        message_id=message.message_id,
        text=message.text or "",
        sent_at=int(message.date.timestamp()) * SECOND,
        reply_to=message.reply_to_message.message_id if message.reply_to_message else None,
        forwarded=message.forward_origin is not None,
    )


def read_tap(query: CallbackQuery, message: Message | InaccessibleMessage) -> Incoming:
    sender = query.from_user
    topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
    return Incoming(
        account=Account(id=sender.id, name=sender.full_name, language=sender.language_code or ""),
        chat_id=message.chat.id,
        chat_name=message.chat.username or "",
        private=message.chat.type == "private",
        thread_id=topic,
        message_id=message.message_id,
        text=query.data or "",
    )


def _spot(incoming: Incoming) -> Spot:
    return Spot(incoming.chat_id, incoming.thread_id)
