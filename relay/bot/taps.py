"""What the buttons mean. A button's data is short and says nothing by itself; each tap is looked up and judged anew."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable

from relay.access import Role
from relay.bot.commands import acks, details, lists
from relay.bot.commands.command import TapKind
from relay.bot.desk import Desk
from relay.bot.keyboard import ACK, DETAILS, UNACK
from relay.bot.values import Request, Tap
from relay.store.conversations import find_view


async def find_tap(desk: Desk, request: Request) -> TapKind | None:
    """The kind of tap behind the data; None for what is forged, expired, or from another version or chat."""
    prefix, _, rest = request.rest.partition(":")
    if prefix in _POSTS:
        return _POSTS[prefix]
    if prefix != "v":
        return None
    token, _, action = rest.partition(":")
    view = await desk.database.read(find_view, token, request.now)
    if view is None or view.chat != request.place.chat_id or view.kind not in _VIEWS:
        return None
    command, role, run = _VIEWS[view.kind]
    return TapKind(command, role, functools.partial(run, view=view, action=action))


_POSTS = {
    ACK: TapKind("ack", Role.RESPONDER, acks.tap_ack),
    UNACK: TapKind("unack", Role.RESPONDER, acks.tap_unack),
    DETAILS: TapKind("alert", Role.VIEWER, details.tap_details),
}
_VIEWS: dict[str, tuple[str, Role, Callable[..., Awaitable[Tap]]]] = {
    lists.VIEW: ("alerts", Role.VIEWER, lists.tap_page),
}
