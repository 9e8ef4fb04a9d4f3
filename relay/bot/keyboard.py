"""The buttons under alert messages, and the short texts that they send back. Pure: knows neither aiogram nor the state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.ingest.own import ITSELF
from relay.notification import Notice
from relay.rendering.translations import load_translations

Row = Sequence[tuple[str, str]]
ACK, UNACK, SILENCE, DETAILS = "a", "u", "s", "d"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def alert_keyboard(language: str, *, silences: bool) -> Callable[[Notice], Sequence[Row]]:
    """Ack or Unack, Silence, Details. `silences`: there is an Alertmanager to ask."""
    _ = load_translations(language).gettext
    captions = {ACK: _("Ack"), UNACK: _("Unack"), SILENCE: _("Silence"), DETAILS: _("Details")}

    def rows(notice: Notice) -> Sequence[Row]:
        view = notice.view
        if not notice.post_id:
            return ()
        actions = []
        if view.firing:
            actions.append(UNACK if len(view.acked) == len(view.firing) else ACK)
            if silences and not view.test and view.alertmanager != ITSELF:
                actions.append(SILENCE)
        actions.append(DETAILS)
        return [[(captions[action], post_data(action, notice.post_id)) for action in actions]]

    return rows


def post_data(action: str, post_id: int) -> str:
    """What the button of a post sends back: `a:2f9k…`, at most 15 bytes."""
    return f"{action}:{base36(post_id)}"


def base36(number: int) -> str:
    digits = ""
    while number:
        number, index = divmod(number, 36)
        digits = _DIGITS[index] + digits
    return digits or "0"


def from_base36(text: str) -> int | None:
    """The number, None if there is none or it is beyond any id."""
    if not (1 <= len(text) <= 13 and text.isascii() and text.isalnum() and text == text.lower()):
        return None
    number = int(text, 36)
    return number if number < 1 << 63 else None
