"""Makes a Slack message of a notice: blocks from the template, the text beside them, and the list as a document."""

from __future__ import annotations

from typing import Any

from relay.channels.slack.blocks import Block, fallback, parse_blocks
from relay.channels.slack.content import SlackContent
from relay.channels.slack.markup import Dialect, escape, shorten
from relay.channels.slack_options import SlackOptions
from relay.notification import IncidentView, Kind, Notice
from relay.rendering import Renderer

LISTED = 10
"""Alerts that a message lists; a document in its thread has all when there are more."""
MAX_DOCUMENT = 20 * 1024 * 1024
_TEMPLATES = {Kind.REPLY: "reply", Kind.FAREWELL: "farewell", Kind.ATTACH: "attach"}


class Composer:
    """Renders the notices of one channel. Pure: no I/O."""

    def __init__(self, renderer: Renderer, options: SlackOptions) -> None:
        self._renderer = renderer
        self._options = options

    def compose(self, notice: Notice) -> SlackContent:
        document = self._document(notice) if notice.kind is Kind.ATTACH else b""
        blocks = self._blocks(notice)
        text = fallback(blocks, small_print=notice.plain) or escape(_names(notice.view))
        return SlackContent(
            kind=notice.kind,
            text=text,
            blocks=() if notice.plain or document else tuple(blocks),
            remote=notice.remote,
            broadcast=not notice.silent,
            plain=notice.plain,
            document=document,
            file_name=f"alerts-{notice.view.code}.txt",
        )

    def _blocks(self, notice: Notice) -> list[Block]:
        """The template's blocks; the built-in one's if a user's renders nothing, which Slack would refuse."""
        template = f"slack/{_TEMPLATES.get(notice.kind, 'message')}.mrkdwn.j2"
        return self._parsed(template, notice) or self._parsed(f"builtin/{template}", notice)

    def _parsed(self, template: str, notice: Notice) -> list[Block]:
        title = self._inline(self._options.title, notice)
        living = notice.kind in (Kind.NEW, Kind.EDIT)
        return parse_blocks(
            self._render(template, notice, "mrkdwn", title),
            headline=f"{self._inline('{{ words.mark }}', notice)} {title}" if living and title else "",
            buttons=not notice.plain,
            broadcast=not notice.silent,
        )

    def _document(self, notice: Notice) -> bytes:
        body = self._render("slack/list.txt.j2", notice, "none").encode("utf-8", "replace")
        if len(body) <= MAX_DOCUMENT:
            return body or b"\n"
        head = body[: MAX_DOCUMENT - 4]
        return head[: head.rfind(b"\n") + 1] + "…\n".encode()

    def _inline(self, source: str | None, notice: Notice) -> str:
        if not source:
            return ""
        text = self._renderer.render_inline(source, notice, language=self._options.language, zone=self._options.zone)
        return shorten(text, 300)

    def _render(self, template: str, notice: Notice, markup: Any, title: str = "") -> str:
        return self._renderer.render(
            template,
            notice,
            language=self._options.language,
            zone=self._options.zone,
            escape=markup,
            options={
                "slack": Dialect(self._options.zone, plain=notice.plain),
                "listed": LISTED,
                "title": title,
                "news": notice.kind is Kind.NEW and notice.remote is not None,  # the next message of a webhook
            },
        )


def _names(view: IncidentView) -> str:
    names = dict.fromkeys(alert.name for alert in view.alerts if alert.name)
    return shorten(f"{view.severity.label}: {', '.join(names)}", 300)
