"""The buttons below a digest: take all of a name, silence what most of it shares. Pure, like those of alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from relay.bot.keyboard import Row, base36
from relay.ids import button_code
from relay.notification_digest import DigestView
from relay.rendering.translations import load_translations
from relay.text import one_line

ACK_NAME, SILENCE_LABEL = "wa", "ws"
MOST_NAMES = 3


def digest_keyboard(language: str, *, silences: bool) -> Callable[[DigestView], Sequence[Row]]:
    """The names that most groups have and nobody has taken; the label that most share. `silences`: there is whom to ask."""
    _ = load_translations(language).gettext

    def rows(view: DigestView) -> Sequence[Row]:
        found: list[Row] = []
        for name, count in view.by_name[:MOST_NAMES]:
            caption = _("Ack %(name)s (%(count)s)") % {"name": one_line(name, 40), "count": count}
            found.append([(caption, digest_data(view.id, ACK_NAME, name_code(name)))])
        if silences and view.shared is not None:
            label, value, count = view.shared
            pair = one_line(f"{label}={value}", 40)
            caption = _("Silence %(label)s (%(count)s)") % {"label": pair, "count": count}
            found.append([(caption, digest_data(view.id, SILENCE_LABEL, label_code(label, value)))])
        return found

    return rows


def digest_data(digest_id: int, action: str, code: str) -> str:
    """What the button sends back: it names the digest and, by a code, what in it is meant; at most 27 bytes."""
    return f"{action}:{base36(digest_id)}:{code}"


def name_code(name: str) -> str:
    return button_code("name", name)


def label_code(label: str, value: str) -> str:
    return button_code(f"label {label}", value)
