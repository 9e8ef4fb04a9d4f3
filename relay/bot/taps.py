"""What the buttons mean. A button's data is short and says nothing by itself; each tap is looked up and judged anew."""

from __future__ import annotations

from relay.access import Role
from relay.bot.commands import acks, details
from relay.bot.commands.command import TapKind
from relay.bot.desk import Desk
from relay.bot.keyboard import ACK, DETAILS, UNACK
from relay.bot.values import Request


async def find_tap(desk: Desk, request: Request) -> TapKind | None:  # noqa: ARG001  views are looked up at the desk
    """The kind of tap behind the data; None for what is forged, expired, or from another version or chat."""
    prefix, _, _rest = request.rest.partition(":")
    return _POSTS.get(prefix)


_POSTS = {
    ACK: TapKind("ack", Role.RESPONDER, acks.tap_ack),
    UNACK: TapKind("unack", Role.RESPONDER, acks.tap_unack),
    DETAILS: TapKind("alert", Role.VIEWER, details.tap_details),
}
