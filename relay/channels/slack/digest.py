"""Makes Slack messages of a digest: the head, pages for its thread, and the file; a webhook's one message with what fits."""

from __future__ import annotations

from functools import partial
from typing import Any

from relay.channels.slack.blocks import Block, fallback, parse_blocks
from relay.channels.slack.content import SlackContent
from relay.channels.slack.markup import Dialect, escape, weight
from relay.channels.slack_options import SlackOptions
from relay.clock import Millis
from relay.notification import Kind, Notice
from relay.notification_digest import DigestEntry, DigestLayout, DigestView
from relay.rendering import Renderer
from relay.rendering.digest_pages import LONGEST_PLACE, Page, clusters_of, entries_of, fill_pages
from relay.rendering.digest_summary import summary_of
from relay.rendering.translations import load_translations

ROOM = 7000
"""Characters of names on a page: with their markup they stay below what Slack takes in one message."""


class DigestComposer:
    """Renders the digests of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: SlackOptions, *, appending: bool) -> None:
        self._renderer = renderer
        self._options = options
        self._appending = appending
        self._title = load_translations(options.language).gettext("Alert storm")

    def lay_out(
        self, view: DigestView, now: Millis, *, plain: bool, before: DigestLayout | None = None
    ) -> DigestLayout:
        if self._appending:
            return self._summary(view, summary_of(view, now, self._options.language), plain=plain)
        notice = view.notice(now, self._title)
        pages, contents, rest = fill_pages(
            view.entries,
            room=ROOM,
            weigh=_weight,
            make=lambda page, number, _: self._page("digest_page", view, notice, page, plain=plain, page=number),
            before=before,
        )
        known = before.head_of(view) if before else None
        head, names_all = known or self._head(view, notice, len(pages), len(rest), plain=plain)
        blank = before.blank if before else self._content("digest_page", view, notice, plain=plain, page=0)
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
    ) -> tuple[SlackContent, bool]:
        """The head, and whether it names all, so that its one page is not needed."""
        if pages == 1:
            head, fits = self._page("digest", view, notice, tuple(clusters_of(view.entries)), plain=plain)
            if fits:
                return head, True
        return self._content("digest", view, notice, plain=plain, unpaged=unpaged), False

    def _summary(self, view: DigestView, notice: Notice, *, plain: bool) -> DigestLayout:
        """What is new and fits into one message: the next one has the rest."""
        news = tuple(entry for entry in view.entries if entry.waiting is not None)
        pages, contents, _ = fill_pages(
            news,
            room=ROOM,
            weigh=_weight,
            make=lambda page, _, unpaged: self._page("digest", view, notice, page, plain=plain, unpaged=unpaged),
            most=1,
        )
        head = contents[0] if contents else self._content("digest", view, notice, plain=plain, alone=True)
        named = entries_of(pages[0]) if pages else ()
        return DigestLayout(view=view, head=head, listing=lambda: head, listed=named)

    def _page(
        self, template: str, view: DigestView, notice: Notice, clusters: Page, *, plain: bool, **more: int
    ) -> tuple[SlackContent, bool]:
        """A message that names some, and whether it names all of them."""
        content = self._content(template, view, notice, plain=plain, clusters=clusters, **more)
        return content, self._names_all(content, entries_of(clusters))

    def _names_all(self, content: SlackContent, entries: tuple[DigestEntry, ...]) -> bool:
        """Blocks are left out, and texts cut, where a message would become too long."""
        dialect = Dialect(self._options.zone, plain=content.plain)
        said = "\n".join(_texts(content.blocks)) if content.blocks else content.text
        return all(str(dialect.text(entry.place, LONGEST_PLACE)) in said for entry in entries)

    def _content(
        self, template: str, view: DigestView, notice: Notice, *, plain: bool, clusters: Page = (), **more: int
    ) -> SlackContent:
        options = {"digest": view, "clusters": clusters, **more}
        rendered = self._render(f"{template}.mrkdwn.j2", notice, "mrkdwn", options, plain=plain)
        blocks = parse_blocks(rendered, buttons=not plain, broadcast=not notice.silent)
        text = fallback(blocks, small_print=plain) or escape(self._title)
        return SlackContent(kind=Kind.NEW, text=text, blocks=() if plain else tuple(blocks), plain=plain)

    def _file(self, view: DigestView, notice: Notice) -> SlackContent:
        body = self._render("digest_list.txt.j2", notice, "none", {"digest": view}, plain=True)
        return SlackContent(
            kind=Kind.ATTACH,
            text=escape(self._title),
            document=body.encode("utf-8", "replace") or b"\n",
            file_name=f"storm-{view.began_at // 1000}.txt",
        )

    def _render(self, template: str, notice: Notice, markup: Any, options: dict[str, Any], *, plain: bool) -> str:
        zone = self._options.zone
        more = options | {"slack": Dialect(zone, plain=plain)}
        return self._renderer.render(
            f"slack/{template}", notice, language=self._options.language, zone=zone, escape=markup, options=more
        )


def _weight(text: str) -> int:
    return weight(escape(text))


def _texts(blocks: tuple[Block, ...]) -> list[str]:
    return [block["text"]["text"] for block in blocks if block["type"] == "section"]
