"""Makes Slack messages of a digest: the head, pages for its thread, and the file; a webhook's one message with what fits."""

from __future__ import annotations

from typing import Any

from relay.channels.slack.blocks import Block, fallback, parse_blocks
from relay.channels.slack.content import SlackContent
from relay.channels.slack.markup import Dialect, escape, weight
from relay.channels.slack_options import SlackOptions
from relay.clock import Millis
from relay.notification import Kind, Notice
from relay.notification_digest import LONGEST_PLACE, DigestEntry, DigestLayout, DigestView, Page, clusters_of, pages_of
from relay.rendering import Renderer
from relay.rendering.translations import load_translations

ROOM = 7000
"""Characters of names on a page: with their markup they stay below what Slack takes in one message."""
_TIGHTER = 0.8


class DigestComposer:
    """Renders the digests of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: SlackOptions, *, appending: bool) -> None:
        self._renderer = renderer
        self._options = options
        self._appending = appending
        self._title = load_translations(options.language).gettext("Alert storm")

    def lay_out(self, view: DigestView, now: Millis, *, plain: bool) -> DigestLayout:
        notice = view.notice(now, self._title)
        if self._appending:
            return self._summary(view, notice, plain=plain)
        pages, contents, rest = self._pages(view, notice, "digest_page", plain=plain)
        named = tuple(entries_of(page) for page in pages)
        blank = self._content("digest_page", view, notice, plain=plain, page=0)
        if len(pages) == 1:
            clusters = tuple(clusters_of(view.entries))
            head = self._content("digest", view, notice, plain=plain, clusters=clusters)
            if self._names_all(head, view.entries):
                return DigestLayout(head=head, inline=view.entries, blank=blank)
        file = self._file(view, notice) if rest or view.closing else None
        return DigestLayout(
            head=self._content("digest", view, notice, plain=plain, unpaged=len(rest)),
            pages=tuple(contents),
            named=named,
            listing=file,
            listed=view.entries if view.closing else rest,
            blank=blank,
        )

    def _summary(self, view: DigestView, notice: Notice, *, plain: bool) -> DigestLayout:
        """What is new and fits into one message; the next one has the rest."""
        news = tuple(entry for entry in view.entries if entry.waiting is not None)
        pages, contents, rest = self._pages(view, notice, "digest", plain=plain, entries=news, most=1)
        named = entries_of(pages[0]) if pages else ()
        head = contents[0] if contents else self._content("digest", view, notice, plain=plain, unpaged=len(rest))
        return DigestLayout(head=head, listed=named)

    def _pages(
        self,
        view: DigestView,
        notice: Notice,
        template: str,
        *,
        plain: bool,
        entries: tuple[DigestEntry, ...] | None = None,
        most: int = 8,
    ) -> tuple[list[Page], list[SlackContent], tuple[DigestEntry, ...]]:
        """As many names in a message as fit: packed by estimate, and tighter if a template makes more of them."""
        room = float(ROOM)
        shown = view.entries if entries is None else entries
        while True:
            pages, rest = pages_of(shown, room=int(room), weigh=_weight, most=most)
            contents = [
                self._content(template, view, notice, plain=plain, clusters=page, page=number, unpaged=len(rest))
                for number, page in enumerate(pages, 1)
            ]
            fine = all(self._names_all(one, entries_of(page)) for one, page in zip(contents, pages, strict=True))
            if fine or room < ROOM / 10:
                return pages, contents, rest
            room *= _TIGHTER

    def _names_all(self, content: SlackContent, entries: tuple[DigestEntry, ...]) -> bool:
        """Blocks are left out, and texts cut, where a message would become too long."""
        dialect = Dialect(self._options.zone, plain=content.plain)
        said = "\n".join(_texts(content.blocks)) if content.blocks else content.text
        return all(str(dialect.text(entry.place, LONGEST_PLACE)) in said for entry in entries)

    def _content(
        self,
        template: str,
        view: DigestView,
        notice: Notice,
        *,
        plain: bool,
        clusters: Page = (),
        page: int = 0,
        unpaged: int = 0,
    ) -> SlackContent:
        options = {"digest": view, "clusters": clusters, "page": page, "unpaged": unpaged}
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


def entries_of(page: Page) -> tuple[DigestEntry, ...]:
    return tuple(entry for cluster in page for entry in cluster.entries)


def _weight(text: str) -> int:
    return weight(escape(text))


def _texts(blocks: tuple[Block, ...]) -> list[str]:
    return [block["text"]["text"] for block in blocks if block["type"] == "section"]
