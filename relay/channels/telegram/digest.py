"""Makes Telegram messages of a digest: head, pages of at most 4,096 characters, and the file with every group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from relay.channels.telegram.content import MAX_TEXT, Button, Document, TelegramContent, bounded, usable_rows
from relay.channels.telegram_options import TelegramOptions
from relay.clock import Millis
from relay.notification import Kind, Notice
from relay.notification_digest import DigestEntry, DigestLayout, DigestView, Page, clusters_of, pages_of
from relay.rendering import Escape, Renderer
from relay.rendering.translations import load_translations
from relay.text import cut, parse_html, utf16_len

DigestKeyboard = Callable[[DigestView], Sequence[Sequence[tuple[str, str]]]]
"""Rows of (caption, callback_data) below the head; what it returns is up to the bot."""

_ENTITY_LIMIT = 100  # Telegram ignores formatting beyond
_PAGE_LINE = 32
_TIGHTER = 0.85  # how much less a page is given when its text has turned out too long


class DigestComposer:
    """Renders the digests of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: TelegramOptions, keyboard: DigestKeyboard | None) -> None:
        self._renderer = renderer
        self._options = options
        self._keyboard = keyboard
        self._title = load_translations(options.language).gettext("Alert storm")

    def lay_out(self, view: DigestView, now: Millis, *, plain: bool) -> DigestLayout:
        notice = view.notice(now, self._title)
        pages, contents, rest = self._pages(view, notice, plain=plain)
        blank = self._page(view, notice, (), 0, plain=plain)
        if len(pages) == 1:
            head, fits = self._head(view, notice, plain=plain, clusters=tuple(clusters_of(view.entries)))
            if fits:
                return DigestLayout(head=head, inline=view.entries, blank=blank)
        head, _ = self._head(view, notice, plain=plain, unpaged=len(rest))
        file = self._file(view, notice) if rest or view.closing else None
        return DigestLayout(
            head=head,
            pages=tuple(contents),
            named=tuple(tuple(entry for cluster in page for entry in cluster.entries) for page in pages),
            listing=file,
            listed=view.entries if view.closing else rest,
            blank=blank,
        )

    def _head(
        self, view: DigestView, notice: Notice, *, plain: bool, clusters: Page = (), unpaged: int = 0
    ) -> tuple[TelegramContent, bool]:
        """The head, and whether nothing had to be cut."""
        options = {"digest": view, "clusters": clusters, "unpaged": unpaged}
        whole, marks = parse_html(self._render("digest.html.j2", notice, "html", options))
        text, entities = cut(whole or self._title, marks[: _ENTITY_LIMIT - 1], MAX_TEXT)
        content = TelegramContent(
            kind=Kind.NEW,
            text=text,
            entities=() if plain else entities,
            buttons=self._buttons(view),
            plain=plain,
        )
        return content, text == whole

    def _pages(
        self, view: DigestView, notice: Notice, *, plain: bool
    ) -> tuple[list[Page], list[TelegramContent], tuple[DigestEntry, ...]]:
        """As many names on a page as fit: packed by estimate, and tighter if a template makes more of them."""
        room = float(MAX_TEXT - _PAGE_LINE)
        while True:
            pages, rest = pages_of(view.entries, room=int(room), weigh=utf16_len)
            contents = [self._page(view, notice, page, number, plain=plain) for number, page in enumerate(pages, 1)]
            if room < MAX_TEXT / 10 or all(utf16_len(content.text) <= MAX_TEXT for content in contents):
                return pages, contents, rest
            room *= _TIGHTER

    def _page(self, view: DigestView, notice: Notice, page: Page, number: int, *, plain: bool) -> TelegramContent:
        options = {"digest": view, "clusters": page, "page": number}
        text, entities = parse_html(self._render("digest_page.html.j2", notice, "html", options))
        entities = () if plain else entities[: _ENTITY_LIMIT - 1]
        return TelegramContent(kind=Kind.NEW, text=text or "–", entities=entities, silent=True, plain=plain)

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
