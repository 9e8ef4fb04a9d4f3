"""Makes Telegram messages of a digest: head, pages of at most 4,096 characters, and the file with every group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from relay.channels.telegram.content import MAX_TEXT, Button, Document, TelegramContent, bounded, usable_rows
from relay.channels.telegram_options import TelegramOptions
from relay.clock import Millis
from relay.notification import Kind, Notice
from relay.notification_digest import DigestLayout, DigestView
from relay.rendering import Escape, Renderer
from relay.rendering.digest_pages import Page, clusters_of, entries_of, fill_pages
from relay.rendering.translations import load_translations
from relay.text import cut, parse_html, utf16_len

DigestKeyboard = Callable[[DigestView], Sequence[Sequence[tuple[str, str]]]]
"""Rows of (caption, callback_data) below the head; what it returns is up to the bot."""

_ENTITY_LIMIT = 100  # Telegram ignores formatting beyond
_PAGE_LINE = 32


class DigestComposer:
    """Renders the digests of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: TelegramOptions, keyboard: DigestKeyboard | None) -> None:
        self._renderer = renderer
        self._options = options
        self._keyboard = keyboard
        self._title = load_translations(options.language).gettext("Alert storm")

    def lay_out(
        self, view: DigestView, now: Millis, *, plain: bool, before: DigestLayout | None = None
    ) -> DigestLayout:
        notice = view.notice(now, self._title)
        pages, contents, rest = fill_pages(
            view.entries,
            room=MAX_TEXT - _PAGE_LINE,
            weigh=utf16_len,
            make=lambda page, number, _: self._page(view, notice, page, number, plain=plain),
            before=before,
        )
        known = before.head_of(view) if before else None
        head, names_all = known or self._head(view, notice, len(pages), len(rest), plain=plain)
        blank = before.blank if before else self._page(view, notice, (), 0, plain=plain)[0]
        if names_all:
            return DigestLayout(view=view, head=head, inline=view.entries, blank=blank)
        return DigestLayout(
            view=view,
            head=head,
            pages=tuple(contents),
            named=tuple(map(entries_of, pages)),
            listing=partial(self._file, view, notice) if rest or view.closing else None,
            listed=view.entries if view.closing else rest,
            blank=blank,
        )

    def _head(
        self, view: DigestView, notice: Notice, pages: int, unpaged: int, *, plain: bool
    ) -> tuple[TelegramContent, bool]:
        """The head, and whether it names all, so that its one page is not needed."""
        if pages == 1:
            head, fits = self._head_with(view, notice, {"clusters": tuple(clusters_of(view.entries))}, plain=plain)
            if fits:
                return head, True
        return self._head_with(view, notice, {"clusters": (), "unpaged": unpaged}, plain=plain)[0], False

    def _head_with(
        self, view: DigestView, notice: Notice, names: dict[str, Any], *, plain: bool
    ) -> tuple[TelegramContent, bool]:
        """A head, and whether nothing had to be cut."""
        whole, marks = parse_html(self._render("digest.html.j2", notice, "html", {"digest": view, **names}))
        text, entities = cut(whole or self._title, marks[: _ENTITY_LIMIT - 1], MAX_TEXT)
        content = TelegramContent(
            kind=Kind.NEW,
            text=text,
            entities=() if plain else entities,
            buttons=self._buttons(view),
            plain=plain,
        )
        return content, text == whole

    def _page(
        self, view: DigestView, notice: Notice, page: Page, number: int, *, plain: bool
    ) -> tuple[TelegramContent, bool]:
        """A page, and whether it is short enough."""
        options = {"digest": view, "clusters": page, "page": number}
        text, entities = parse_html(self._render("digest_page.html.j2", notice, "html", options))
        entities = () if plain else entities[: _ENTITY_LIMIT - 1]
        content = TelegramContent(kind=Kind.NEW, text=text or "–", entities=entities, silent=True, plain=plain)
        return content, utf16_len(text) <= MAX_TEXT

    def _file(self, view: DigestView, notice: Notice) -> TelegramContent:
        listing = self._render("digest_list.txt.j2", notice, "none", {"digest": view})
        document = Document(name=f"storm-{view.began_at // 1000}.txt", body=bounded(listing))
        caption = self._renderer.render_inline(
            "{{ words.counts }}", notice, language=self._options.language, zone=self._options.zone
        )
        return TelegramContent(kind=Kind.ATTACH, text=caption, document=document, silent=True)

    def _buttons(self, view: DigestView) -> tuple[tuple[Button, ...], ...]:
        return usable_rows(self._keyboard(view)) if self._keyboard and view.open else ()

    def _render(self, template: str, notice: Notice, escape: Escape, options: dict[str, Any]) -> str:
        return self._renderer.render(
            f"telegram/{template}",
            notice,
            language=self._options.language,
            zone=self._options.zone,
            escape=escape,
            options=options,
        )
