"""The menus of commands that Telegram offers while one types: for anyone, for each user's role, for each chat's."""

from __future__ import annotations

import contextlib
import gettext
from dataclasses import replace

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError, TelegramMigrateToChat
from aiogram.types import BotCommand, BotCommandScopeChat, BotCommandScopeDefault

from relay.access import Role
from relay.bot.commands.basics import menu
from relay.bot.desk import Desk
from relay.clock import DAY
from relay.store.conversations import View, find_view, save_view

MOST = 50
"""Users and chats that get a menu of their own; each costs a call for each language at every start."""
MENUS = "menus"
KEEP = 3650 * DAY
"""Who has a menu of its own is kept as a view is, but no button leads there."""

_NO_SUCH_CHAT = (TelegramBadRequest, TelegramForbiddenError, TelegramMigrateToChat)


async def announce(bot: Bot, desk: Desk) -> None:
    """Sets the menus, and takes back those of who has left the config.

    Chats that the bot has never met are left out. Raises what aiogram raises for all else, and `StoreUnavailable`.
    """
    people, now = desk.people, desk.clock()
    roles: dict[int, Role] = {user.telegram_id: people.role_in_private(user) for user in people.users}
    roles |= {chat.chat_id: chat.role for chat in people.chats}
    wanted = dict(list(roles.items())[:MOST])
    before = await desk.database.read(find_view, MENUS, now)
    left = [chat_id for chat_id in (before.state["chats"] if before else ()) if chat_id not in wanted]
    known = View(token=MENUS, chat=0, kind=MENUS, state={"chats": [*wanted, *left]}, expires_at=now + KEEP)
    await desk.database.write(save_view, known)
    for language, texts in desk.languages.items():
        code = None if language == "en" else language
        await bot.set_my_commands(_commands(None, texts), scope=BotCommandScopeDefault(), language_code=code)
        for chat_id in [*wanted, *left]:
            scope = BotCommandScopeChat(chat_id=chat_id)
            with contextlib.suppress(*_NO_SUCH_CHAT):
                if chat_id in wanted:
                    await bot.set_my_commands(_commands(wanted[chat_id], texts), scope=scope, language_code=code)
                else:
                    await bot.delete_my_commands(scope=scope, language_code=code)
    if left:
        await desk.database.write(save_view, replace(known, state={"chats": list(wanted)}))


def _commands(role: Role | None, texts: gettext.NullTranslations) -> list[BotCommand]:
    return [BotCommand(command=name, description=text) for name, _, text in menu(role, texts.gettext)]
