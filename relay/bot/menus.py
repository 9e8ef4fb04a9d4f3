"""The menus of commands that Telegram offers while one types: for anyone, for each user's role, for each chat's."""

from __future__ import annotations

import contextlib
import gettext
from collections.abc import Mapping

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.types import BotCommand, BotCommandScopeChat, BotCommandScopeDefault

from relay.access import Role
from relay.bot.commands.basics import menu
from relay.bot.people import People

MOST = 50
"""Users and chats that get a menu of their own; each costs a call for each language at every start."""


async def announce(bot: Bot, people: People, languages: Mapping[str, gettext.NullTranslations]) -> None:
    """Sets the menus. Chats that the bot has never met are left out. Raises what aiogram raises for all else."""
    roles: dict[int, Role] = {user.telegram_id: people.role_in_private(user) for user in people.users}
    roles |= {chat.chat_id: chat.role for chat in people.chats}
    for language, texts in languages.items():
        code = None if language == "en" else language
        await bot.set_my_commands(_commands(None, texts), scope=BotCommandScopeDefault(), language_code=code)
        for chat_id, role in list(roles.items())[:MOST]:
            with contextlib.suppress(TelegramBadRequest, TelegramForbiddenError):
                await bot.set_my_commands(
                    _commands(role, texts), scope=BotCommandScopeChat(chat_id=chat_id), language_code=code
                )


def _commands(role: Role | None, texts: gettext.NullTranslations) -> list[BotCommand]:
    return [BotCommand(command=name, description=text) for name, _, text in menu(role, texts.gettext)]
