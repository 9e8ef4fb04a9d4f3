"""A digest as a message of its own, where nothing can be edited: what the usual templates are given."""

from __future__ import annotations

from collections.abc import Callable

from relay.clock import Millis
from relay.notification import Content, Notice
from relay.notification_digest import DigestLayout, DigestView
from relay.rendering.translations import load_translations


def summary_of(view: DigestView, now: Millis, language: str) -> Notice:
    """The counts and what is new; the last one says that the storm is over."""
    _ = load_translations(language).gettext
    return view.notice(now, _("Alert storm"), over=_("The alert storm is over"))


def as_one_message(view: DigestView, now: Millis, language: str, render: Callable[[Notice], Content]) -> DigestLayout:
    """The digest through the same template as any message, with one alert for each group."""
    content = render(summary_of(view, now, language))
    return DigestLayout(view=view, head=content, listing=lambda: content, listed=view.entries)
