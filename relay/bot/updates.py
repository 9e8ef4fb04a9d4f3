"""Reads updates one by one: one that aiogram does not understand must neither hide the others nor come for ever."""

from __future__ import annotations

from typing import Any

from aiogram import Bot
from aiogram.exceptions import ClientDecodeError
from aiogram.methods import GetUpdates
from aiogram.types import Update
from pydantic import ValidationError

from relay import logs


def read_update(bot: Bot, said: Any) -> Update | None:
    """The update; None, and a line in the log, for one that cannot be read."""
    try:
        return Update.model_validate(said, context={"bot": bot})
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        number = said.get("update_id") if isinstance(said, dict) else None
        logs.get("bot").warning("update not understood, left out", update=number, place=place)
        return None


def read_each(bot: Bot, method: GetUpdates, error: ClientDecodeError) -> list[Update]:
    """What can be read of an answer that aiogram refused as a whole; the next poll begins behind all of it.

    Raises `error` if it holds no update at all.
    """
    listed = error.data.get("result") if isinstance(error.data, dict) else None
    numbers = [one.get("update_id") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    known = [number for number in numbers if isinstance(number, int)]
    if not known:
        raise error
    method.offset = max(known) + 1
    return [update for one in listed or () if (update := read_update(bot, one)) is not None]
