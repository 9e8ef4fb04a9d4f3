"""What Slack's refusals mean for us: whose failure it is, and whether trying again can help."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from relay.notification import DeliveryError, Reason

Scope = Literal["post", "destination"]


class Meaning(NamedTuple):
    """How to treat an error word of Slack."""

    reason: Reason
    scope: Scope
    permanent: bool
    advice: str = ""
    stands: bool = False  # people still see the message


_UNAUTHORIZED = Meaning("unauthorized", "destination", True, "check slack.bot_token")
_FORBIDDEN = Meaning("forbidden", "destination", True)
_NOT_FOUND = Meaning("not_found", "destination", True)
_GONE = Meaning("gone", "post", True)
_UNPARSABLE = Meaning("unparsable", "post", True)
_TOO_LARGE = Meaning("too_large", "post", True)
_BUSY = Meaning("server_error", "destination", False)
_TOO_FAST = Meaning("rate_limited", "destination", False)
_REJECTED = Meaning("rejected", "post", True)

_MEANINGS: Mapping[str, Meaning] = (
    dict.fromkeys(("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"), _UNAUTHORIZED)
    | dict.fromkeys(("not_allowed_token_type", "two_factor_setup_required"), _UNAUTHORIZED)
    | dict.fromkeys(("action_prohibited", "posting_to_general_channel_denied", "user_not_in_channel"), _FORBIDDEN)
    | dict.fromkeys(("access_denied", "accesslimited", "no_permission", "ekm_access_denied"), _FORBIDDEN)
    | dict.fromkeys(("messages_tab_disabled", "cannot_dm_bot", "user_disabled"), _FORBIDDEN)
    | dict.fromkeys(("team_access_not_granted", "enterprise_is_restricted", "team_disabled"), _FORBIDDEN)
    | dict.fromkeys(("no_service", "no_team", "no_active_hooks", "user_not_found", "team_not_found"), _NOT_FOUND)
    | dict.fromkeys(("message_not_found", "thread_not_found"), _GONE)
    | dict.fromkeys(("cant_update_message", "edit_window_closed"), _GONE._replace(stands=True))
    | dict.fromkeys(("cannot_reply_to_message", "invalid_thread_ts", "is_inactive"), _GONE)
    | dict.fromkeys(("invalid_blocks", "invalid_blocks_format", "no_text", "invalid_payload"), _UNPARSABLE)
    | dict.fromkeys(("invalid_attachments", "missing_text_or_fallback_or_attachments"), _UNPARSABLE)
    | dict.fromkeys(("msg_too_long", "msg_blocks_too_long", "too_many_attachments"), _TOO_LARGE)
    | dict.fromkeys(("attachment_payload_limit_exceeded",), _TOO_LARGE)
    | dict.fromkeys(("internal_error", "fatal_error", "service_unavailable", "request_timeout", "rollup_error"), _BUSY)
    | dict.fromkeys(("team_added_to_org", "org_login_required"), _BUSY)
    | dict.fromkeys(("ratelimited", "rate_limited", "message_limit_exceeded"), _TOO_FAST)
    | {
        "invalid_token": _UNAUTHORIZED._replace(advice="check webhook_url"),
        "channel_not_found": _NOT_FOUND._replace(
            advice="check the channel's name, a private one needs the bot invited"
        ),
        "not_in_channel": _FORBIDDEN._replace(advice="invite the bot to the channel: /invite @its-name"),
        "is_archived": _NOT_FOUND._replace(advice="the channel is archived"),
        "channel_is_archived": _NOT_FOUND._replace(advice="the channel is archived"),
        "missing_scope": _FORBIDDEN._replace(advice="the bot lacks a scope"),
    }
)
_WORD = re.compile(r"[a-z][a-z0-9_]{1,60}")


def refusal(error: object, *, status: int, retry_after: float | None = None, needed: object = None) -> DeliveryError:
    """The failure for an answer of Slack that is no success.

    Args:
        error: the error word of the answer, if it has one; anything else counts as none.
        status: the HTTP status; decides when the word is missing or unknown.
        retry_after: seconds, from the `Retry-After` header.
        needed: the scope that `missing_scope` asks for.
    """
    word = error if isinstance(error, str) and _WORD.fullmatch(error) else ""
    meaning = _meaning(word, status)
    said = word or f"HTTP {status} without an error word"
    if word == "missing_scope" and isinstance(needed, str) and re.fullmatch(r"[a-z:,._]{1,80}", needed):
        said = f"missing_scope {needed}"
    detail = f"Slack says {said}" + (f": {meaning.advice}" if meaning.advice else "")
    return DeliveryError(
        meaning.reason,
        detail,
        scope=meaning.scope,
        permanent=meaning.permanent,
        retry_after=retry_after if meaning.reason in ("rate_limited", "server_error") else None,
        stands=meaning.stands,
    )


def of_this_post(error: DeliveryError) -> DeliveryError:
    """The same failure where it says nothing of the destination: a file."""
    if error.reason not in ("forbidden", "not_found", "rejected"):
        return error
    return DeliveryError(error.reason, error.detail, scope="post", permanent=True)


def of_former_place(error: DeliveryError) -> DeliveryError:
    """The same failure where it says nothing of the destination: its message stands in a channel that was left."""
    if error.scope == "post" or error.reason not in ("forbidden", "not_found"):
        return error
    return DeliveryError("gone", error.detail, scope="post", permanent=True)


def no_connection(error: BaseException) -> DeliveryError:
    """The network failed; the error's own text may hold an address with a secret, so only its kind is told."""
    if isinstance(error, TimeoutError):
        return DeliveryError("timeout", "Slack did not answer in time", scope="destination")
    return DeliveryError("connection", f"cannot reach Slack: {type(error).__name__}", scope="destination")


def nonsense(status: int) -> DeliveryError:
    """An answer that Slack's API never gives, most likely of something in between."""
    return DeliveryError("server_error", f"an answer that makes no sense (HTTP {status})", scope="destination")


def seconds(header: str | None) -> float | None:
    """`Retry-After` as seconds, at most an hour; None if it is none."""
    try:
        value = float(header or "")
    except ValueError:
        return None
    return min(value, 3600.0) if 0 < value < float("inf") else None


def _meaning(word: str, status: int) -> Meaning:
    if status == 429:
        return _TOO_FAST
    if word in _MEANINGS:
        return _MEANINGS[word]
    if word.startswith("restricted_action"):
        return _FORBIDDEN
    if status >= 500 or (status < 400 and not word):  # something in between: a gateway, a login page
        return _BUSY
    return _BY_STATUS.get(status, _REJECTED)


_BY_STATUS: Mapping[int, Meaning] = {
    401: _UNAUTHORIZED,
    403: _FORBIDDEN,
    404: _NOT_FOUND,
    408: _BUSY,
    410: _NOT_FOUND,
    413: _TOO_LARGE,
}
