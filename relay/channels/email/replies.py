"""What a mail server's replies mean for us: whose failure it is, and whether trying again can help.

The rule is RFC 5321 4.2.1 (4yz may be tried again, 5yz not) with the enhanced codes of RFC 3463. What decides between
"destination" and "post" is how much of the mail the server has seen: before RCPT it knows the sender alone, so its refusal
would meet every mail; at RCPT it speaks of recipients; after the content it may mean this content, unless the code says
that its own system (x.3.z), its network (x.4.z) or a limit (4.7.z) is the reason. One mail that a filter defers for ever
must not hold up all the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from relay.notification import DeliveryError, Reason

Stage = Literal["CONNECT", "EHLO", "STARTTLS", "AUTH", "NOOP", "MAIL", "RCPT", "DATA"]

_ENHANCED = re.compile(r"\s*([245]\.\d{1,3}\.\d{1,3})\b")
_LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's reply; `text` may come from anyone, so it is shown in one short line."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The code of RFC 3463 such as `4.7.1`, or nothing."""
        found = _ENHANCED.match(self.text)
        return found.group(1) if found else ""

    @property
    def transient(self) -> bool:
        return 400 <= self.code < 500

    @property
    def too_large(self) -> bool:
        return self.code == 552 or self.enhanced in {"5.3.4", "5.2.3"}

    def __str__(self) -> str:
        shown = " ".join("".join(sign if sign.isprintable() else " " for sign in self.text).split())
        cut = shown if len(shown) <= _LONGEST_TEXT else shown[: _LONGEST_TEXT - 1] + "…"
        return f"{self.code} {cut}".strip()


def refusal(stage: Stage, reply: Reply) -> DeliveryError:
    """The error for a reply that ends the attempt at this stage."""
    if not 400 <= reply.code < 600:
        return _destination("server_error", f"the answer to {stage} makes no sense: {reply}")
    if reply.code == 421:  # the server closes the connection, whatever was asked
        return _destination(_busy(reply), f"the server closes the connection: {reply}")
    if stage == "STARTTLS":
        return _destination("connection", f"TLS was refused: {reply}")
    if reply.transient:
        return _deferred(stage, reply)
    if stage == "AUTH" or reply.code in {530, 534, 535, 538}:
        return _destination("unauthorized", f"the server refuses user name or password: {reply}", permanent=True)
    if reply.too_large:
        return DeliveryError("too_large", f"the mail is too large: {reply}", scope="post", permanent=True)
    if stage == "MAIL":
        return _destination("forbidden", f"the server takes no mail from this sender: {reply}", permanent=True)
    if stage in {"RCPT", "DATA"}:
        return DeliveryError("rejected", f"the mail was refused: {reply}", scope="post", permanent=True)
    return _destination("forbidden", f"the server does not serve us: {reply}", permanent=True)


def nobody_took_it(refused: dict[str, str], deferred: dict[str, Reply]) -> DeliveryError:
    """The error when no recipient was accepted: for good only if none was refused for now."""
    told = refused | {recipient: str(reply) for recipient, reply in deferred.items()}
    detail = "no recipient was accepted: " + "; ".join(f"{recipient} ({text})" for recipient, text in told.items())
    if not deferred:
        return DeliveryError("not_found", detail, scope="post", permanent=True)
    limited = all(_busy(reply) == "rate_limited" for reply in deferred.values())
    return DeliveryError("rate_limited" if limited else "server_error", detail, scope="post")


def silence(stage: Stage, *, broken: bool) -> DeliveryError:
    """The error when no reply came: once the content was under way, nobody knows whether the mail arrived."""
    how = "the connection broke" if broken else "no answer in time"
    if stage == "DATA":
        return _destination("timeout", f"{how} after the mail was sent: it may have arrived")
    return _destination("connection", f"{how} at {stage}")


def _deferred(stage: Stage, reply: Reply) -> DeliveryError:
    reason = _busy(reply)
    if stage != "DATA":
        return _destination(reason, f"refused for now at {stage}: {reply}")
    of_the_server = reason == "rate_limited" or reply.enhanced.startswith(("4.3.", "4.4."))
    full = reply.code == 452 and not reply.enhanced  # RFC 5321: insufficient system storage
    return DeliveryError(
        reason, f"the mail was refused for now: {reply}", scope="destination" if of_the_server or full else "post"
    )


def _busy(reply: Reply) -> Reason:
    """Limits speak in x.7.z (policy) and 4.5.3 (too many recipients), or in words."""
    words = ("rate", "too many", "throttl", "limit", "quota exceeded", "try again later")
    limited = reply.enhanced.startswith("4.7.") or reply.enhanced == "4.5.3"
    return "rate_limited" if limited or any(word in reply.text.lower() for word in words) else "server_error"


def _destination(reason: Reason, detail: str, *, permanent: bool = False) -> DeliveryError:
    return DeliveryError(reason, detail, scope="destination", permanent=permanent)
