"""Judges what Telegram tells of the bot, its chat and its place there: whether the channel would work."""

from __future__ import annotations

from aiogram.enums import ChatType
from aiogram.types import ChatFullInfo, ResultChatMemberUnion

from relay.checked import KNOWN, Checked
from relay.notification import DeliveryError

_ABSENT = ("left", "kicked")
_RIGHTS = ("administrator", "creator")


def verdict_of(who: str, chat: ChatFullInfo, member: ResultChatMemberUnion | None, thread_id: int | None) -> Checked:
    """`member` is the bot's place in a group or channel, None in a person's chat. Raises `DeliveryError`."""
    where = f"{chat.title or chat.full_name} ({chat.type} {chat.id})"
    if member is not None and (why := _hindrance(chat, member)):
        raise DeliveryError("forbidden", f"{who} {why} {where}", scope="destination", permanent=True)
    if thread_id and not chat.is_forum:
        raise DeliveryError(
            "not_found", f"{where} has no topics, but topic_id is set", scope="destination", permanent=True
        )
    rules_out = set(KNOWN)
    if member is not None:  # whether a person has blocked the bot only a message finds out
        rules_out.add("forbidden")
    if not thread_id:  # and whether a topic is gone
        rules_out.add("not_found")
    topic = f", topic {thread_id}" if thread_id else ""
    return Checked(f"{who} writes to {where}{topic}", frozenset(rules_out))


def _hindrance(chat: ChatFullInfo, member: ResultChatMemberUnion) -> str:
    """Why the bot cannot write there; "" if nothing is known to hinder it."""
    if member.status in _ABSENT:
        return "is not a member of"
    if member.status in _RIGHTS:
        return ""
    if chat.type == ChatType.CHANNEL:
        return "is no administrator of"
    limits = member if member.status == "restricted" else chat.permissions
    return "may not write to" if getattr(limits, "can_send_messages", None) is False else ""
