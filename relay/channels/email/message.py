"""One mail as bytes: headers that no label can forge, text and HTML, and the table of all alerts as an attachment."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from relay.clock import to_datetime
from relay.notification import AlertState, Notice
from relay.severity import Severity

# Only ASCII goes out, so that no server on the way needs 8BITMIME; the library picks the shorter encoding of each part.
_POLICY = policy.SMTP.clone(cte_type="7bit", max_line_length=76)
_LONGEST_HEADER = 200
_NO_HEADER = {"Cc", "Cs", "Zl", "Zp", "Cn", "Co"}
_TURNING = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file that goes along; `content` is the finished bytes."""

    name: str
    mime: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What the templates made, before it becomes a mail."""

    subject: str
    text: str
    html: str
    attachments: Sequence[Attachment] = ()


def header_text(value: str) -> str:
    """The value as one header line: whatever could end a line, or turn its direction, becomes a blank or nothing."""
    plain = "".join(" " if unicodedata.category(sign) in _NO_HEADER else sign for sign in value.translate(_TURNING))
    line = " ".join(plain.split())
    return line if len(line) <= _LONGEST_HEADER else line[: _LONGEST_HEADER - 1] + "…"


def mailbox(text: str) -> Address:
    """The address of the config with its domain as DNS has it (`xn--…`); raises `UnicodeError` if it has none."""
    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    host = domain if domain.isascii() else domain.encode("idna").decode()
    return Address(display_name=header_text(name), username=local, domain=host)


def thread_id(notice: Notice, domain: str) -> str:
    """The root of the incident's thread: no mail has it, every mail refers to it."""
    return f"<{notice.post_id}.{_birth(notice)}@{domain}>"


def message_id(notice: Notice, domain: str) -> str:
    """The same for every try to send this revision, so that receivers can drop what arrives twice."""
    return f"<{notice.post_id}.{notice.view.revision}.{_birth(notice)}@{domain}>"


def _birth(notice: Notice) -> str:
    """Tells two relays with one sender address apart, and a fresh database from the one before it.

    Mail programs drop a mail whose Message-ID they have seen, and post numbers begin at 1 in every database.
    """
    view = notice.view
    born = f"{view.alertmanager}\0{view.receiver}\0{view.code}\0{view.id}\0{view.opened_at}"
    return hashlib.sha256(born.encode(errors="replace")).hexdigest()[:10]


def build(notice: Notice, parts: Parts, sender: Address, recipients: Sequence[Address]) -> bytes:
    """The finished mail. Deterministic but for its MIME boundaries."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = recipients
    mail["Subject"] = parts.subject
    mail["Date"] = format_datetime(to_datetime(notice.now))
    mail["Message-ID"] = message_id(notice, sender.domain)
    root = thread_id(notice, sender.domain)
    mail["In-Reply-To"] = root
    mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notes in answer
    mail["X-Auto-Response-Suppress"] = "All"  # the same in Exchange's words
    _describe(mail, notice)
    mail.set_content(_sound(parts.text))
    mail.add_alternative(_sound(parts.html), subtype="html")
    for attachment in parts.attachments:
        main, _, sub = attachment.mime.partition("/")
        mail.add_attachment(attachment.content, maintype=main, subtype=sub, filename=attachment.name)
    return mail.as_bytes()


def _describe(mail: EmailMessage, notice: Notice) -> None:
    """What rules of mail programs can sort by."""
    view = notice.view
    mail["X-Alert-Severity"] = view.severity.label
    told = all(alert.state is not AlertState.UNREPORTED for alert in view.alerts)
    mail["X-Alert-State"] = "firing" if view.open else "resolved" if told else "unreported"
    if view.alertmanager:
        mail["X-Alert-Alertmanager"] = header_text(view.alertmanager)
    if view.open and view.severity is Severity.CRITICAL and not notice.silent:
        mail["Importance"] = "high"
        mail["X-Priority"] = "1"


def _sound(text: str) -> str:
    """Lone surrogates cannot be encoded."""
    return text.encode("utf-8", "replace").decode("utf-8")
