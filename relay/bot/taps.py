"""What the buttons mean. A button's data is short and says nothing by itself; each tap is looked up and judged anew."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from relay.access import Role
from relay.bot.commands import acks, details, digest, lists, silence_flow, silence_pages, silences
from relay.bot.commands.command import TapKind
from relay.bot.desk import Desk
from relay.bot.digest_keyboard import ACK_NAME, SILENCE_LABEL
from relay.bot.keyboard import ACK, DETAILS, SILENCE, UNACK
from relay.bot.values import Request, Tap
from relay.store.conversations import find_draft, find_view


async def find_tap(desk: Desk, request: Request) -> TapKind | None:
    """The kind of tap behind the data; None for what is forged, expired, or from another version or chat."""
    prefix, _, rest = request.rest.partition(":")
    if prefix in _POSTS:
        return _POSTS[prefix]
    token, _, action = rest.partition(":")
    if prefix == "f":
        draft = await desk.database.read(find_draft, token, request.now)
        if draft is None or draft.chat != request.place.chat_id:
            return None
        run_draft = functools.partial(silence_flow.tap_draft, draft=draft, action=action)
        return TapKind("silence", Role.RESPONDER, run_draft)
    if prefix != "v":
        return None
    view = await desk.database.read(find_view, token, request.now)
    if view is None or view.chat != request.place.chat_id or view.kind not in _VIEWS:
        return None
    command, role, run = _VIEWS[view.kind]
    if view.kind == silences.VIEW and not action.startswith("p"):
        role = Role.RESPONDER
    return TapKind(command, role, functools.partial(run, view=view, action=action))


_POSTS = {
    ACK: TapKind("ack", Role.RESPONDER, acks.tap_ack),
    UNACK: TapKind("unack", Role.RESPONDER, acks.tap_unack),
    SILENCE: TapKind("silence", Role.RESPONDER, silence_flow.tap_silence),
    ACK_NAME: TapKind("ack", Role.RESPONDER, digest.tap_ack),
    SILENCE_LABEL: TapKind("silence", Role.RESPONDER, digest.tap_silence),
    DETAILS: TapKind("alert", Role.VIEWER, details.tap_details),
}
_VIEWS: dict[str, tuple[str, Role, Callable[..., Awaitable[Tap]]]] = {
    lists.VIEW: ("alerts", Role.VIEWER, lists.tap_page),
    silences.VIEW: ("silences", Role.VIEWER, silences.tap_list),
    silence_pages.MADE: ("silence", Role.RESPONDER, silences.tap_made),
    silence_pages.PICK: ("silence", Role.RESPONDER, silences.tap_pick),
}
