"""The email channel: each change worth telling is the next mail of the incident's thread."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import css_inline

from relay.channels.email.message import Attachment, Parts, build, header_text, mailbox, message_id, thread_id
from relay.channels.email.server import MailServer
from relay.channels.email.table import alerts_table
from relay.channels.email_options import EmailOptions
from relay.checked import Checked
from relay.clock import Millis
from relay.matchers import Matcher, format_matchers
from relay.notification import Capabilities, IncidentView, Limits, Notice, Remote, Sent
from relay.notification_digest import DigestCall, DigestLayout, DigestView
from relay.rendering import Renderer
from relay.rendering.digest_summary import as_one_message

_ROWS = 50
"""Alerts that the mail itself shows. Gmail cuts a mail at 102 kB of HTML; a file with all comes along when there are more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """A finished mail and whom it still has to reach."""

    message: bytes
    recipients: tuple[str, ...]
    message_id: str
    thread: str
    fingerprint: str
    files: Mapping[str, bytes] = field(repr=False)


class EmailChannel:
    """One list of recipients at one mail server.

    Args:
        name: the channel's name in the config.
        options: its part of the config.
        server: the account that sends; channels with the same account share one.
        renderer: turns notices into texts.
    """

    type = "email"
    capabilities = Capabilities(editable=False)

    def __init__(self, *, name: str, options: EmailOptions, server: MailServer, renderer: Renderer) -> None:
        self.name = name
        self._options = options
        self._server = server
        self._renderer = renderer
        self._sender = mailbox(server.config.from_)
        self._to = tuple(mailbox(text) for text in options.to)
        self._inliner = css_inline.CSSInliner(keep_style_tags=True, load_remote_stylesheets=False)

    @property
    def destination(self) -> str:
        """Server, sender and recipients: two channels with the same ones take turns."""
        envelope = ",".join([self._sender.addr_spec, *sorted(address.addr_spec for address in self._to)])
        return f"{self.account}:{envelope}"

    @property
    def account(self) -> str:
        return self._server.account

    @property
    def limits(self) -> Limits:
        """No server demands it: more mails a minute than that nobody reads, a digest says more. The options go before."""
        return Limits(destination=self._options.limits.windows(per_minute=20))

    def overflows(self, view: IncidentView) -> bool:  # noqa: ARG002  the protocol's
        """Never: the file with all alerts is part of the mail."""
        return False

    def render(self, notice: Notice) -> EmailContent:
        parts = self._parts(notice)
        message = build(notice, parts, self._sender, self._to)
        everyone = [address.addr_spec for address in self._to]
        again = (notice.remote or {}).get("retry_recipients") or ()
        shown = f"{parts.subject}\0{parts.text}\0{parts.html}".encode(errors="replace")
        return EmailContent(
            message=message,
            recipients=tuple(one for one in everyone if one in again) or tuple(everyone),
            message_id=message_id(notice, self._sender.domain),
            thread=thread_id(notice, self._sender.domain),
            fingerprint=hashlib.sha256(shown).hexdigest(),
            files=self._files(parts, message),
        )

    async def send(self, content: EmailContent) -> Sent:
        taken = await self._server.send(self._sender.addr_spec, content.recipients, content.message)
        return Sent(
            remote={"message_id": content.message_id, "thread": content.thread},
            refused=taken.refused,
            retry_recipients=tuple(taken.deferred),
        )

    def lay_out(
        self,
        view: DigestView,
        now: Millis,
        *,
        plain: bool = False,  # noqa: ARG002  the protocol's
        before: DigestLayout | None = None,  # noqa: ARG002  the same
    ) -> DigestLayout:
        """The digest is the next mail of its own thread, with one row for each group and all of them in the file."""
        return as_one_message(view, now, self._options.language, self.render)

    async def send_digest(self, call: DigestCall) -> Sent:
        content = call.content
        assert isinstance(content, EmailContent)
        again = tuple(one for one in content.recipients if one in call.recipients)
        return await self.send(replace(content, recipients=again or content.recipients))

    def follow(self, moved_to: Mapping[str, Any]) -> None:
        """Mail addresses do not move."""

    def is_elsewhere(self, remote: Remote) -> bool:  # noqa: ARG002  the protocol's
        """Nothing lives on that could stay behind."""
        return False

    async def check(self) -> Checked:
        return await self._server.check(self._sender.addr_spec)

    async def close(self) -> None:
        await self._server.close()

    def _parts(self, notice: Notice) -> Parts:
        attachments = self._attachments(notice.view)
        options = {
            "title": self._inline(self._options.title, notice),
            "rows": _ROWS,
            "attachment": attachments[0].name if attachments else "",
            "language": self._options.language,
            "timezone": self._options.timezone,
            **_links(notice.view),
        }
        html = self._render("message.html.j2", notice, "html", options)
        return Parts(
            subject=self._subject(notice),
            text=self._render("message.txt.j2", notice, "none", options).strip() + "\n",
            html=self._inliner.inline(html),
            attachments=attachments,
        )

    def _attachments(self, view: IncidentView) -> Sequence[Attachment]:
        return (alerts_table(view.alerts, view.common_labels),) if len(view.alerts) > _ROWS else ()

    def _subject(self, notice: Notice) -> str:
        """The option's, or the built-in one, which stays the same for an incident so that threads hold."""
        chosen = header_text(self._inline(self._options.subject, notice))
        return chosen or header_text(self._render("subject.txt.j2", notice, "none", {})) or "Alert"

    def _inline(self, source: str | None, notice: Notice) -> str:
        if not source:
            return ""
        options = self._options
        return self._renderer.render_inline(source, notice, language=options.language, zone=options.zone).strip()

    def _render(self, template: str, notice: Notice, escape: Any, options: Mapping[str, object]) -> str:
        return self._renderer.render(
            f"email/{template}",
            notice,
            language=self._options.language,
            zone=self._options.zone,
            escape=escape,
            options=options,
        )

    def _files(self, parts: Parts, message: bytes) -> Mapping[str, bytes]:
        to = ", ".join(str(address) for address in self._to)
        head = f"From: {self._sender}\nTo: {to}\nSubject: {parts.subject}\n\n"
        attached = {attachment.name: attachment.content for attachment in parts.attachments}
        return {
            "message.txt": (head + parts.text).encode(errors="replace"),
            "message.html": parts.html.encode(errors="replace"),
            "message.eml": message,
            **attached,
        }


def _links(view: IncidentView) -> Mapping[str, str]:
    """Where Alertmanager's own page shows these alerts, and makes a silence of what they have in common."""
    base = view.external_url.rstrip("/")
    if not base.lower().startswith(("http://", "https://")):
        return {}
    shared = view.common_labels or view.group_labels
    matchers = [Matcher(name, value, is_regex=False, is_equal=True) for name, value in sorted(shared.items())]
    query = f"filter={quote(format_matchers(matchers), safe='')}"
    links = {"alerts_url": f"{base}/#/alerts?receiver={quote(view.receiver, safe='')}&{query}" if matchers else base}
    return links | ({"silence_url": f"{base}/#/silences/new?{query}"} if matchers else {})
