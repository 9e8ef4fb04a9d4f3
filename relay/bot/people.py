"""Who is writing, and what may this person do: the config's users and chats, and those that nobody can tell apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from relay.access import ChatRole, Role, User
from relay.bot.values import Person
from relay.text import one_line

ANONYMOUS_ADMIN = 1087968824
"""@GroupAnonymousBot: whoever hides behind the group's own name."""
CHANNEL_BOT = 136817688
"""@Channel_Bot: whoever writes in the name of a channel."""
MAX_NAME = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Telegram's word on who it was. Without an id it is a channel's own post."""

    id: int | None
    name: str = ""
    language: str = ""
    as_chat: bool = False  # in the name of a group or a channel


class People:
    """Roles by person and by chat; the higher one holds. Whoever has none is refused."""

    def __init__(self, users: Iterable[User], chats: Iterable[ChatRole]) -> None:
        self.users: Sequence[User] = tuple(users)
        self.chats: Sequence[ChatRole] = tuple(chats)
        self._users = {user.telegram_id: user for user in self.users}
        self._chats = {chat.chat_id: chat.role for chat in self.chats}
        self._names = {user.name.casefold() for user in self.users}

    def meet(self, account: Account, *chat_ids: int) -> Person:
        """`chat_ids`: the chat's number, and those that it had before Telegram gave it another."""
        anonymous = account.id is None or account.as_chat or account.id in (ANONYMOUS_ADMIN, CHANNEL_BOT)
        known = None if anonymous or account.id is None else self._users.get(account.id)
        of_chat = (self._chats.get(chat_id) for chat_id in chat_ids)
        roles = [role for role in (known.role if known else None, *of_chat) if role is not None]
        name = known.name if known else self._name_of(account)
        return Person(
            id=account.id or 0,
            name=name,
            signature=name if known else f"{name} (Telegram {account.id})",
            role=max(roles, default=None),
            language="ru" if account.language.lower().partition("-")[0] == "ru" else "en",
            anonymous=anonymous,
        )

    def _name_of(self, account: Account) -> str:
        """What somebody who is not in the config calls himself; with the id where that is a user's name."""
        name = one_line(account.name, MAX_NAME) or str(account.id or "")
        return f"{name} ({account.id})" if name.casefold() in self._names else name

    def role_in_private(self, user: User) -> Role:
        return max(user.role, self._chats.get(user.telegram_id, user.role))
